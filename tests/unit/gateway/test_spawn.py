# SPDX-License-Identifier: Apache-2.0
"""The spawn algorithm over PCs in memory, on a virtual clock."""

from __future__ import annotations

import dataclasses
import logging
import pathlib

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.partition import NO_MAP, Partition, next_map
from tests.support import fake_pcs, gateways
from tests.support.small_office import ROOM_FOR_3, SMALL, office, spawn

pytestmark = pytest.mark.trio


async def test_spawn_builds_on_one_pc_and_releases_the_rest(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
) -> None:
    pcs = office(4)
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        await trio.testing.wait_all_tasks_blocked()
        assert placed.status.state is wire.InstanceState.PLUGGED
        assert placed.reachable
        (pc,) = pcs.live(placed.status.instance)
        assert (placed.peer, placed.peer_name) == (pc.id, pc.name)
        for other in pcs.pcs.values():
            held = SMALL if other is pc else wire.Capacity()
            assert other.reservations.promised() == held


async def test_pc_with_the_image_is_preferred(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(4)
    request = fake_pcs.spawn_request(0, SMALL)
    assert request.claim.image is not None
    chosen = pcs.pcs[f'{3:032x}']
    chosen.has_images.add(request.claim.image)
    async with gateways.running(tmp_path, pcs) as service:
        placed = await service.instances.spawn('all', request)
    assert placed.peer == chosen.id


async def test_servers_spread_over_the_pcs(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(4)
    async with gateways.running(tmp_path, pcs) as service:
        for number in range(4):
            await spawn(service, number)
    assert [len(pc.instances) for pc in pcs.pcs.values()] == [1, 1, 1, 1]


async def test_servers_of_a_slice_that_packs_fill_one_pc_before_the_next(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(4)
    policy = 'slices: [{name: all, match: {}, placing: pack}]'
    async with gateways.running(tmp_path, pcs, policy=policy) as service:
        for number in range(6):
            await spawn(service, number)
            pcs.tell(service)
    found = sorted(len(pc.instances) for pc in pcs.pcs.values())
    assert found == [0, 0, 3, 3]


async def test_pc_that_promises_most_and_builds_nothing_delays_one_spawn(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(3)
    liar = fake_pcs.FakePc(9, wire.Capacity(99, 9999, 9999))
    liar.build_s = 10_000.0
    pcs.pcs[liar.id] = liar
    async with gateways.running(tmp_path, pcs) as service:
        await spawn(service, 0)
        began = trio.current_time()
        for number in range(1, 6):
            await spawn(service, number)
        assert trio.current_time() < began + 60.0
        await trio.sleep(config.DEFAULTS.distrust_s)
        liar.build_s = 0.0
        assert (await spawn(service, 6)).peer == liar.id


@pytest.mark.parametrize(
    'error',
    [
        errors.Full('x'),
        errors.NoSpace('x'),
        errors.HypervisorFailed('x'),
        errors.HypervisorBusy('x'),
        errors.ImageRefused('x'),
        errors.Unreachable('x'),
        errors.ReservationGone('x'),
        errors.Draining('x'),
        errors.BadRunRight('x'),
        errors.P2PcsError('x'),
    ],
    ids=lambda error: error.code,
)
async def test_failed_build_is_tried_on_every_other_pc(
    autojump_clock: MockClock, tmp_path: pathlib.Path, error: errors.P2PcsError
) -> None:
    pcs = office(6)
    *broken, good = pcs.pcs.values()
    for pc in broken:
        pc.build_errors = [error]
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        await trio.sleep(1)
        assert placed.peer == good.id
        tried = [pc for pc in broken if 'build' in pc.calls]
        for pc in tried:
            assert pc.tombstones[placed.status.instance] < placed.status.epoch


async def test_each_attempt_has_its_own_epoch_and_a_lost_answer_is_buried(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
) -> None:
    pcs = office(3)
    for pc in pcs.pcs.values():
        pc.silent_builds = 1
    async with gateways.running(tmp_path, pcs) as service:
        with pytest.raises(errors.NoPeerFits, match='3 PCs: 3 unreachable'):
            await spawn(service)
        await trio.sleep(1)
        assert pcs.live(fake_pcs.spawn_request(0, SMALL).claim.instance) == []
        epochs = {
            epoch
            for pc in pcs.pcs.values()
            for epoch in pc.tombstones.values()
        }
        assert len(epochs) == 3
        placed = await spawn(service)
        assert placed.status.epoch > max(epochs)


async def test_refusals_are_counted_by_reason(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(6, SMALL)
    one, two, three, four, five, six = pcs.pcs.values()
    one.draining = True
    two.offer = wire.Offer(wire.Capacity(1, 10, 10), networks=('office',))
    three.offer = wire.Offer(SMALL)
    four.cut = True
    async with gateways.running(tmp_path, pcs) as service:
        pcs.tell_liveness(service, one, views.Liveness.ALIVE)
        pcs.tell_liveness(service, five, views.Liveness.FAILED)
        await spawn(service, 0)
        assert six.instances
        with pytest.raises(errors.NoPeerFits) as caught:
            await spawn(service, 1)
    assert str(caught.value) == (
        '6 PCs: 2 unreachable, 1 draining, 1 full, 1 too small, '
        '1 without the network'
    )


async def test_slice_without_pcs_says_so(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with gateways.running(tmp_path, office(0)) as service:
        with pytest.raises(errors.NoPeerFits, match='the slice has no PCs'):
            await spawn(service)


@pytest.mark.parametrize(
    'error',
    [
        errors.ImageRefused('its header says vmdk'),
        errors.Unsupported('hw_firmware_type'),
    ],
)
async def test_what_no_pc_cures_is_told_as_all_of_them_say_it(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
    error: errors.P2PcsError,
) -> None:
    pcs = office(3)
    pcs.build_errors(error)
    async with gateways.running(tmp_path, pcs) as service:
        with pytest.raises(type(error), match=error.message):
            await spawn(service)


async def test_word_of_a_slices_only_pc_does_not_end_the_term(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    pcs.build_errors(errors.StaleTerm('term 9 is known'))
    async with gateways.running(tmp_path, pcs) as service:
        with pytest.raises(errors.NoPeerFits, match='stale term'):
            await spawn(service)


@pytest.mark.parametrize(
    'kind', [errors.StaleTerm, errors.Unsupported, errors.Full]
)
async def test_one_liar_ends_no_spawn_and_delays_one(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
    kind: type[errors.P2PcsError],
) -> None:
    """It promises most, and answers every build with a refusal."""
    pcs = office(3)
    liar = fake_pcs.FakePc(9, wire.Capacity(99, 9999, 9999))
    liar.build_errors = [kind('only I say so') for _ in range(3)]
    pcs.pcs[liar.id] = liar
    async with gateways.running(tmp_path, pcs) as service:
        for number in range(3):
            assert (await spawn(service, number)).peer != liar.id
    assert liar.calls.count('build') == 1


async def test_frozen_pc_delays_a_spawn_by_no_more_than_the_grace(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
) -> None:
    pcs = office(4)
    for pc in list(pcs.pcs.values())[:3]:
        pc.frozen = True
    async with gateways.running(tmp_path, pcs) as service:
        began = trio.current_time()
        placed = await spawn(service)
        took_s = trio.current_time() - began
    assert placed.peer == f'{4:032x}'
    assert took_s == pytest.approx(1.0 + config.DEFAULTS.claim_grace_s)


async def test_grant_that_comes_late_is_given_back(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
) -> None:
    pcs = office(2)
    slow, quick = pcs.pcs.values()
    slow.claim_s = 2.0
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        assert placed.peer == quick.id
        await trio.sleep(3.0)
        assert slow.reservations.promised() == wire.Capacity()


async def test_grants_are_given_back_when_the_time_is_over(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    early, late = pcs.pcs.values()
    late.claim_s = 1.5
    options = dataclasses.replace(
        config.DEFAULTS, spawn_timeout_s=1.0, claim_grace_s=2.0
    )
    async with gateways.running(tmp_path, pcs, options=options) as service:
        with pytest.raises(errors.NoPeerFits, match='none within 1 s'):
            await spawn(service)
        await trio.sleep(2.0)
        for pc in (early, late):
            assert pc.reservations.promised() == wire.Capacity()


async def test_build_whose_time_is_over_is_buried(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    pc.build_s = 20.0
    options = dataclasses.replace(config.DEFAULTS, spawn_timeout_s=10.0)
    async with gateways.running(tmp_path, pcs, options=options) as service:
        with pytest.raises(errors.NoPeerFits, match='none within 10 s'):
            await spawn(service)
        assert service.placements('all').instances == ()
        await trio.sleep(20.0)
        instance = fake_pcs.spawn_request(0, SMALL).claim.instance
        assert list(pc.tombstones) == [instance]
        assert pcs.live(instance) == []


async def test_grant_is_not_ended_by_the_release_of_an_earlier_one(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
) -> None:
    pcs = office(3)
    request = fake_pcs.spawn_request(0, SMALL)
    assert request.claim.image is not None
    broken, good, frozen = pcs.pcs.values()
    broken.has_images.add(request.claim.image)
    broken.build_errors = [errors.HypervisorFailed('x')]
    good.release_s = config.DEFAULTS.claim_grace_s / 2
    frozen.frozen = True
    async with gateways.running(tmp_path, pcs) as service:
        placed = await service.instances.spawn('all', request)
    assert placed.peer == good.id
    assert good.calls == ['claim', 'release', 'claim', 'build']


async def test_pc_whose_release_is_not_answered_is_not_asked_again(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
) -> None:
    pcs = office(2)
    request = fake_pcs.spawn_request(0, SMALL)
    assert request.claim.image is not None
    broken, silent = pcs.pcs.values()
    broken.has_images.add(request.claim.image)
    broken.build_errors = [errors.HypervisorFailed('x')]
    silent.release_s = 1000.0
    async with gateways.running(tmp_path, pcs) as service:
        with pytest.raises(errors.NoPeerFits, match='1 unreachable'):
            await service.instances.spawn('all', request)
    assert silent.calls == ['claim', 'release']


async def test_pc_that_fails_while_it_builds_is_not_waited_for(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
) -> None:
    pcs = office(2)
    request = fake_pcs.spawn_request(0, SMALL)
    assert request.claim.image is not None
    first, second = pcs.pcs.values()
    first.has_images.add(request.claim.image)
    first.build_s = 1000.0
    async with gateways.running(tmp_path, pcs) as service:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_later, service, pcs, first)
            placed = await service.instances.spawn('all', request)
        assert placed.peer == second.id
        assert trio.current_time() < 30.0
        destroyed = await service.instances.destroy(
            'all', placed.status.instance, ''
        )
        assert destroyed == wire.Destroyed(False, first.name)


async def fail_later(
    service: services.GatewayService,
    pcs: fake_pcs.Office,
    pc: fake_pcs.FakePc,
) -> None:
    await trio.sleep(10.0)
    pcs.tell_liveness(service, pc, views.Liveness.FAILED)


async def test_repeated_spawn_waits_for_the_first_and_gets_its_answer(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
) -> None:
    pcs = office(4)
    found: list[wire.Placed] = []

    async def ask(service: services.GatewayService) -> None:
        found.append(await spawn(service))

    async with gateways.running(tmp_path, pcs) as service:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, service)
            nursery.start_soon(ask, service)
        await ask(service)
        assert len(set(found)) == 1
        assert sum(p.calls.count('build') for p in pcs.pcs.values()) == 1


async def test_spawn_goes_on_when_the_driver_hangs_up(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
) -> None:
    pcs = office(1)
    async with gateways.running(tmp_path, pcs) as service:
        with trio.move_on_after(0.5):
            await spawn(service)
        placed = await spawn(service)
        assert placed.status.state is wire.InstanceState.PLUGGED
        assert pcs.pcs[placed.peer].calls.count('build') == 1


async def test_instance_of_another_slice_is_left_alone(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
) -> None:
    pcs = office(2)
    policy = 'slices: [{name: few, match: {x: y}}, {name: all, match: {}}]'
    async with gateways.running(tmp_path, pcs, policy=policy) as service:
        placed = await spawn(service)
        request = fake_pcs.spawn_request(0, SMALL)
        with pytest.raises(errors.WrongState, match='slice all has'):
            await service.instances.spawn('few', request)
        gone = await service.instances.destroy(
            'few', request.claim.instance, ''
        )
        assert gone.done
        assert pcs.live(placed.status.instance)


async def test_a_slice_that_is_drained_takes_nothing_new(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        newer = reading.read_policy(
            'version: 2\nslices: [{name: new, match: {}}]', 'policy'
        )
        slices = next_map(newer, NO_MAP, {}, await service.occupied())
        service.set_partition(Partition(newer, slices))
        assert service.slice_names == ('new', 'all')
        with pytest.raises(errors.NoPeerFits, match='all is being drained'):
            await spawn(service, 1)
        wish = wire.FitRequest(SMALL, wishes=wire.Wishes(slice='all'))
        with pytest.raises(
            errors.NotFound, match=r'all is drained: .*; the policy has new'
        ):
            await service.fits(wish, '')
        assert pcs.live(placed.status.instance)


async def test_held_capacity_is_waited_for(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1, SMALL)
    (pc,) = pcs.pcs.values()
    other = fake_pcs.spawn_request(77, SMALL).claim
    async with gateways.running(tmp_path, pcs) as service:
        pc.reservations.claim('all', other, 'x', trio.current_time())
        placed = await spawn(service)
        assert placed.peer == pc.id
    assert trio.current_time() > fake_pcs.HOLD_S


async def test_held_capacity_is_waited_for_after_a_long_build_has_failed(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2, SMALL)
    slow, good = pcs.pcs.values()
    slow.build_s = 10_000.0
    other = fake_pcs.spawn_request(77, SMALL).claim

    async def hold() -> None:
        while trio.current_time() < config.DEFAULTS.build_timeout_s:
            good.reservations.claim('all', other, 'x', trio.current_time())
            await trio.sleep(1.0)

    async with (
        gateways.running(tmp_path, pcs) as service,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(hold)
        assert (await spawn(service)).peer == good.id


async def test_held_for_ever_ends_in_a_refusal(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
) -> None:
    pcs = office(1, SMALL)
    (pc,) = pcs.pcs.values()
    other = fake_pcs.spawn_request(77, SMALL).claim

    async def hold() -> None:
        while True:
            pc.reservations.claim('all', other, 'x', trio.current_time())
            await trio.sleep(1.0)

    async with (
        gateways.running(tmp_path, pcs) as service,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(hold)
        with pytest.raises(errors.NoPeerFits, match='1 PC: 1 held'):
            await spawn(service)
        nursery.cancel_scope.cancel()


async def test_decision_is_one_line_of_the_log(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pcs = office(2, SMALL)
    taken, free = pcs.pcs.values()
    other = fake_pcs.spawn_request(77, SMALL).claim
    async with gateways.running(tmp_path, pcs) as service:
        taken.reservations.claim('all', other, 'x', trio.current_time())
        with caplog.at_level(logging.INFO):
            placed = await spawn(service)
    said = [line for line in caplog.messages if 'spawn in slice' in line]
    (line,) = said
    assert line == (
        f'[req-0] instance {placed.status.instance}: spawn in slice all: '
        f'on {free.name} ({free.id}); claims: 1 granted, 1 held'
    )


@pytest.mark.parametrize('seed', range(5))
async def test_30_spawns_at_once_fill_the_room_for_24_exactly(
    autojump_clock: MockClock, tmp_path: pathlib.Path, seed: int
) -> None:
    pcs = office(8)
    outcomes: list[str] = []

    async def one(service: services.GatewayService, number: int) -> None:
        try:
            await spawn(service, number)
            outcomes.append('placed')
        except errors.NoPeerFits as error:
            outcomes.append(str(error))

    async with (
        gateways.running(tmp_path, pcs, seed=seed) as service,
        trio.open_nursery() as nursery,
    ):
        for number in range(30):
            nursery.start_soon(one, service, number)
    assert outcomes.count('placed') == 24
    assert outcomes.count('8 PCs: 8 full') == 6
    for pc in pcs.pcs.values():
        assert len(pc.instances) == 3
        assert pc.offer.total.fits(pc.most_promised)


async def test_claim_that_does_not_cover_the_spec_is_malformed(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
) -> None:
    request = fake_pcs.spawn_request(0, SMALL)
    larger = fake_pcs.spawn_request(0, ROOM_FOR_3)
    other = fake_pcs.spawn_request(1, SMALL)
    async with gateways.running(tmp_path, office(1)) as service:
        for spec in (larger.spec, other.spec):
            with pytest.raises(errors.Malformed):
                await service.instances.spawn(
                    'all', wire.SpawnRequest(request.claim, spec)
                )


async def test_answer_that_nobody_expected_is_that_pcs_failure_alone(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    odd, good = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        del odd.reservations
        placed = await spawn(service)
        assert placed.peer == good.id
        good.draining = True
        service.peer_record(good.id, good.record)
        with pytest.raises(errors.NoPeerFits, match='1 draining, 1 internal'):
            await spawn(service, 1)
