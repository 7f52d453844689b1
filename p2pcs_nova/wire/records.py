# SPDX-License-Identifier: Apache-2.0
"""What a PC says of itself in the overlay."""

from __future__ import annotations

import msgspec

from p2pcs_nova.wire.attributes import (
    Attributes,
)
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


class AttributesRecord(msgspec.Struct, frozen=True):
    """Record part 'attributes': what hardly ever changes."""

    name: str
    """Host name: for people."""
    attributes: Attributes
    """What it has measured, and its owner's words: site, tier, country…"""
    release: str = ''


class CapacityRecord(msgspec.Struct, frozen=True):
    """Record part 'capacity': what changes with every instance."""

    offer: Offer
    used: Capacity
    """Held by run rights."""
    slice: BoundSlice = ''
    """The slice it is in: that it holds claims for, else that it has chosen
    by the policy; '' for none."""
    draining: bool = False


class PeerRecord(msgspec.Struct, frozen=True):
    """Both of them, as they are used; never sent so."""

    name: str
    offer: Offer
    attributes: Attributes
    used: Capacity
    slice: BoundSlice = ''
    draining: bool = False
    release: str = ''

    @classmethod
    def join(
        cls, words: AttributesRecord, capacity: CapacityRecord
    ) -> PeerRecord:
        """The two parts as one."""
        return cls(
            name=words.name,
            offer=capacity.offer,
            attributes=words.attributes,
            used=capacity.used,
            slice=capacity.slice,
            draining=capacity.draining,
            release=words.release,
        )

    def split(self) -> tuple[AttributesRecord, CapacityRecord]:
        """The two parts that are gossiped, each signed by itself."""
        return (
            AttributesRecord(self.name, self.attributes, self.release),
            CapacityRecord(self.offer, self.used, self.slice, self.draining),
        )


class InstancesRecord(msgspec.Struct, frozen=True):
    """Record parts 'instances/0', 'instances/1'…: as many as are needed.

    A row is (uuid, epoch, state); how many fit into a part is the
    writer's to know.
    """

    rows: tuple[tuple[Uuid, Counter, InstanceState], ...] = ()
