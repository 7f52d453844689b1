# SPDX-License-Identifier: Apache-2.0
"""What a user wishes beyond a flavor's size, and where that is to be had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from p2pcs_nova.wire.attributes import Kind
from p2pcs_nova.wire.basics import (
    BoundSlice,
    Count,
    NetworkName,
    SliceName,
    Uuid,
)
from p2pcs_nova.wire.capacity import Capacity
from p2pcs_nova.wire.instances import ServerGroup

Query = Annotated[str, msgspec.Meta(max_length=1000)]
"""A text in the query language; '' takes every PC."""

OwnerName = Annotated[str, msgspec.Meta(max_length=255)]


class Wishes(msgspec.Struct, frozen=True):
    """From extra specs and hints; all that is named must hold."""

    slice: BoundSlice = ''
    query: Query = ''
    not_owner: OwnerName = ''
    """On no PC that belongs to this owner."""
    hint_query: Query = ''
    """The hint's, where the flavor has another; each is read by itself, so
    that a place in it is one that its writer knows."""
    hint_not_owner: OwnerName = ''
    """The same of owners."""


class Wishable(msgspec.Struct, frozen=True):
    """What a wish can name."""

    attributes: Mapping[str, Kind]
    slices: tuple[SliceName, ...]


class FitRequest(msgspec.Struct, frozen=True):
    """Scheduler to gateway: which slices can take such an instance now?"""

    need: Capacity
    networks: tuple[NetworkName, ...] = ()
    wishes: Wishes = Wishes()
    group: ServerGroup | None = None
    instances: tuple[Uuid, ...] = ()
    """Whom it is for; of a group the others count."""


class SliceFit(msgspec.Struct, frozen=True):
    """What one slice can take, by the last records of its PCs."""

    slice: SliceName
    peers: Count
    """PCs that could take one now."""
    slots: Count
    """How many of them the slice could take now, one by one."""
    refused: dict[str, Count] = {}
    """PCs that cannot, counted by reason."""
    matching: Count = 0
    """PCs that wishes and group allow, whatever is free on them."""


class PeerFit(msgspec.Struct, frozen=True):
    """What one PC can take."""

    slice: BoundSlice
    peer_name: str
    slots: Count
    reason: str = ''
    """The first for which it takes none."""


class Fits(msgspec.Struct, frozen=True):
    """All slices that take anything new, in the policy's order."""

    slices: tuple[SliceFit, ...]
    shut: tuple[SliceName, ...] = ()
    """Those that take nothing new: drained, or closed a short time ago."""
