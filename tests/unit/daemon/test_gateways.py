# SPDX-License-Identifier: Apache-2.0
"""Which gateways a daemon remembers over its restarts."""

from __future__ import annotations

import errno

import pytest

from gossip import events as news
from gossip.descriptor import Address, Member, Role, Status
from p2pcs_nova.daemon import gateways
from p2pcs_nova.identity.store import KnownGateway

pytestmark = pytest.mark.trio

ME = bytes(16)


def member(
    number: int, role: Role = Role.GATEWAY, host: str = '10.0.0.1'
) -> Member:
    return Member(
        bytes([number]) * 16,
        role,
        bytes(32),
        Address(host, 7400),
        7401,
        1,
        bytes(8),
        0,
        Status.ALIVE,
    )


class Daemon:
    """One that remembers, and its disk."""

    def __init__(self) -> None:
        self.full = False
        self.stored: tuple[KnownGateway, ...] = ()
        self.gateways = gateways.Gateways((), ME.hex(), self._keep)

    async def _keep(self, known: tuple[KnownGateway, ...]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, 'no space')
        self.stored = known


async def test_gateways_are_remembered_where_requests_reach_them() -> None:
    daemon = Daemon()
    for seen in (member(1), member(2, Role.PEER), member(0)):
        await daemon.gateways.on_event(news.PeerJoined(seen))
    assert daemon.stored == (KnownGateway('01' * 16, '10.0.0.1:7401'),)
    assert daemon.gateways.listed() == daemon.stored


async def test_one_that_has_moved_is_remembered_there() -> None:
    daemon = Daemon()
    await daemon.gateways.on_event(news.PeerJoined(member(1)))
    await daemon.gateways.on_event(news.PeerJoined(member(2)))
    moved = member(1, host='fd00::1')
    await daemon.gateways.on_event(news.PeerChanged(moved))
    assert [one.address for one in daemon.stored] == [
        '[fd00::1]:7401',
        '10.0.0.1:7401',
    ]


async def test_only_the_newest_are_kept() -> None:
    daemon = Daemon()
    for number in range(1, gateways.KEPT + 3):
        await daemon.gateways.on_event(news.PeerJoined(member(number)))
    assert len(daemon.stored) == gateways.KEPT
    assert daemon.stored[0].peer_id == f'{gateways.KEPT + 2:02x}' * 16


async def test_a_full_disk_ends_nothing() -> None:
    daemon = Daemon()
    daemon.full = True
    await daemon.gateways.on_event(news.PeerJoined(member(1)))
    assert len(daemon.gateways.listed()) == 1
