# SPDX-License-Identifier: Apache-2.0
"""The owner's commands, and what his PC says to them."""

from __future__ import annotations

import msgspec

from p2pcs_nova.wire.attributes import (
    Attributes,
)
from p2pcs_nova.wire.basics import (
    BoundSlice,
    Count,
    PeerId,
)
from p2pcs_nova.wire.capacity import (
    Capacity,
    Offer,
)
from p2pcs_nova.wire.instances import (
    InstanceStatus,
)


class DaemonStatus(msgspec.Struct, frozen=True):
    """What ``p2pcs-peer status`` shows, for a program to read."""

    peer: PeerId
    name: str
    role: str
    overlay: str
    address: str
    members_alive: int
    members_failed: int
    offer: Offer | None
    attributes: Attributes
    used: Capacity
    slice: str
    draining: bool
    instances: tuple[InstanceStatus, ...]
    reasons: tuple[str, ...]
    """Plain sentences: why this offer, what is wrong and what helps."""
    release: str
    dropped: tuple[tuple[str, Count], ...] = ()
    """(reason, count) of what others sent and we did not take, and of what
    this machine did not send, since the daemon started; by reason."""
    refused: tuple[tuple[str, Count], ...] = ()
    """(reason, count) of connections and requests that were refused since
    the daemon started: a reason is mostly the code of the error."""
    revoked: tuple[PeerId, ...] = ()
    """Who has been put out of the overlay, as far as this daemon knows."""
    ring_key: int = 0
    """The number of its newest ring key."""
    bound: BoundSlice = ''
    """The slice that it holds anything for, a claim at least; '' if free."""


class LeaveRequest(msgspec.Struct, frozen=True):
    """Leave the overlay for good."""

    force: bool = False
    """Destroy the instances that are here."""


class Left(msgspec.Struct, frozen=True):
    """What this machine was, and is no more."""

    overlay: str
    peer: PeerId


class DrainRequest(msgspec.Struct, frozen=True):
    """Close the PC to new claims, or open it again."""

    draining: bool
