# SPDX-License-Identifier: Apache-2.0
"""Names, numbers, and what comes with every request or refusal."""

from __future__ import annotations

from typing import Annotated

import msgspec

Uuid = Annotated[
    str,
    msgspec.Meta(
        pattern='^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}'
        r'-[0-9a-f]{12}\Z'
    ),
]
PeerId = Annotated[str, msgspec.Meta(pattern=r'^[0-9a-f]{32}\Z')]
SliceName = Annotated[
    str, msgspec.Meta(pattern=r'^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z')
]
BoundSlice = Annotated[
    str,
    msgspec.Meta(pattern=r'^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?\Z'),
]
"""The name of a slice, or ''."""
ZoneName = Annotated[str, msgspec.Meta(max_length=63)]
Digest = Annotated[
    str,
    msgspec.Meta(pattern=r'^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z'),
]
NetworkName = Annotated[
    str, msgspec.Meta(pattern=r'^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z')
]
Mac = Annotated[str, msgspec.Meta(pattern=r'^[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z')]
Ip = Annotated[
    str, msgspec.Meta(pattern=r'^[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?\Z')
]
"""An address or a network; without a zone, which may be any text."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**40)]
HypervisorVersion = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
"""Nova's database keeps it in 32 bits."""
UNDECODABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What decoding raises for bytes that are not of the type: all of it."""


class Counter(
    msgspec.Struct,
    frozen=True,
    order=True,
    array_like=True,
    forbid_unknown_fields=True,
):
    """(era, n): a fencing number, a term or an epoch.

    Ordered by era, then by n; the era is raised by an admin only.
    """

    era: Count
    n: Count

    def __str__(self) -> str:
        """``era.n``: as people read it, and in names of folders."""
        return f'{self.era}.{self.n}'


class Problem(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    code: str
    message: str
    request_id: str = ''


class Command(msgspec.Struct, frozen=True):
    """By which authority a gateway speaks to a PC.

    Travels with every request, as the header ``p2pcs-command``.
    """

    slice: SliceName
    term: Counter


COMMAND_HEADER = 'p2pcs-command'
RUN_RIGHT_HEADER = 'p2pcs-run-right'
REQUEST_ID_HEADER = 'x-openstack-request-id'
