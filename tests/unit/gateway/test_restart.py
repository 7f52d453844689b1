# SPDX-License-Identifier: Apache-2.0
"""A gateway's restart: what was placed, and what was being built."""

from __future__ import annotations

import pathlib

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import wire
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from tests.support import fake_pcs, gateways
from tests.support.small_office import SMALL, look, office, spawn

pytestmark = pytest.mark.trio

STATE = wire.InstanceState


def term_now(service: services.GatewayService) -> wire.Counter:
    term = service.slice_summary('all').term
    assert term is not None
    return term


async def test_restart_takes_a_higher_term_and_keeps_the_placements(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        first = service.placements('all')
    async with gateways.running(tmp_path, pcs, seed=2) as service:
        second = service.placements('all')
        assert second.revision > first.revision
        assert [p.peer for p in second.instances] == [placed.peer]
        await trio.sleep(1.0)
        seen = await look(service, placed, fresh=False)
        assert seen == placed
        assert term_now(service) > placed.status.epoch
        again = await spawn(service, 1)
        assert again.status.epoch > term_now(service)
    terms = [command.term for command in pcs.commands]
    assert terms == sorted(terms)


async def test_placements_are_known_before_any_pc_is_heard_of(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
    async with gateways.running(tmp_path, office(0)) as service:
        seen = await look(service, placed, fresh=True)
        assert (seen.status.state, seen.reachable) == (STATE.UNKNOWN, False)
        assert seen.peer_name == 'pc1'
        summary = service.slice_summary('all')
        assert (summary.peers, summary.unreachable) == (1, 1)
        assert summary.total == summary.used == SMALL


async def crash_while_building(
    tmp_path: pathlib.Path, pcs: fake_pcs.Office
) -> None:
    """The gateway dies between a build's request and its answer."""
    async with gateways.running(tmp_path, pcs) as service:
        with trio.move_on_after(5.0):
            await spawn(service)


async def test_build_that_a_crash_interrupted_is_adopted_if_it_is_there(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    pc.build_s = 20.0
    request = fake_pcs.spawn_request(0, SMALL)
    await crash_while_building(tmp_path, pcs)
    row = await row_of(tmp_path)
    pc.instances[row.instance] = wire.InstanceStatus(
        row.instance, row.epoch, row.slice, STATE.PLUGGED, row.need
    )
    async with gateways.running(tmp_path, pcs) as service:
        await trio.sleep(1.0)
        placed = await service.instances.spawn('all', request)
        assert placed.status.epoch == row.epoch
        assert placed.status.state is STATE.PLUGGED
        assert pc.calls.count('build') == 1


@pytest.mark.parametrize('end', [STATE.PLUGGED, STATE.FAILED])
async def test_build_that_ends_after_the_visit_is_judged_by_what_its_pc_says(
    autojump_clock: MockClock, tmp_path: pathlib.Path, end: wire.InstanceState
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    pc.build_s = 20.0
    await crash_while_building(tmp_path, pcs)
    row = await row_of(tmp_path)
    building = msgspec.structs.replace(row, state=STATE.BUILDING)
    pc.instances[row.instance] = building
    async with gateways.running(tmp_path, pcs) as service:
        await trio.sleep(1.0)
        pc.calls.clear()
        pcs.tell_records(service, pc)
        await trio.sleep(60.0)
        assert pc.calls == []
        pc.instances[row.instance] = msgspec.structs.replace(row, state=end)
        pcs.tell_records(service, pc)
        await trio.sleep(1.0)
        if end is STATE.FAILED:
            assert service.placements('all').instances == ()
            assert pc.tombstones == {row.instance: row.epoch}
            return
        started = await service.instances.act(
            'all', row.instance, wire.ActionRequest(wire.Action.START), ''
        )
        assert started.status.state is STATE.RUNNING
        pc.calls.clear()
        pcs.tell_records(service, pc)
        await trio.sleep(60.0)
        assert pc.calls == []


async def row_of(tmp_path: pathlib.Path) -> wire.InstanceStatus:
    """The one row that the database holds, seen by a gateway alone."""
    async with gateways.running(tmp_path, office(0)) as service:
        (placed,) = service.placements('all').instances
        return placed.status


async def test_build_that_a_crash_interrupted_is_buried_if_it_is_not(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    pc.build_s = 20.0
    await crash_while_building(tmp_path, pcs)
    row = await row_of(tmp_path)
    async with gateways.running(tmp_path, pcs) as service:
        await trio.sleep(1.0)
        assert service.placements('all').instances == ()
        assert pc.tombstones == {row.instance: row.epoch}
        pc.build_s = 1.0
        placed = await spawn(service)
        assert placed.status.epoch > row.epoch


async def test_spawn_repeated_after_a_crash_goes_on_with_its_epoch(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    pc.build_s = 20.0
    await crash_while_building(tmp_path, pcs)
    row = await row_of(tmp_path)
    pc.instances[row.instance] = wire.InstanceStatus(
        row.instance, row.epoch, row.slice, STATE.PLUGGED, row.need
    )
    service = gateways.make_service(tmp_path, pcs)
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        await gateways.command_all(service)
        for one in pcs.pcs.values():
            pcs.tell_liveness(service, one, views.Liveness.ALIVE)
        placed = await spawn(service)
        assert placed.status.epoch == row.epoch
        assert len(pcs.live(row.instance)) == 1
        nursery.cancel_scope.cancel()
