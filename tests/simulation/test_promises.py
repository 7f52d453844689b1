# SPDX-License-Identifier: Apache-2.0
"""Claims and reservations together, whatever becomes of their messages.

A gateway that is restarted and PCs that lose power, freeze and fail, with
messages lost, late, doubled and out of order between them, from a seed.

Always: no PC promises more than it offers; no epoch is given to two PCs;
whatever a PC holds is named by the gateway, as a row or as a grave; an
instance that is ACTIVE is on exactly one PC, those aside that are known to
have it still to be destroyed; servers that are to be apart are apart.  In
the end: what the gateway names runs once, nothing else runs anywhere, and
nothing but that is promised.
"""

from __future__ import annotations

import collections
import pathlib
import random

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from tests.support import fake_pcs, gateways, repeatable
from tests.support.bad_network import CALM, STORM, Network
from tests.support.small_office import ROOM_FOR_3, SMALL

pytestmark = pytest.mark.trio

PCS, SERVERS, LIVES, LIFE_S = 5, 14, 4, 90.0
"""Nearly as many servers as there is room for."""
APART = 4
"""So many of them are in one group."""
GROUP = wire.ServerGroup(
    '00000000-0000-0000-0000-00000000a9a7', wire.GroupPolicy.ANTI_AFFINITY
)
OPTIONS = config.Options(
    build_timeout_s=20.0, spawn_timeout_s=90.0, destroy_timeout_s=5.0
)

Held = tuple[str, wire.Counter, str]
"""Instance, epoch, PC."""


class Trial:
    """One run: what happens is drawn from ``rng`` alone."""

    def __init__(self, folder: pathlib.Path, rng: random.Random) -> None:
        self.folder = folder
        self.rng = rng
        self.pcs = fake_pcs.Office(
            *(fake_pcs.FakePc(n + 1, ROOM_FOR_3) for n in range(PCS))
        )
        self.network = Network(self.pcs, rng, self.watch)
        self.service: services.GatewayService | None = None
        self.destroyed: set[str] = set()
        self.outcomes: collections.Counter[str] = collections.Counter()

    async def run(self) -> None:
        """Some lives of the gateway, then calm and the reckoning."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.network.run)
            self.network.weather = STORM
            for life in range(LIVES):
                await self.live(life)
            self.network.weather = CALM
            for pc in self.pcs.pcs.values():
                self.heal(pc)
            await trio.sleep(STORM.late_s + OPTIONS.build_timeout_s)
            async with gateways.running(
                self.folder, self.network, options=OPTIONS
            ) as service:
                await trio.sleep(2 * OPTIONS.retry_last_s + fake_pcs.HOLD_S)
                self.reckon(service)
            nursery.cancel_scope.cancel()

    async def live(self, life: int) -> None:
        """One life of the gateway, which ends like a killed process's."""
        async with (
            gateways.running(
                self.folder, self.network, seed=life, options=OPTIONS
            ) as self.service,
            trio.open_nursery() as nursery,
        ):
            for pc in self.pcs.pcs.values():
                nursery.start_soon(self.trouble, self.service, pc)
            for number in range(SERVERS):
                nursery.start_soon(self.use, self.service, number)
            await trio.sleep(self.rng.uniform(0.2, 1.0) * LIFE_S)
            nursery.cancel_scope.cancel()
        self.service = None

    async def trouble(
        self, service: services.GatewayService, pc: fake_pcs.FakePc
    ) -> None:
        """A PC works for a while, then does not, and so on."""
        rng = self.rng
        while True:
            self.heal(pc)
            pc.build_s = rng.choice([0.1, 1.0, 15.0, 40.0])
            self.pcs.tell_liveness(service, pc, views.Liveness.ALIVE)
            self.pcs.tell_records(service, pc)
            await trio.sleep(rng.uniform(0.0, 30.0))
            fault = rng.choice(['frozen', 'cut', 'power', 'build', 'slow'])
            pc.cut = fault in ('cut', 'power')
            pc.claim_s = 2.0 if fault == 'slow' else 0.0
            if fault == 'build':
                pc.build_errors = [errors.HypervisorFailed('x')] * 2
            elif fault == 'frozen':
                self.network.freeze(pc)
            elif fault == 'power':
                self.network.cut_power(pc)
            await trio.sleep(rng.uniform(0.0, 10.0))
            is_away = fault in ('cut', 'power', 'frozen')
            if is_away and rng.random() < 0.7:
                self.pcs.tell_liveness(service, pc, views.Liveness.FAILED)
                await trio.sleep(rng.uniform(0.0, 20.0))

    def heal(self, pc: fake_pcs.FakePc) -> None:
        """The PC is in order again."""
        self.network.thaw(pc)
        pc.cut = False
        pc.build_errors = []
        pc.claim_s = 0.0

    async def use(self, service: services.GatewayService, number: int) -> None:
        """A server is made, started, asked for, deleted, made again."""
        group = GROUP if number < APART else None
        request = fake_pcs.spawn_request(number, SMALL, group=group)
        uuid = request.claim.instance
        while True:
            await trio.sleep(self.rng.uniform(0.0, 10.0))
            try:
                with trio.move_on_after(self.rng.choice([5.0, 60.0])):
                    placed = await service.instances.spawn('all', request)
                    self.outcomes['placed'] += 1
                    await self.start(service, uuid)
                    self.outcomes['active'] += 1
                    if self.rng.random() < 0.6:
                        await self.rebuild(service, request, placed)
                await service.instances.look(
                    'all', uuid, '', fresh=self.rng.random() < 0.5
                )
            except errors.P2PcsError as error:
                self.outcomes[error.code] += 1
            if self.rng.random() < 0.4:
                self.destroyed.add(uuid)
                gone = await service.instances.destroy('all', uuid, '')
                self.outcomes[f'destroyed: {gone.done}'] += 1

    async def rebuild(
        self,
        service: services.GatewayService,
        request: wire.SpawnRequest,
        placed: wire.Placed,
    ) -> None:
        """One that fails leaves what was, or is as if it were deleted."""
        uuid, old = request.spec.instance, placed.status.epoch
        was_destroyed = uuid in self.destroyed
        self.destroyed.add(uuid)
        try:
            await service.instances.spawn(
                'all', msgspec.structs.replace(request, instead_of=old)
            )
        except errors.P2PcsError:
            left = await service.instances.look('all', uuid, '', fresh=False)
            if left.status.epoch != old:
                raise
            self.outcomes['not rebuilt'] += 1
        else:
            self.outcomes['rebuilt'] += 1
        if not was_destroyed:
            self.destroyed.discard(uuid)
        await self.start(service, uuid)

    async def start(self, service: services.GatewayService, uuid: str) -> None:
        """As the driver does: after that Nova calls it ACTIVE."""
        placed = await service.instances.act(
            'all', uuid, wire.ActionRequest(wire.Action.START), ''
        )
        doomed = {
            (grave.instance, grave.epoch)
            for grave in service.instances.graves.listed(uuid).graves
        }
        on_pcs = [
            pc.id
            for pc in self.pcs.live(uuid)
            if (uuid, pc.instances[uuid].epoch) not in doomed
        ]
        assert on_pcs == [placed.peer]
        apart = [
            row.peer
            for row in service.instances.rows('all')
            if int(row.status.instance[-12:], 16) <= APART
        ]
        assert len(apart) == len(set(apart))

    def watch(self, pc: fake_pcs.FakePc) -> None:
        """What is true at every moment."""
        promised = pc.reservations.promised()
        assert pc.offer.total.fits(promised)
        assert pc.reservations.held().fits(needs_of(pc))
        for status in pc.instances.values():
            given = self.network.rights[status.instance, status.epoch]
            assert given == pc.id
            if status.state is wire.InstanceState.RUNNING:
                self.runs_once(status.instance)
        if self.service is not None:
            assert held_by(pc) <= named_by(self.service)

    def runs_once(self, uuid: str) -> None:
        """Unless its user deleted one before he made the other."""
        running = [
            pc.name
            for pc in self.pcs.live(uuid)
            if pc.instances[uuid].state is wire.InstanceState.RUNNING
        ]
        assert len(running) == 1 or uuid in self.destroyed

    def reckon(self, service: services.GatewayService) -> None:
        """What must be true at the end."""
        there = [held_by(pc) for pc in self.pcs.pcs.values()]
        assert set[Held]().union(*there) == named_by(service)
        assert not service.instances.graves.listed().graves
        for pc in self.pcs.pcs.values():
            pc.reservations.expire(trio.current_time())
            assert pc.reservations.promised() == needs_of(pc)


