# SPDX-License-Identifier: Apache-2.0
"""Messages that are lost, late, doubled and out of order, from a seed.

Between a gateway and PCs in memory.  A request that was sent arrives
whether or not its sender still waits, or is still alive.
"""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import service as services
from tests.support import fake_pcs

T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Weather:
    """What may happen to a message; each as a probability."""

    lost: float = 0.0
    """Of the request and of its answer."""
    doubled: float = 0.0
    late: float = 0.0
    late_s: float = 60.0
    """At most; longer than a claim is waited for, and a grant lasts."""
    usual_s: float = 0.02
    """At most, of a message that is not late."""


CALM = Weather()
STORM = Weather(lost=0.08, doubled=0.15, late=0.1)


class Network:
    """Carries everything between gateways and PCs.

    :param watch: called after everything that a PC has done
    """

    def __init__(
        self,
        office: fake_pcs.Office,
        rng: random.Random,
        watch: Callable[[fake_pcs.FakePc], None],
    ) -> None:
        self.office = office
        self.weather = CALM
        self.watch = watch
        self.rights: dict[tuple[str, wire.Counter], str] = {}
        """The PC that each epoch was given to."""
        self.claims: dict[str, collections.Counter[str]] = {}
        """What gateways have heard of them, by instance."""
        self.happened: collections.Counter[str] = collections.Counter()
        self._rng = rng
        self._thawed: dict[str, trio.Event] = {}
        self._nursery: trio.Nursery | None = None
        self._working: dict[str, set[trio.CancelScope]] = {
            peer: set() for peer in office.pcs
        }

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Carry messages until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def connect(
        self,
        peer: str,
        command: wire.Command,
        timeout_s: float,
        request_id: str,
    ) -> Messenger:
        """As a gateway's ``Connect``."""
        return Messenger(self, self.office.pcs[peer], command)

    def tell(self, service: services.GatewayService) -> None:
        """Everything that the overlay knows now."""
        self.office.tell(service)

    def freeze(self, pc: fake_pcs.FakePc) -> None:
        """Let it begin nothing, like a stopped process."""
        self._thawed.setdefault(pc.id, trio.Event())

    def thaw(self, pc: fake_pcs.FakePc) -> None:
        """Let it go on with all that has come meanwhile."""
        if pc.id in self._thawed:
            self._thawed.pop(pc.id).set()

    def cut_power(self, pc: fake_pcs.FakePc) -> None:
        """Off and on again: whatever it was doing ends."""
        self.happened['power cut'] += 1
        for scope in self._working[pc.id]:
            scope.cancel()
        pc.lose_power()
        self.watch(pc)

    async def carry(
        self, pc: fake_pcs.FakePc, call: Callable[[], Awaitable[T]]
    ) -> T:
        """Have a PC do something; waits for ever if no answer comes."""
        assert self._nursery is not None
        send, receive = trio.open_memory_channel[T | errors.P2PcsError](8)
        copies = 1 + self._happens('doubled', self.weather.doubled)
        for _ in range(copies):
            self._nursery.start_soon(self._deliver, pc, call, send.clone())
        with send, receive:
            answer = await receive.receive()
        if isinstance(answer, errors.P2PcsError):
            raise answer
        return answer

    async def _deliver(
        self,
        pc: fake_pcs.FakePc,
        call: Callable[[], Awaitable[T]],
        send: trio.MemorySendChannel[T | errors.P2PcsError],
    ) -> None:
        if not await self._travel():
            return
        if pc.id in self._thawed:
            await self._thawed[pc.id].wait()
        answer: T | errors.P2PcsError
        answer = errors.Unreachable(f'{pc.name} has lost power')
        with trio.CancelScope() as scope:
            self._working[pc.id].add(scope)
            try:
                answer = await call()
            except errors.P2PcsError as error:
                answer = error
            finally:
                self._working[pc.id].discard(scope)
            self.watch(pc)
        if await self._travel():
            try:
                send.send_nowait(answer)
            except trio.BrokenResourceError:
                self.happened['nobody waits'] += 1

    async def _travel(self) -> bool:
        """Whether the message arrives, when it does."""
        if self._happens('lost', self.weather.lost):
            return False
        is_late = self._happens('late', self.weather.late)
        await trio.sleep(
            self._rng.uniform(
                0.0, self.weather.late_s if is_late else self.weather.usual_s
            )
        )
        return True

    def _happens(self, what: str, probability: float) -> bool:
        found = self._rng.random() < probability
        self.happened[what] += found
        return found


class Messenger(fake_pcs.Session):
    """A session of which each request and answer is a message."""

    def __init__(
        self, network: Network, pc: fake_pcs.FakePc, command: wire.Command
    ) -> None:
        super().__init__(pc, command)
        self._network = network

    async def _carry(self, call: Callable[[], Awaitable[T]]) -> T:
        return await self._network.carry(self._pc, call)

    async def claim(self, claim: wire.Claim) -> wire.Reservation:
        ask = super().claim
        heard = self._network.claims.setdefault(
            claim.instance, collections.Counter()
        )
        try:
            grant = await self._carry(lambda: ask(claim))
        except errors.P2PcsError as error:
            heard[error.code] += 1
            raise
        heard['granted'] += 1
        return grant

    async def release(self, reservation: str) -> None:
        ask = super().release
        await self._carry(lambda: ask(reservation))

    async def build(
        self, instance: str, request: wire.BuildRequest
    ) -> wire.InstanceStatus:
        right = msgspec.json.decode(
            request.run_right.payload, type=wire.RunRight
        )
        owner = self._network.rights.setdefault(
            (instance, right.epoch), right.peer
        )
        assert owner == right.peer, f'epoch {right.epoch} is given twice'
        ask = super().build
        return await self._carry(lambda: ask(instance, request))

    async def action(
        self, instance: str, request: wire.ActionRequest
    ) -> wire.InstanceStatus:
        ask = super().action
        return await self._carry(lambda: ask(instance, request))

    async def tombstone(self, tombstone: wire.Tombstone) -> None:
        ask = super().tombstone
        await self._carry(lambda: ask(tombstone))

    async def instances(self) -> wire.InstanceList:
        return await self._carry(super().instances)

    async def instance(self, instance: str) -> wire.InstanceStatus:
        ask = super().instance
        return await self._carry(lambda: ask(instance))
