# SPDX-License-Identifier: Apache-2.0
"""Join tokens: what a PC has to know to join, as one line of text.

A token names its one issuer, pins the overlay's root and carries a secret.
The secret itself is never sent: the PC proves that it has it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from typing import Annotated

import msgspec

from p2pcs_nova import wire

_PREFIX = 'p2pcs1.'
_DOMAIN = b'p2pcs join 1'
SEEDS = 16
"""At most, in one token."""


class BadToken(Exception):
    """The text is not a token; nothing was done."""


class JoinToken(msgspec.Struct, frozen=True, array_like=True):
    """A token, read."""

    id: Annotated[str, msgspec.Meta(pattern=r'^[0-9a-f]{16}\Z')]
    secret: Annotated[bytes, msgspec.Meta(min_length=16, max_length=64)]
    issuer: wire.PeerId
    overlay: str
    root: Annotated[str, msgspec.Meta(pattern=r'^[0-9a-f]{64}\Z')]
    """SHA-256 of the root's certificate (DER)."""
    expires_s: int
    """Seconds since 1970; the issuer decides, this is for people."""
    seeds: Annotated[
        tuple[str, ...], msgspec.Meta(min_length=1, max_length=SEEDS)
    ]
    """``host:port`` of join listeners."""


def token_to_text(token: JoinToken) -> str:
    """One line without spaces."""
    body = base64.urlsafe_b64encode(msgspec.json.encode(token))
    return _PREFIX + body.decode('ascii').rstrip('=')


def text_to_token(text: str) -> JoinToken:
    """Read a token.

    :raises BadToken: it is none; says why
    """
    text = text.strip()
    if not text.startswith(_PREFIX):
        raise BadToken(f'a join token starts with {_PREFIX!r}')
    encoded = text.removeprefix(_PREFIX)
    try:
        body = base64.b64decode(
            encoded + '=' * (-len(encoded) % 4), altchars=b'-_', validate=True
        )
        return msgspec.json.decode(body, type=JoinToken)
    except (binascii.Error, ValueError, RecursionError):
        raise BadToken(
            'the join token is damaged: copy the whole line again'
        ) from None


def prove(secret: bytes, request: wire.JoinRequest) -> bytes:
    """What shows the issuer that the request's sender has the secret."""
    parts = (
        request.issuer.encode(),
        request.token_id.encode(),
        request.csr,
        request.name.encode(),
        struct.pack('>I', request.port),
        struct.pack('>d', request.wall_clock_s),
    )
    data = _DOMAIN + b''.join(
        struct.pack('>I', len(part)) + part for part in parts
    )
    return hmac.digest(secret, data, hashlib.sha256)


def is_proved(secret: bytes, request: wire.JoinRequest) -> bool:
    """Whether the request was made by who has the secret."""
    return hmac.compare_digest(prove(secret, request), request.proof)
