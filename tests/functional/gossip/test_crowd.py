# SPDX-License-Identifier: Apache-2.0
"""Many nodes on real sockets in one process."""

import contextlib
import math
import os
import random
from collections.abc import AsyncIterator

import pytest
import trio

from gossip import config, crowd, errors, events, node, runtime, throwaway
from gossip.descriptor import Address

pytestmark = pytest.mark.trio

LIMIT_S = 60.0
COUNT = 60


class Told:
    """What all nodes tell, and a bell that rings."""

    def __init__(self) -> None:
        self.events: list[tuple[int, events.Event]] = []
        self._more = trio.Event()

    def take(self, number: int, event: events.Event) -> None:
        self.events.append((number, event))
        self._more.set()
        self._more = trio.Event()

    async def wait_for(self, kind: type[events.Event], count: int) -> None:
        with trio.fail_after(LIMIT_S):
            while len(self.of(kind)) < count:
                await self._more.wait()

    def of(self, kind: type[events.Event]) -> list[int]:
        return [who for who, event in self.events if isinstance(event, kind)]


@contextlib.asynccontextmanager
async def crowded(
    told: Told,
) -> AsyncIterator[tuple[crowd.Crowd, list[runtime.Runtime]]]:
    overlay = throwaway.Overlay(random.Random(1))
    trust = overlay.make_trust()
    many = crowd.Crowd()
    members: list[runtime.Runtime] = []
    with contextlib.ExitStack() as sockets:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(many.run)
            for number in range(COUNT):
                sock = runtime.open_socket(Address('127.0.0.1', 0))
                sockets.enter_context(sock)
                one = node.Node(
                    config.NodeConfig(),
                    overlay.make_identity(),
                    trust,
                    overlay.ring,
                    address=Address(*sock.getsockname()),
                    boot=1,
                    boot_id=os.urandom(8),
                    rng=random.Random(number),
                    now=runtime.boottime(),
                    now_wall=throwaway.WALL,
                )
                member = runtime.Runtime(
                    one,
                    sock,
                    deliver=lambda event, n=number: told.take(n, event),  # type: ignore[misc]
                    wall=lambda: throwaway.WALL,
                )
                members.append(member)
                many.add(member)
                member.join([Address(*members[0].socket.getsockname())])
            yield many, members
            nursery.cancel_scope.cancel()


async def test_all_meet_hear_of_news_and_of_a_crash() -> None:
    told = Told()
    async with crowded(told) as (many, members):
        await told.wait_for(events.PeerJoined, COUNT * (COUNT - 1))

        members[7].broadcast(b'fire')
        await told.wait_for(events.NewsHeard, COUNT)

        many.remove(members[3])
        members[3].socket.close()
        await told.wait_for(events.PeerFailed, COUNT - 1)

    failed = {
        event.member.peer
        for _, event in told.events
        if isinstance(event, events.PeerFailed)
    }
    assert failed == {members[3].node.peer}


async def test_who_has_left_is_driven_and_costs_no_more() -> None:
    told = Told()
    async with crowded(told) as (many, members):
        await told.wait_for(events.PeerJoined, COUNT * (COUNT - 1))

        members[3].leave()
        await told.wait_for(events.PeerLeft, COUNT - 1)

        assert all(due < math.inf for due, *_ in many._heap)


async def test_a_node_has_one_driver() -> None:
    async with crowded(Told()) as (many, members):
        with pytest.raises(errors.Misuse):
            many.add(members[0])
        with pytest.raises(errors.Misuse):
            await members[0].run()
