# SPDX-License-Identifier: Apache-2.0
"""Which ring keys open, which seals, and when a gateway is asked."""

from __future__ import annotations

import errno
import random

import pytest
import trio
from trio.testing import MockClock

from gossip import events as news
from gossip.descriptor import Address, Member, Role, Status
from gossip.seal import RingKeys
from p2pcs_nova import errors, wire
from p2pcs_nova.daemon import ring
from p2pcs_nova.identity.store import KnownGateway

pytestmark = pytest.mark.trio

FIRST, SECOND, THIRD, FOURTH = (
    (number, bytes([number]) * 32) for number in range(1, 5)
)


GATEWAY = KnownGateway('67' * 16, '10.0.0.1:7400')


class Daemon:
    """A ring, and what is around it."""

    def __init__(
        self, *, is_gateway: bool = False, peer: str = '0' * 32
    ) -> None:
        self.gateway: tuple[tuple[int, bytes], ...] = (FIRST,)
        self.error: Exception | None = None
        self.full = False
        self.asked: list[KnownGateway] = []
        self.kept: list[ring.Keys] = []
        self.sealed: list[RingKeys] = []
        self.gateways = [GATEWAY]
        self.ring = ring.Ring(
            (FIRST,),
            keep=self._keep,
            seal=self.sealed.append,
            ask=self._ask,
            gateways=lambda: self.gateways,
            me=peer,
            is_gateway=is_gateway,
            rng=random.Random(1),
        )

    async def _keep(self, keys: ring.Keys) -> None:
        await trio.lowlevel.checkpoint()
        if self.full:
            raise OSError(errno.ENOSPC, 'no space')
        self.kept.append(keys)

    async def _ask(self, gateway: KnownGateway) -> wire.Ring:
        self.asked.append(gateway)
        if self.error is not None:
            raise self.error
        return wire.Ring(tuple(wire.RingKey(*key) for key in self.gateway))

    def hear(self, number: int) -> None:
        self.ring.on_event(
            news.NewsHeard(b'g' * 16, bytes(8), b'ring key %d' % number, 0)
        )


def running(daemon: Daemon, nursery: trio.Nursery) -> None:
    nursery.start_soon(daemon.ring.run)


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


