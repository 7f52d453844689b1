# SPDX-License-Identifier: Apache-2.0
"""Instances built anew: on their PC, and never lost for a refusal."""

from __future__ import annotations

import dataclasses
import pathlib

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.partition import NO_MAP, Partition, next_map
from tests.support import fake_pcs, gateways
from tests.support.small_office import SMALL, office, spawn

pytestmark = pytest.mark.trio


async def rebuild(
    service: services.GatewayService,
    placed: wire.Placed,
    wishes: wire.Wishes = fake_pcs.NO_WISHES,
) -> wire.Placed:
    """The first instance of the slice, in the place of what it was."""
    request = fake_pcs.spawn_request(0, SMALL, wishes=wishes)
    assert request.spec.instance == placed.status.instance
    return await service.instances.spawn(
        'all',
        msgspec.structs.replace(
            request, has_run=True, instead_of=placed.status.epoch
        ),
    )


def have_it_fail_and_stay(pc: fake_pcs.FakePc) -> None:
    """Neither build anew nor destroy what it has."""
    pc.build_errors = [errors.HypervisorBusy('no')]
    pc.tombstone_errors = [errors.HypervisorBusy('no')] * 99


async def drain(service: services.GatewayService) -> None:
    """Have a policy that does not know the slice any more."""
    newer = reading.read_policy(
        'version: 2\nslices: [{name: new, match: {}}]', 'policy'
    )
    slices = next_map(newer, NO_MAP, {}, await service.occupied())
    service.set_partition(Partition(newer, slices))


async def test_rebuilt_instance_stays_on_a_full_pc_of_a_drained_slice(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2, SMALL)
    async with gateways.running(tmp_path, pcs) as service:
        before = await spawn(service)
        pcs.pcs[before.peer].draining = True
        await drain(service)
        # Neither is true of any PC by now.
        wishes = wire.Wishes(slice='all', query='cores > 999')
        after = await rebuild(service, before, wishes)
        assert after.peer == before.peer
        assert after.status.epoch > before.status.epoch
        assert after.status.state is wire.InstanceState.PLUGGED
        await trio.sleep(1)
        assert (await service.graves()).graves == ()
        (pc,) = pcs.live(after.status.instance)
        assert pc.reservations.promised() == SMALL


async def test_repeated_rebuild_is_answered_by_the_first(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    async with gateways.running(tmp_path, pcs) as service:
        before = await spawn(service)
        after = await rebuild(service, before)
        assert await rebuild(service, before) == after


@pytest.mark.parametrize('reachable', [True, False])
async def test_instance_that_its_pc_does_not_take_stays_as_it_was(
    autojump_clock: MockClock, tmp_path: pathlib.Path, reachable: bool
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        before = await spawn(service)
        pc = pcs.pcs[before.peer]
        if reachable:
            pc.reservations.set_offer(wire.Offer(wire.Capacity()))
        else:
            pcs.tell_liveness(service, pc, views.Liveness.FAILED)
        with pytest.raises(errors.NoPeerFits, match=f'{pc.name}, which has'):
            await rebuild(service, before)
        [left] = service.placements('all').instances
        assert left.status.epoch == before.status.epoch
        assert pcs.live(before.status.instance) == [pc]
        assert (await service.graves()).graves == ()


async def test_time_that_is_over_ends_nothing_that_was_not_begun(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    options = dataclasses.replace(config.DEFAULTS, spawn_timeout_s=2.0)
    async with gateways.running(tmp_path, pcs, options=options) as service:
        before = await spawn(service)
        (pc,) = pcs.pcs.values()
        pc.frozen = True
        with pytest.raises(errors.NoPeerFits, match='none within 2 s'):
            await rebuild(service, before)
        assert pcs.live(before.status.instance) == [pc]
        assert len(service.placements('all').instances) == 1


async def test_rebuild_that_its_pc_begins_and_fails_goes_on_elsewhere(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        before = await spawn(service)
        pcs.pcs[before.peer].build_errors = [errors.HypervisorFailed('no')]
        after = await rebuild(service, before)
        assert after.peer != before.peer
        (live,) = pcs.live(before.status.instance)
        assert live.id == after.peer


async def test_rebuild_goes_nowhere_while_its_pc_may_still_run_it(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        before = await spawn(service)
        pc = pcs.pcs[before.peer]
        have_it_fail_and_stay(pc)
        with pytest.raises(errors.NoPeerFits, match='1 hypervisor busy'):
            await rebuild(service, before)
        assert pcs.live(before.status.instance) == [pc]
        assert service.placements('all').instances == ()


async def test_rebuild_waits_for_what_an_earlier_one_has_left_behind(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        before = await spawn(service)
        pc = pcs.pcs[before.peer]
        have_it_fail_and_stay(pc)
        with pytest.raises(errors.NoPeerFits):
            await rebuild(service, before)
        again = msgspec.structs.replace(
            fake_pcs.spawn_request(0, SMALL), has_run=True
        )
        with pytest.raises(errors.NoPeerFits, match=f'{pc.name} has still'):
            await service.instances.spawn('all', again)
        assert pcs.live(before.status.instance) == [pc]
        pc.tombstone_errors = []
        after = await service.instances.spawn('all', again)
        (live,) = pcs.live(before.status.instance)
        assert live.id == after.peer


async def test_rebuild_that_comes_after_the_deletion_builds_nothing(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        before = await spawn(service)
        instance = before.status.instance
        await service.instances.destroy('all', instance, '')
        with pytest.raises(errors.WrongState, match='deleted'):
            await rebuild(service, before)
        assert pcs.live(instance) == []


async def test_wish_that_is_none_any_more_ends_what_must_go_elsewhere(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    wishes = wire.Wishes(query='floor > 3')
    async with gateways.running(tmp_path, pcs) as service:
        before = await spawn(service)
        pcs.pcs[before.peer].build_errors = [errors.HypervisorFailed('no')]
        with pytest.raises(errors.Malformed, match='floor'):
            await rebuild(service, before, wishes)
        assert pcs.live(before.status.instance) == []


async def test_drained_slice_says_why_a_rebuild_goes_nowhere_else(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        before = await spawn(service)
        await drain(service)
        pcs.pcs[before.peer].build_errors = [errors.HypervisorFailed('no')]
        with pytest.raises(
            errors.NoPeerFits, match='drained; 1 PC: 1 hypervisor failed'
        ):
            await rebuild(service, before)


async def test_rebuild_that_has_begun_and_failed_leaves_nothing(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    async with gateways.running(tmp_path, pcs) as service:
        before = await spawn(service)
        pcs.build_errors(errors.HypervisorFailed('no'))
        with pytest.raises(errors.NoPeerFits, match='1 hypervisor failed'):
            await rebuild(service, before)
        await trio.sleep(1)
        assert pcs.live(before.status.instance) == []
        assert service.placements('all').instances == ()
