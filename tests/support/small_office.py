# SPDX-License-Identifier: Apache-2.0
"""A gateway's one slice of small PCs, and what tests ask of it."""

from __future__ import annotations

from p2pcs_nova import wire
from p2pcs_nova.gateway import service as services
from tests.support import fake_pcs

SMALL = wire.Capacity(1, 64, 100)
ROOM_FOR_3 = wire.Capacity(3, 192, 300)


def office(count: int, total: wire.Capacity = ROOM_FOR_3) -> fake_pcs.Office:
    """So many PCs that are alike.

    :param total: what each offers
    """
    return fake_pcs.Office(
        *(fake_pcs.FakePc(n, total) for n in range(1, count + 1))
    )


async def spawn(
    service: services.GatewayService, number: int = 0
) -> wire.Placed:
    """One more instance of a slice."""
    return await service.instances.spawn(
        'all', fake_pcs.spawn_request(number, SMALL)
    )


async def look(
    service: services.GatewayService, placed: wire.Placed, fresh: bool
) -> wire.Placed:
    """How an instance is now."""
    return await service.instances.look(
        'all', placed.status.instance, '', fresh=fresh
    )
