# SPDX-License-Identifier: Apache-2.0
"""What is said of a slice, and waited for."""

from __future__ import annotations

import pathlib

import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import view as views
from tests.support import gateways
from tests.support.small_office import SMALL, office, spawn

pytestmark = pytest.mark.trio

STATE = wire.InstanceState


async def test_waiting_for_placements_ends_with_a_change(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        before = service.placements('all')
        await trio.sleep(10.0)

        async def crash() -> None:
            await trio.sleep(7.0)
            pc.instances[placed.status.instance] = wire.InstanceStatus(
                placed.status.instance,
                placed.status.epoch,
                'all',
                STATE.CRASHED,
                SMALL,
            )
            pcs.tell_records(service, pc)

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash)
            after = await service.wait_placements('all', before.revision, 30)
        assert trio.current_time() == pytest.approx(began + 7.0)
        assert after.revision > before.revision
        (seen,) = after.instances
        assert seen.status.state is STATE.CRASHED


async def test_waiting_for_placements_ends_without_a_change_in_time(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with gateways.running(tmp_path, office(1)) as service:
        before = service.placements('all')
        began = trio.current_time()
        assert before == await service.wait_placements(
            'all', before.revision, 5.0
        )
        assert trio.current_time() == pytest.approx(began + 5.0)


async def test_pc_that_fails_and_returns_changes_the_placements(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        await spawn(service)
        revisions = [service.placements('all').revision]
        for liveness in (
            views.Liveness.SUSPECT,
            views.Liveness.FAILED,
            views.Liveness.ALIVE,
        ):
            pcs.tell_liveness(service, pc, liveness)
            revisions.append(service.placements('all').revision)
        assert revisions[0] == revisions[1] < revisions[2] < revisions[3]
        service.peer_gone(pc.id)
        (seen,) = service.placements('all').instances
        assert not seen.reachable


async def test_slice_that_nobody_names_is_not_found(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with gateways.running(tmp_path, office(1)) as service:
        with pytest.raises(errors.NotFound, match='the policy has all'):
            service.slice_summary('gold')


async def test_service_that_does_not_run_is_unavailable(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    service = gateways.make_service(tmp_path, office(1))
    with pytest.raises(errors.Unavailable):
        service.slices()
