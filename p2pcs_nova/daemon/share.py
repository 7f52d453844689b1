# SPDX-License-Identifier: Apache-2.0
"""What a role adds to the daemon's status."""

from __future__ import annotations

import dataclasses

from p2pcs_nova import wire

_NOTHING = wire.Capacity()


@dataclasses.dataclass(frozen=True)
class Share:
    """A PC fills it all; a gateway offers nothing."""

    offer: wire.Offer | None = None
    attributes: wire.Attributes = dataclasses.field(default_factory=dict)
    used: wire.Capacity = _NOTHING
    slice: str = ''
    bound: str = ''
    draining: bool = False
    instances: tuple[wire.InstanceStatus, ...] = ()
    reasons: tuple[str, ...] = ()
