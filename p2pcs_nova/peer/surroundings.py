# SPDX-License-Identifier: Apache-2.0
"""What the daemon gives to what a PC does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from p2pcs_nova import journal, wire
from p2pcs_nova.peer.authority import GatewayKey
from p2pcs_nova.peer.health import Probe
from p2pcs_nova.peer.instances import FetchImage


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """Of one PC."""

    peer_id: str
    name: str
    boot_id: str
    release: str
    clock: Callable[[], float]
    """Seconds of CLOCK_BOOTTIME."""
    gateway_key: GatewayKey
    fetch_image: FetchImage
    journal: journal.Journal
    on_change: Callable[[], None]
    """The records may have changed; called in the trio thread."""
    probe: Probe | None = None
    """Whether KVM works here; None: it is not even tried."""
    measured: Callable[[], wire.Attributes] = dict
    """What is known of this PC now, its owner's words aside."""