async def test_at_the_start_a_gateway_is_asked_once(
    daemon: Daemon, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    running(daemon, nursery)
    await trio.sleep(60)

    assert daemon.asked == [GATEWAY]
    assert daemon.kept == []


async def test_new_key_opens_at_once_and_seals_later_the_old_one_ends(
    daemon: Daemon, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    running(daemon, nursery)
    await trio.sleep(ring.PAUSE_S)
    daemon.gateway = (FIRST, SECOND)

    daemon.hear(2)
    await trio.sleep(1)
    assert daemon.kept == [(FIRST, SECOND)]
    assert daemon.sealed == [RingKeys((SECOND, FIRST))]

    await trio.sleep(ring.GRACE_S)
    assert daemon.sealed[1:] == [RingKeys((FIRST, SECOND))]

    await trio.sleep(ring.KEPT_S)
    assert daemon.kept[1:] == [(SECOND,)]
    assert daemon.sealed[2:] == [RingKeys((SECOND,))]


async def test_who_slept_seals_with_the_newest_at_once(
    daemon: Daemon, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    running(daemon, nursery)
    await trio.sleep(ring.PAUSE_S)
    daemon.gateway = (THIRD, FOURTH)

    daemon.ring.on_event(news.RingKeyUnknown(4))
    await trio.sleep(1)

    assert daemon.sealed == [RingKeys((THIRD, FOURTH))]


async def test_older_numbers_and_other_news_ask_nobody(
    daemon: Daemon, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    running(daemon, nursery)
    await trio.sleep(1)
    asked = len(daemon.asked)

    for payload in (b'ring key 1', b'ring key', b'ring key x', b'fire'):
        daemon.ring.on_event(news.NewsHeard(b'g' * 16, bytes(8), payload, 0))
    daemon.ring.on_event(news.RingKeyUnknown(1))
    daemon.ring.on_event(news.RingKeyUnknown(200))
    await trio.sleep(60)

    assert len(daemon.asked) == asked


async def test_only_a_gateway_is_believed_that_there_is_a_new_key(
    daemon: Daemon, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    running(daemon, nursery)
    await trio.sleep(ring.PAUSE_S)
    asked = len(daemon.asked)

    daemon.ring.on_event(news.NewsHeard(b'p' * 16, bytes(8), b'ring key 2', 0))
    await trio.sleep(60)

    assert len(daemon.asked) == asked


async def test_many_words_of_new_keys_cost_a_question_each_few_seconds(
    daemon: Daemon, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    running(daemon, nursery)
    for _ in range(600):
        daemon.hear(50)
        daemon.ring.on_event(news.RingKeyUnknown(50))
        await trio.sleep(0.1)

    assert len(daemon.asked) <= 60 / ring.PAUSE_S + 1


@pytest.mark.parametrize(('role', 'asks'), [(Role.GATEWAY, 1), (Role.PEER, 0)])
async def test_who_holds_a_gateway_for_dead_asks_it(
    daemon: Daemon,
    role: Role,
    asks: int,
    autojump_clock: MockClock,
    nursery: trio.Nursery,
) -> None:
    running(daemon, nursery)
    await trio.sleep(1)
    asked = len(daemon.asked)

    silent = Member(
        b'g' * 16,
        role,
        bytes(32),
        Address('10.0.0.1', 7400),
        7400,
        1,
        bytes(8),
        0,
        Status.DEAD,
    )
    daemon.ring.on_event(news.PeerFailed(silent))
    await trio.sleep(60)

    assert len(daemon.asked) == asked + asks


async def test_a_gateway_that_does_not_answer_is_asked_again(
    daemon: Daemon, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    daemon.error = errors.Unreachable('')
    daemon.gateway = (FIRST, SECOND)
    running(daemon, nursery)
    await trio.sleep(60)
    assert len(daemon.asked) > 1

    daemon.error = None
    await trio.sleep(60)

    assert daemon.ring.number == 2


async def test_who_was_put_out_is_told_and_asks_no_more(
    daemon: Daemon, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    told: list[None] = []
    daemon.ring.when_put_out = lambda: told.append(None)
    daemon.error = errors.Revoked('')
    running(daemon, nursery)
    await trio.sleep(600)

    assert told == [None]
    assert len(daemon.asked) == 1


async def test_a_gateway_that_another_one_calls_put_out_goes_on(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    told: list[None] = []
    daemon = Daemon(is_gateway=True)
    daemon.ring.when_put_out = lambda: told.append(None)
    daemon.error = errors.Revoked('')
    running(daemon, nursery)
    await trio.sleep(60)
    daemon.error, daemon.gateway = None, (FIRST, SECOND)
    await trio.sleep(60)

    assert told == []
    assert daemon.ring.number == 2


async def test_an_older_ring_is_not_taken(
    daemon: Daemon, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    daemon.gateway = ((255, bytes(32)),)
    running(daemon, nursery)
    await trio.sleep(60)

    assert daemon.kept == []


async def test_a_gateway_alone_has_nobody_to_ask_and_makes_keys(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    daemon = Daemon(is_gateway=True)
    daemon.gateways = []
    running(daemon, nursery)
    await trio.sleep(60)
    assert daemon.asked == []

    said = await daemon.ring.renew()

    assert said == b'ring key 2'
    assert daemon.kept[0][0] == FIRST
    assert daemon.sealed[0].keys[-1] == FIRST


async def test_a_full_disk_keeps_nobody_from_a_new_key(
    daemon: Daemon, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    daemon.full = True
    daemon.gateway = (FIRST, SECOND)
    running(daemon, nursery)

    await trio.sleep(1 + ring.GRACE_S + ring.KEPT_S)

    assert daemon.sealed[-1] == RingKeys((SECOND,))
    with pytest.raises(OSError, match='no space'):
        await daemon.ring.renew()
    assert daemon.ring.number == 2


async def test_two_words_at_once_make_two_keys(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    daemon = Daemon(is_gateway=True)

    async with trio.open_nursery() as words:
        words.start_soon(daemon.ring.renew)
        words.start_soon(daemon.ring.renew)

    assert [keys[-1][0] for keys in daemon.kept] == [2, 3]


async def test_keys_that_two_gateways_make_at_once_leave_one_for_all(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    known = [KnownGateway(one * 32, f'10.0.0.{one}:7400') for one in '12']
    a, b = (Daemon(is_gateway=True, peer=one.peer_id) for one in known)
    pc = Daemon()
    (a.gateways, b.gateways, pc.gateways) = (known[1:], known[:1], known)

    async def asked(gateway: KnownGateway) -> wire.Ring:
        await trio.sleep(0.1)
        found = a if gateway == known[0] else b
        return wire.Ring(tuple(wire.RingKey(*key) for key in found.ring.keys))

    for one in (a, b, pc):
        one.ring._ask = asked
        running(one, nursery)
    await trio.sleep(1)

    said = {
        bytes.fromhex(gateway.peer_id): await one.ring.renew()
        for gateway, one in zip(known, (a, b), strict=True)
    }
    assert a.ring.keys[-1] != b.ring.keys[-1]
    for author, payload in said.items():
        for one in (a, b, pc):
            one.ring.on_event(news.NewsHeard(author, bytes(8), payload, 0))
    await trio.sleep(ring.GRACE_S / 2)
    assert a.ring.keys == b.ring.keys == pc.ring.keys
    # Nobody has sealed by the one that nobody has any more.
    await trio.sleep(ring.GRACE_S + ring.KEPT_S)
    for one in (a, b, pc):
        sealing = [keys.keys[-1] for keys in one.sealed]
        assert set(sealing) == {FIRST, b.ring.keys[-1]}


async def test_numbers_go_round() -> None:
    assert ring.is_later(0, 255)
    assert ring.is_later(127, 0)
    assert not ring.is_later(128, 0)
    assert not ring.is_later(5, 5)
    assert ring.with_new_key(((255, bytes(32)),), 1)[-1][0] == 0
