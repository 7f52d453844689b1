# SPDX-License-Identifier: Apache-2.0
"""What a PC says of itself in the overlay."""

from __future__ import annotations

import msgspec

from p2pcs_nova.wire.basics import (
    BoundSlice,
    Counter,
    Uuid,
)
from p2pcs_nova.wire.capacity import (
    Capacity,
    Offer,
)
from p2pcs_nova.wire.instances import (
    InstanceState,
)


class PeerRecord(msgspec.Struct, frozen=True):
    """Record part 'peer': slow facts; gossiped, signed by its writer."""

    name: str
    """Host name: for people."""
    offer: Offer
    attributes: dict[str, str]
    """The owner's and operator's words: site, tier, country…"""
    used: Capacity
    """Held by run rights."""
    slice: BoundSlice = ''
    """The slice it is bound to while it holds claims; '' if free."""
    draining: bool = False
    release: str = ''


class InstancesRecord(msgspec.Struct, frozen=True):
    """Record parts 'instances/0', 'instances/1'…: as many as are needed.

    A row is (uuid, epoch, state); how many fit into a part is the
    writer's to know.
    """

    rows: tuple[tuple[Uuid, Counter, InstanceState], ...] = ()
