# SPDX-License-Identifier: Apache-2.0
"""Nodes on real sockets of the loopback interface, in one trio process."""

import contextlib
import os
import random
import socket
from collections.abc import AsyncIterator, Callable

import pytest
import trio

from gossip import config, errors, events, node, runtime, throwaway
from gossip.descriptor import Address, PeerId, Role

pytestmark = pytest.mark.trio

LIMIT_S = 30.0
FAST = config.NodeConfig(
    probe_period_s=0.2,
    ack_timeout_s=0.08,
    suspicion_min_s=0.5,
    suspicion_max_s=1.0,
    last_call_s=0.1,
    reconnect_s=0.5,
    seed_retry_s=0.2,
)


class Bell:
    """Rings when any machine tells of anything."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, looked at whenever it rings."""
        with trio.fail_after(LIMIT_S):
            while not is_so():
                self._rung = trio.Event()
                await self._rung.wait()


BELL = Bell()


class Machine:
    """One node, its socket, and what it has told."""

    def __init__(
        self, overlay: throwaway.Overlay, role: Role = Role.PEER
    ) -> None:
        self.socket = runtime.open_socket(Address('127.0.0.1', 0))
        self.address = Address(*self.socket.getsockname())
        self.told: list[events.Event] = []
        now, wall = runtime.boottime(), throwaway.WALL
        self.node = node.Node(
            FAST,
            overlay.make_identity(role),
            overlay.make_trust(),
            overlay.ring,
            address=self.address,
            boot=1,
            boot_id=os.urandom(8),
            rng=random.Random(1),
            now=now,
            now_wall=wall,
        )
        self.runtime = runtime.Runtime(
            self.node,
            self.socket,
            deliver=self._deliver,
            wall=lambda: wall + runtime.boottime() - now,
        )

    @property
    def peer(self) -> PeerId:
        return self.node.peer

    def _deliver(self, event: events.Event) -> None:
        self.told.append(event)
        BELL.ring()

    async def wait_for(self, kind: type[events.Event]) -> None:
        """Wait for an event of a kind."""
        await BELL.wait_until(
            lambda: any(isinstance(event, kind) for event in self.told)
        )


@contextlib.asynccontextmanager
async def running(
    *machines: Machine,
) -> AsyncIterator[dict[Machine, trio.CancelScope]]:
    """Run machines; each is stopped by the scope that is given for it."""
    scopes = {machine: trio.CancelScope() for machine in machines}

    async def run(machine: Machine) -> None:
        with scopes[machine]:
            await machine.runtime.run()

    with contextlib.ExitStack() as sockets:
        for machine in machines:
            sockets.enter_context(machine.socket)
        async with trio.open_nursery() as nursery:
            for machine in machines:
                nursery.start_soon(run, machine)
            yield scopes
            nursery.cancel_scope.cancel()


@pytest.fixture
def overlay() -> throwaway.Overlay:
    return throwaway.Overlay(random.Random(1))


def all_see(*machines: Machine) -> bool:
    return all(
        len(machine.node.members()) == len(machines) for machine in machines
    )


async def test_three_nodes_meet_and_tell_of_themselves(
    overlay: throwaway.Overlay,
) -> None:
    machines = [Machine(overlay, Role.GATEWAY)]
    machines += [Machine(overlay) for _ in range(2)]
    first, second, third = machines
    async with running(*machines):
        third.runtime.publish('a', b'before the join')
        second.runtime.join([first.address])
        third.runtime.join([first.address])
        await BELL.wait_until(lambda: all_see(*machines))

        second.runtime.publish('a', b'after')

        def has(machine: Machine, who: Machine, payload: bytes) -> bool:
            record = machine.node.record(who.peer, 'a')
            return record is not None and record.payload == payload

        await BELL.wait_until(
            lambda: (
                has(first, second, b'after')
                and has(first, third, b'before the join')
            )
        )
        await BELL.wait_until(lambda: has(third, second, b'after'))
    gateway = third.node.member(first.peer)
    assert gateway is not None
    assert gateway.role is Role.GATEWAY
    assert gateway.address == first.address


async def test_stopped_node_fails_and_returns(
    overlay: throwaway.Overlay,
) -> None:
    first, second = Machine(overlay), Machine(overlay)
    async with running(first, second) as scopes:
        second.runtime.join([first.address])
        await first.wait_for(events.PeerJoined)
        await second.wait_for(events.PeerJoined)

        scopes[second].cancel()
        await first.wait_for(events.PeerFailed)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(second.runtime.run)
            await first.wait_for(events.PeerRecovered)
            nursery.cancel_scope.cancel()


async def test_leave_is_told_before_the_call_returns(
    overlay: throwaway.Overlay,
) -> None:
    first, second = Machine(overlay), Machine(overlay)
    async with running(first, second):
        second.runtime.join([first.address])
        await first.wait_for(events.PeerJoined)
        await second.wait_for(events.PeerJoined)

        second.runtime.leave()

        await first.wait_for(events.PeerLeft)
        assert first.node.member(second.peer) is None


async def test_strangers_bytes_are_counted(
    overlay: throwaway.Overlay,
) -> None:
    first, second = Machine(overlay), Machine(overlay)
    async with running(first, second):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b'', first.address)
            stranger.sendto(b'hello', first.address)
            stranger.sendto(bytes(1400), first.address)
            stranger.sendto(b'\x01' + bytes(100), first.address)
        second.runtime.join([first.address])
        await first.wait_for(events.PeerJoined)

    dropped = dict(first.node.statistics().dropped)
    assert dropped == {'malformed': 3, 'seal': 1}


MANY = 300
"""More than are taken at once, and no more than any kernel keeps."""


async def test_socket_full_of_datagrams_is_drained(
    overlay: throwaway.Overlay,
) -> None:
    first, second = Machine(overlay), Machine(overlay)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(MANY):
            stranger.sendto(b'x' * 60, first.address)
    async with running(first, second):
        second.runtime.join([first.address])
        await first.wait_for(events.PeerJoined)

    assert first.node.statistics().received >= MANY


async def test_address_nobody_can_reach_is_counted(
    overlay: throwaway.Overlay,
) -> None:
    first, second = Machine(overlay), Machine(overlay)
    async with running(first, second):
        first.runtime.join([Address('192.0.2.1', 7400)])
        assert first.runtime.send_errors == 1
        second.runtime.join([first.address])
        await first.wait_for(events.PeerJoined)


async def test_node_is_driven_once(overlay: throwaway.Overlay) -> None:
    machine = Machine(overlay)
    async with running(machine):
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(errors.Misuse):
            await machine.runtime.run()


async def test_credentials_end_when_the_wall_clock_says_so(
    overlay: throwaway.Overlay,
) -> None:
    first, second = Machine(overlay), Machine(overlay)
    async with running(first, second):
        second.runtime.join([first.address])
        await first.wait_for(events.PeerJoined)

        first.node.set_wall_clock(
            throwaway.WALL + 366 * 86400, runtime.boottime()
        )

        await first.wait_for(events.PeerLeft)
    assert dict(first.node.statistics().dropped).keys() >= {'stranger'}
