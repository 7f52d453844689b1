# SPDX-License-Identifier: Apache-2.0
"""What a PC holds, and what the gateway says to that."""

from __future__ import annotations

import pathlib
import uuid as uuids

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import view as views
from p2pcs_nova.peer import terms
from tests.support import fake_pcs, gateways
from tests.support.small_office import ROOM_FOR_3, SMALL, look, office, spawn

pytestmark = pytest.mark.trio

STATE = wire.InstanceState
TWO_SLICES = """\
slices:
  - {name: gold, match: {tier: gold}}
  - {name: silver, match: {tier: silver}}
"""


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
                    'all',
                    placed.status.instance,
                    wire.ActionRequest(action),
                    '',
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


LOST = wire.Era(3, gateways.GATEWAY_ID, 'counter', lost=1)


async def test_what_was_lost_with_an_era_is_taken_as_its_pc_reports_it(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path / 'lost', pcs) as service:
        placed = await spawn(service)
        frozen = await spawn(service, 1)
    changed(pc, frozen.status.instance, STATE.QUARANTINED)
    async with gateways.running(
        tmp_path / 'new', pcs, era=lambda: LOST
    ) as service:
        await trio.sleep(1)
        known = {
            one.status.instance: one.status.epoch
            for one in (await service.placed_rows()).instances
        }
        assert known == {
            one.status.instance: one.status.epoch for one in (placed, frozen)
        }
        states = {one.state for one in pc.instances.values()}
        assert STATE.QUARANTINED not in states
        gone = await service.instances.destroy(
            'all', placed.status.instance, ''
        )
        assert gone.done
    async with gateways.running(
        tmp_path / 'new', pcs, era=lambda: LOST
    ) as service:
        (kept,) = (await service.placed_rows()).instances
        assert kept.status.instance == frozen.status.instance


@pytest.mark.parametrize(
    'wrong', ['era', 'peer', 'epoch', 'signature', 'need']
)
async def test_what_a_pc_has_no_right_to_is_not_taken_into_the_book(
    autojump_clock: MockClock, tmp_path: pathlib.Path, wrong: str
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path / 'lost', pcs) as service:
        status = (await spawn(service)).status
    right = wire.RunRight(
        status.instance,
        wire.Counter(1, 99) if wrong == 'epoch' else status.epoch,
        'e' * 32 if wrong == 'peer' else pc.id,
        'all',
        'sha256:' + 'a' * 64,
    )
    signed = gateways.sign(right)
    if wrong == 'signature':
        signed = msgspec.structs.replace(signed, signature=bytes(64))
    held = pc.rights[status.instance]
    spec = held.spec
    if wrong == 'need':
        much = wire.Capacity(2**40, 2**40, 2**40)
        spec = msgspec.structs.replace(spec, need=much)
    pc.rights[status.instance] = msgspec.structs.replace(
        held, run_right=signed, spec=spec
    )
    lost = 0 if wrong == 'era' else 1
    era = msgspec.structs.replace(LOST, lost=lost)
    async with gateways.running(
        tmp_path / 'new', pcs, era=lambda: era
    ) as service:
        await trio.sleep(1)
        assert (await service.placed_rows()).instances == ()
        assert pc.instances[status.instance].state is STATE.QUARANTINED


async def test_later_epoch_of_another_slice_is_taken_for_an_earlier_one(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    """A build had failed in the one, and come to its end in the other."""
    pcs = fake_pcs.Office(
        *(
            fake_pcs.FakePc(
                number, ROOM_FOR_3, attributes={'tier': tier}, slice_=tier
            )
            for number, tier in enumerate(('gold', 'silver'), 1)
        )
    )
    early, late = pcs.pcs.values()
    request = fake_pcs.spawn_request(0, SMALL)
    instance = request.claim.instance
    async with gateways.running(
        tmp_path / 'lost', pcs, policy=TWO_SLICES
    ) as service:
        await service.instances.spawn('gold', request)
        pcs.tell_liveness(service, early, views.Liveness.FAILED)
        await service.instances.destroy('gold', instance, '')
        await service.instances.spawn('silver', request)
    late.cut = True
    async with gateways.running(
        tmp_path / 'new', pcs, policy=TWO_SLICES, era=lambda: LOST
    ) as service:
        await trio.sleep(1.0)
        assert early.instances[instance].state is STATE.PLUGGED
        late.cut = False
        await trio.sleep(60.0)
        (known,) = (await service.placed_rows()).instances
        assert (known.peer, known.status.slice) == (late.id, 'silver')
        assert not early.running(instance)