def held_by(pc: fake_pcs.FakePc) -> set[Held]:
    """All that a PC has."""
    return {(one.instance, one.epoch, pc.id) for one in pc.instances.values()}


def named_by(service: services.GatewayService) -> set[Held]:
    """All that the gateway knows, as alive or as to be destroyed."""
    return {
        (row.status.instance, row.status.epoch, row.peer)
        for row in service.instances.rows('all')
    } | {
        (grave.instance, grave.epoch, grave.peer)
        for grave in service.instances.graves.listed().graves
    }


def needs_of(pc: fake_pcs.FakePc) -> wire.Capacity:
    """The sum of what it has built."""
    return sum((one.need for one in pc.instances.values()), wire.Capacity())


async def check(folder: pathlib.Path, seed: int) -> None:
    """One trial; a failing one tells its seed."""
    repeatable.order_tasks_by(seed)
    trial = Trial(folder, random.Random(seed))
    try:
        await trial.run()
    except BaseException as error:
        error.add_note(f'seed {seed}')
        raise
    for outcome in ('placed', 'active', 'destroyed: True'):
        assert trial.outcomes[outcome] > 5, f'seed {seed}'
    assert trial.outcomes['rebuilt'], f'seed {seed}'
    for what in ('lost', 'late', 'doubled', 'nobody waits', 'power cut'):
        assert trial.network.happened[what], f'seed {seed}'


@pytest.mark.parametrize('seed', range(4))
async def test_no_message_makes_a_promise_twice_or_keep_for_ever(
    autojump_clock: MockClock, tmp_path: pathlib.Path, seed: int
) -> None:
    await check(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(4, 104))
async def test_no_message_of_many_trials_makes_a_promise_twice(
    autojump_clock: MockClock, tmp_path: pathlib.Path, seed: int
) -> None:
    await check(tmp_path, seed)
