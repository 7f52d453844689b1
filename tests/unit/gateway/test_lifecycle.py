# SPDX-License-Identifier: Apache-2.0
"""A gateway's service after the spawn: look and act."""

from __future__ import annotations

import pathlib

import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import view as views
from tests.support import gateways
from tests.support.small_office import look, office, spawn

pytestmark = pytest.mark.trio

STATE = wire.InstanceState
START = wire.ActionRequest(wire.Action.START)


async def test_action_reaches_the_pc_with_the_epoch_it_runs(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        after = await service.instances.act(
            'all', placed.status.instance, START, ''
        )
        assert after.status.state is STATE.RUNNING
        assert (await look(service, placed, fresh=False)) == after


async def test_pc_that_failed_is_not_asked_and_keeps_its_last_state(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        uuid = placed.status.instance
        await service.instances.act('all', uuid, START, '')
        pcs.tell_liveness(service, pc, views.Liveness.FAILED)
        pc.frozen = True
        pc.calls.clear()
        for fresh in (True, False):
            seen = await look(service, placed, fresh)
            assert seen.status.state is STATE.RUNNING
            assert not seen.reachable
        with pytest.raises(errors.Unreachable, match='pc1 is out of reach'):
            await service.instances.act('all', uuid, START, '')
        assert pc.calls == []


async def test_frozen_pc_delays_no_request_for_another(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        one, two = await spawn(service, 0), await spawn(service, 1)
        assert one.peer != two.peer
        pcs.pcs[one.peer].frozen = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look, service, one, True)
            nursery.start_soon(
                service.instances.destroy, 'all', one.status.instance, ''
            )
            began = trio.current_time()
            await look(service, two, fresh=True)
            await service.instances.act('all', two.status.instance, START, '')
            assert service.slice_summary('all').peers == 2
            assert service.placements('all').instances
            await service.instances.console('all', two.status.instance, 9, '')
            assert trio.current_time() == pytest.approx(began, abs=0.1)


async def test_pc_that_says_nothing_is_shown_as_out_of_reach(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        pcs.pcs[placed.peer].frozen = True
        seen = await look(service, placed, fresh=True)
        assert (seen.reachable, seen.status.state) == (False, STATE.PLUGGED)


async def test_instance_that_its_pc_has_lost_is_unknown(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        pcs.pcs[placed.peer].instances.clear()
        seen = await look(service, placed, fresh=True)
        assert seen.status.state is STATE.UNKNOWN
        assert 'does not know it' in seen.status.detail
