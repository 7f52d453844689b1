# SPDX-License-Identifier: Apache-2.0
"""A gateway's service after the spawn: look, act, destroy, restart."""

from __future__ import annotations

import pathlib
import uuid as uuids

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import store
from p2pcs_nova.gateway import view as views
from p2pcs_nova.peer import terms
from tests.support import fake_pcs, gateways

pytestmark = pytest.mark.trio

SMALL = wire.Capacity(1, 64, 100)
ROOM_FOR_3 = wire.Capacity(3, 192, 300)
STATE = wire.InstanceState


def office(count: int) -> fake_pcs.Office:
    return fake_pcs.Office(
        *(fake_pcs.FakePc(n, ROOM_FOR_3) for n in range(1, count + 1))
    )


async def spawn(
    service: services.GatewayService, number: int = 0
) -> wire.Placed:
    return await service.instances.spawn(
        'all', fake_pcs.spawn_request(number, SMALL)
    )


async def look(
    service: services.GatewayService, placed: wire.Placed, fresh: bool
) -> wire.Placed:
    return await service.instances.look(
        'all', placed.status.instance, '', fresh=fresh
    )


def start(action: wire.Action = wire.Action.START) -> wire.ActionRequest:
    return wire.ActionRequest(action)


async def test_action_reaches_the_pc_with_the_epoch_it_runs(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        after = await service.instances.act(
            'all', placed.status.instance, start(), ''
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
        await service.instances.act('all', uuid, start(), '')
        pcs.tell_liveness(service, pc, views.Liveness.FAILED)
        pc.frozen = True
        pc.calls.clear()
        for fresh in (True, False):
            seen = await look(service, placed, fresh)
            assert seen.status.state is STATE.RUNNING
            assert not seen.reachable
        with pytest.raises(errors.Unreachable, match='pc1 is out of reach'):
            await service.instances.act('all', uuid, start(), '')
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
            await service.instances.act(
                'all', two.status.instance, start(), ''
            )
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


async def test_destroy_leaves_nothing(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        uuid = placed.status.instance
        gone = await service.instances.destroy('all', uuid, '')
        assert gone == wire.Destroyed(True)
        assert await service.instances.destroy('all', uuid, '') == gone
        for pc in pcs.pcs.values():
            assert pc.instances == {}
            assert pc.reservations.promised() == wire.Capacity()
        assert service.placements('all').instances == ()
        with pytest.raises(errors.NotFound):
            await look(service, placed, fresh=False)


async def test_tombstone_waits_for_a_pc_and_is_carried_out_on_its_return(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        uuid = placed.status.instance
        pc.cut = True
        pcs.tell_liveness(service, pc, views.Liveness.FAILED)
        began = trio.current_time()
        gone = await service.instances.destroy('all', uuid, '')
        assert gone == wire.Destroyed(False, 'pc1')
        assert trio.current_time() == began
    # The gateway restarts meanwhile, and remembers.
    async with gateways.running(tmp_path, office(0)) as service:
        gone = await service.instances.destroy('all', uuid, '')
        assert gone == wire.Destroyed(False, 'pc1')
    pc.cut = False
    async with gateways.running(tmp_path, pcs) as service:
        await trio.sleep(1.0)
        assert not pc.running(uuid)
        gone = await service.instances.destroy('all', uuid, '')
        assert gone == wire.Destroyed(True)


async def test_tombstone_is_repeated_until_the_pc_obeys(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        pc.cut = True
        gone = await service.instances.destroy(
            'all', placed.status.instance, ''
        )
        assert not gone.done
        assert 4 <= pc.calls.count('tombstone') <= 6
        pc.cut = False
        await trio.sleep(61.0)
        assert pc.instances == {}


async def test_full_disk_of_the_gateway_ends_neither_it_nor_the_burial(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = ['first try', 'second try']
    forget = store.Store.forget

    def forget_later(database: store.Store, grave: store.Grave) -> None:
        if full:
            raise errors.NoSpace(full.pop())
        forget(database, grave)

    monkeypatch.setattr(store.Store, 'forget', forget_later)
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        uuid = placed.status.instance
        gone = await service.instances.destroy('all', uuid, '')
        assert gone == wire.Destroyed(True)
        assert not full
        assert pc.calls.count('tombstone') == 3


async def test_deletion_ends_a_spawn_that_is_going_on(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(3)
    for pc in pcs.pcs.values():
        pc.build_s = 20.0
    uuid = fake_pcs.spawn_request(0, SMALL).claim.instance
    async with gateways.running(tmp_path, pcs) as service:
        async with trio.open_nursery() as nursery:

            async def refused() -> None:
                with pytest.raises(errors.WrongState, match='was deleted'):
                    await spawn(service)

            nursery.start_soon(refused)
            await trio.sleep(5.0)
            gone = await service.instances.destroy('all', uuid, '')
            assert gone.done
        assert pcs.live(uuid) == []
        (told,) = [pc for pc in pcs.pcs.values() if pc.tombstones]
        assert told.calls.count('build') == 1


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
        assert service.slice_summary('all').term > placed.status.epoch
        again = await spawn(service, 1)
        assert again.status.epoch > service.slice_summary('all').term
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
        for one in pcs.pcs.values():
            pcs.tell_liveness(service, one, views.Liveness.ALIVE)
        placed = await spawn(service)
        assert placed.status.epoch == row.epoch
        assert len(pcs.live(row.instance)) == 1
        nursery.cancel_scope.cancel()


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


async def test_list_of_a_pc_does_not_judge_a_build_that_is_going_on(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    pc.build_s = 20.0
    async with (
        gateways.running(tmp_path, pcs) as service,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(spawn, service)
        await trio.sleep(5.0)
        pc.boot = 'second'
        pcs.tell_liveness(service, pc, views.Liveness.ALIVE)
        await trio.sleep(5.0)
        assert 'instances' in pc.calls
        assert pc.tombstones == {}
        await spawn(service)
        assert pc.calls.count('build') == 1


def changed(
    pc: fake_pcs.FakePc, instance: str, state: wire.InstanceState
) -> None:
    """An instance is in another state on its PC."""
    pc.instances[instance] = msgspec.structs.replace(
        pc.instances[instance], state=state
    )


async def test_pc_that_lost_power_is_told_what_may_run_again(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        instance = placed.status.instance
        changed(pc, instance, wire.InstanceState.WAITING)
        pc.boot = 'second'
        pcs.tell(service)
        await trio.sleep(1)
        assert pc.instances[instance].state is wire.InstanceState.RUNNING
        found = await look(service, placed, fresh=False)
        assert found.status.state is wire.InstanceState.RUNNING


async def test_what_a_pc_cannot_start_yet_is_tried_until_it_can(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        instance = placed.status.instance
        changed(pc, instance, wire.InstanceState.WAITING)
        pc.action_errors = [errors.HypervisorFailed('no memory')] * 3
        pcs.tell_records(service, pc)
        await trio.sleep(config.DEFAULTS.retry_last_s)
        assert pc.instances[instance].state is wire.InstanceState.RUNNING


async def test_what_nobody_knows_goes_to_quarantine_and_comes_back(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path / 'lost', pcs) as service:
        placed = await spawn(service)
        instance = placed.status.instance
    async with gateways.running(tmp_path / 'new', pcs) as service:
        await trio.sleep(1)
        pcs.tell_records(service, pc)
        assert pc.instances[instance].state is (wire.InstanceState.QUARANTINED)
        (row,) = service.quarantined().instances
        assert (row.instance, row.peer_name) == (instance, pc.name)
        asked = pc.calls.count('action')
        await trio.sleep(600)
        pcs.tell_records(service, pc)
        assert pc.calls.count('action') == asked
    # The book is found again: its gateway knows the instance after all.
    pc.terms = terms.Terms({})
    async with gateways.running(tmp_path / 'lost', pcs) as service:
        await trio.sleep(1)
        assert pc.instances[instance].state is wire.InstanceState.RUNNING


async def test_nobody_may_ask_for_what_only_the_gateway_says(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with gateways.running(tmp_path, office(1)) as service:
        placed = await spawn(service)
        for action in wire.GATEWAYS_OWN:
            with pytest.raises(errors.Malformed):
                await service.instances.act(
                    'all', placed.status.instance, start(action), ''
                )


async def test_pc_that_says_much_and_answers_nothing_is_asked_one_at_a_time(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        await spawn(service)
        await trio.sleep(1.0)
        pc.cut = True
        pc.calls.clear()
        unknown = wire.InstancesRecord(
            ((str(uuids.uuid4()), wire.Counter(1, 1), STATE.RUNNING),)
        )
        for _ in range(100):
            service.instances_record(pc.id, 'instances/1', unknown)
            await trio.sleep(0.01)
        assert pc.calls.count('instances') <= 3
