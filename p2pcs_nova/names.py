# SPDX-License-Identifier: Apache-2.0
"""Names that say something: of members in certificates, of divided slices.

A member's is ``<peer id>.<role>.<overlay>.p2pcs``.  A peer id is the digest
of a public key, so that a name can be checked against the certificate that
carries it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re

PEER = 'peer'
GATEWAY = 'gateway'
ADMIN = 'admin'
ROLES = (PEER, GATEWAY, ADMIN)
DOMAIN = 'p2pcs'

_OVERLAY = '[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?'
_NAME = re.compile(
    rf'([0-9a-f]{{32}})\.({"|".join(ROLES)})\.({_OVERLAY})\.{DOMAIN}'
)
PARTS_MAX = 100
"""Of one slice, however many slots its PCs say."""
_PART = re.compile('(.+)-([2-9]|[1-9][0-9]|100)')


@dataclasses.dataclass(frozen=True)
class MemberName:
    """Who, in which role, of which overlay."""

    peer_id: str
    role: str
    overlay: str

    def __str__(self) -> str:
        return f'{self.peer_id}.{self.role}.{self.overlay}.{DOMAIN}'


def text_to_member_name(text: str) -> MemberName:
    """Read a name.

    :raises ValueError: it has another form
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise ValueError(f'{text[:80]!r} is not the name of a member')
    return MemberName(*match.groups())


def check_overlay(name: str) -> str:
    """The same name, if it may name an overlay.

    :raises ValueError: it may not; says what may
    """
    if re.fullmatch(_OVERLAY, name) is None:
        raise ValueError(
            f'{name!r} cannot name an overlay: at most 32 lower-case '
            'letters, digits and hyphens, a letter or digit at both ends'
        )
    return name


def peer_id(public_key: bytes) -> str:
    """The id of who holds this key (raw, 32 bytes)."""
    return hashlib.sha256(public_key).digest()[:16].hex()


def part_of(slice_: str, number: int) -> str:
    """The name of a slice's part, from 1, when it is divided."""
    return slice_ if number == 1 else f'{slice_}-{number}'


def whole_of(part: str) -> str:
    """The slice that one of this name is a part of, if there is one; or ''."""
    found = _PART.fullmatch(part)
    return found[1] if found else ''
