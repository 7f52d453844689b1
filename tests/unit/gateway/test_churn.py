# SPDX-License-Identifier: Apache-2.0
"""A gateway among PCs that fail in every way, from a seed.

Whatever happened, when all is well again each instance that the gateway
names runs once, on the PC and by the epoch that it names, and nothing
else runs anywhere; no PC has ever promised more than it offers.
"""

from __future__ import annotations

import collections
import pathlib
import random

import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from tests.support import fake_pcs, gateways
from tests.support.small_office import ROOM_FOR_3, SMALL

pytestmark = pytest.mark.trio

PCS, SERVERS, LIVES, LIFE_S = 5, 10, 4, 60.0
OPTIONS = config.Options(
    build_timeout_s=20.0, spawn_timeout_s=90.0, destroy_timeout_s=5.0
)


class Churn:
    """One run: what happens is drawn from ``rng`` alone."""

    def __init__(self, folder: pathlib.Path, rng: random.Random) -> None:
        self.folder = folder
        self.rng = rng
        self.pcs = fake_pcs.Office(
            *(fake_pcs.FakePc(n + 1, ROOM_FOR_3) for n in range(PCS))
        )
        for pc in self.pcs.pcs.values():
            pc.commits_first = True
        self.outcomes: collections.Counter[str] = collections.Counter()

    async def run(self) -> None:
        """Some lives of the gateway, then peace and the reckoning."""
        for life in range(LIVES):
            async with (
                gateways.running(
                    self.folder, self.pcs, seed=life, options=OPTIONS
                ) as service,
                trio.open_nursery() as nursery,
            ):
                for pc in self.pcs.pcs.values():
                    nursery.start_soon(self.trouble, service, pc)
                for number in range(SERVERS):
                    nursery.start_soon(self.use, service, number)
                await trio.sleep(self.rng.uniform(0.2, 1.0) * LIFE_S)
                nursery.cancel_scope.cancel()
        for pc in self.pcs.pcs.values():
            heal(pc)
        async with gateways.running(
            self.folder, self.pcs, options=OPTIONS
        ) as service:
            await trio.sleep(2 * OPTIONS.retry_last_s)
            self.reckon(service)

    async def trouble(
        self, service: services.GatewayService, pc: fake_pcs.FakePc
    ) -> None:
        """A PC works for a while, then does not, and so on."""
        rng = self.rng
        while True:
            heal(pc)
            pc.build_s = rng.choice([0.1, 1.0, 15.0, 40.0])
            self.pcs.tell_liveness(service, pc, views.Liveness.ALIVE)
            self.pcs.tell_records(service, pc)
            await trio.sleep(rng.uniform(0.0, 20.0))
            fault = rng.choice(['frozen', 'cut', 'build', 'silent', 'slow'])
            self.outcomes[fault] += 1
            pc.frozen, pc.cut = fault == 'frozen', fault == 'cut'
            pc.claim_s = 2.0 if fault == 'slow' else 0.0
            pc.silent_builds = 2 if fault == 'silent' else 0
            if fault == 'build':
                pc.build_errors = [errors.HypervisorFailed('x')] * 2
            await trio.sleep(rng.uniform(0.0, 10.0))
            if (pc.frozen or pc.cut) and rng.random() < 0.7:
                self.pcs.tell_liveness(service, pc, views.Liveness.FAILED)
                await trio.sleep(rng.uniform(0.0, 20.0))

    async def use(self, service: services.GatewayService, number: int) -> None:
        """A server is made, asked for, deleted, and made again."""
        request = fake_pcs.spawn_request(number, SMALL)
        uuid = request.claim.instance
        while True:
            await trio.sleep(self.rng.uniform(0.0, 10.0))
            try:
                with trio.move_on_after(self.rng.choice([5.0, 60.0])):
                    await service.instances.spawn('all', request)
                    self.outcomes['placed'] += 1
                await service.instances.look(
                    'all', uuid, '', fresh=self.rng.random() < 0.5
                )
            except errors.P2PcsError as error:
                self.outcomes[error.code] += 1
            if self.rng.random() < 0.6:
                gone = await service.instances.destroy('all', uuid, '')
                self.outcomes[f'destroyed: {gone.done}'] += 1

    def reckon(self, service: services.GatewayService) -> None:
        """What must be true at the end."""
        named = {
            placed.status.instance: (placed.peer, placed.status.epoch)
            for placed in service.placements('all').instances
        }
        running = {
            (status.instance, pc.id, status.epoch)
            for pc in self.pcs.pcs.values()
            for status in pc.instances.values()
        }
        assert running == {(uuid, *where) for uuid, where in named.items()}
        for pc in self.pcs.pcs.values():
            assert pc.offer.total.fits(pc.most_promised)
            pc.reservations.expire(trio.current_time())
            held = sum((SMALL for _ in pc.instances), wire.Capacity())
            assert pc.reservations.promised() == held


def heal(pc: fake_pcs.FakePc) -> None:
    """The PC is in order again."""
    pc.frozen = pc.cut = False
    pc.build_errors = []
    pc.silent_builds = 0
    pc.claim_s = 0.0


@pytest.mark.parametrize('seed', range(3))
async def test_everything_named_runs_once_and_nothing_else_runs(
    autojump_clock: MockClock, tmp_path: pathlib.Path, seed: int
) -> None:
    churn = Churn(tmp_path, random.Random(seed))
    await churn.run()
    assert churn.outcomes['placed'] > 5
    assert churn.outcomes['destroyed: True'] > 5
