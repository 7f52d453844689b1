# SPDX-License-Identifier: Apache-2.0
"""The gateway's answers to driver and operator."""

from __future__ import annotations

import msgspec

from p2pcs_nova.wire.basics import (
    Count,
    Counter,
    NetworkName,
    PeerId,
    SliceName,
    Uuid,
)
from p2pcs_nova.wire.capacity import (
    Accelerator,
    Capacity,
    Claim,
)
from p2pcs_nova.wire.instances import (
    InstanceSpec,
    InstanceStatus,
)
from p2pcs_nova.wire.policy import (
    SliceState,
)
from p2pcs_nova.wire.wishes import (
    Wishes,
)


class Destroyed(msgspec.Struct, frozen=True):
    """Gateway to driver: gone, or a tombstone waits for the PC."""

    done: bool
    peer_name: str = ''


class SpawnRequest(msgspec.Struct, frozen=True):
    """Driver to gateway: claim, sign and build; answers when PLUGGED."""

    claim: Claim
    spec: InstanceSpec
    request_id: str = ''
    wishes: Wishes = Wishes()
    has_run: bool = False
    """The instance is to be built anew: no epoch of before may be left."""
    instead_of: Counter | None = None
    """The epoch whose place it takes; None: there is none any more."""


class Placed(msgspec.Struct, frozen=True):
    """Where an instance is, and how it is."""

    status: InstanceStatus
    peer: PeerId
    peer_name: str
    reachable: bool
    """False: the state is the last one heard."""


class SliceSummary(msgspec.Struct, frozen=True):
    """A slice as Placement sees it."""

    name: SliceName
    term: Counter | None
    """None: this gateway does not command it now."""
    peers: Count
    unreachable: Count
    total: Capacity
    """Sum of offers; an unreachable PC counts what it has reserved."""
    largest: Capacity
    """Largest single offer, part by part, of the live PCs."""
    used: Capacity
    largest_free: Capacity = Capacity()
    """The most that is free on one PC, part by part."""
    accelerators: tuple[Accelerator, ...] = ()
    networks: tuple[NetworkName, ...] = ()
    cpu_model: str = ''
    hypervisor_version: int = 0
    state: SliceState = SliceState.OPEN
    zone: str = ''
    """Availability zone; '' for Nova's default."""
    traits: tuple[str, ...] = ()
    """The policy's, and those that all its PCs have; see
    :mod:`p2pcs_nova.traits`."""


class Holders(msgspec.Struct, frozen=True):
    """Which gateway commands each slice; those that none does are not here."""

    gateways: dict[SliceName, str]
    """Host name, with what tells this life of it from others, if need be."""


class Placements(msgspec.Struct, frozen=True):
    """Every instance of a slice."""

    slice: SliceName
    instances: tuple[Placed, ...]
    revision: int
    """Grows with every change: ``wait_placements`` asks for a newer."""


class PeerRow(msgspec.Struct, frozen=True):
    """A line of ``p2pcs-manage peer list``."""

    peer: PeerId
    name: str
    role: str
    address: str
    state: str
    slice: str
    offer: Capacity
    used: Capacity
    instances: int
    reason: str = ''


class PeerRows(msgspec.Struct, frozen=True):
    """The whole overlay as this daemon sees it."""

    peers: tuple[PeerRow, ...]


class Grave(msgspec.Struct, frozen=True):
    """A deleted instance whose PC has not yet carried out the tombstone."""

    instance: Uuid
    epoch: Counter
    slice: SliceName
    peer: PeerId
    peer_name: str


class Graves(msgspec.Struct, frozen=True):
    """Of all gateways."""

    graves: tuple[Grave, ...]


class SliceRows(msgspec.Struct, frozen=True):
    """All slices that are not closed, be they in the policy or drained."""

    slices: tuple[SliceSummary, ...]


class PlacedRows(msgspec.Struct, frozen=True):
    """All instances, whichever gateway has them."""

    instances: tuple[Placed, ...]


class Quarantined(msgspec.Struct, frozen=True):
    """What a PC keeps although its gateway does not know it."""

    instance: Uuid
    epoch: Counter
    peer: PeerId
    peer_name: str


class QuarantinedRows(msgspec.Struct, frozen=True):
    """All that this gateway's PCs keep so."""

    instances: tuple[Quarantined, ...]
