# SPDX-License-Identifier: Apache-2.0
"""A PC as gateways see it, over a hypervisor in memory."""

import msgspec
import pytest
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.steps import Step
from p2pcs_nova.policy.document import Ratios
from tests.support import one_peer
from tests.support.one_peer import GOLD
from tests.unit.peer.conftest import CONTENT, Pc

pytestmark = pytest.mark.trio

State = wire.InstanceState
Action = wire.Action
IMAGE = one_peer.image_of(CONTENT)
SILVER = wire.Command('silver', wire.Counter(1, 1))


def claim_of(spec: wire.InstanceSpec) -> wire.Claim:
    return wire.Claim(spec.instance, spec.need, ('office',), spec.image.digest)


async def test_instance_lives_and_leaves_nothing(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        status = await peer.place(spec)
        assert status.state is State.PLUGGED
        assert pc.table.vifs == list(spec.vifs)
        assert peer.standing.slice == 'gold'
        assert peer.service.used() == spec.need
        for action, state in (
            (Action.START, State.RUNNING),
            (Action.PAUSE, State.PAUSED),
            (Action.UNPAUSE, State.RUNNING),
            (Action.REBOOT_SOFT, State.RUNNING),
            (Action.REBOOT_HARD, State.RUNNING),
            (Action.STOP, State.STOPPED),
            (Action.START, State.RUNNING),
        ):
            assert (await peer.act(spec, action)).state is state, action
        await peer.bury(spec)
        assert peer.service.statuses() == ()
        assert peer.service.used() == wire.Capacity()
        assert peer.standing.slice == ''
    assert pc.hypervisor.rows == {}
    assert pc.table.vifs == []
    assert pc.instance_folders() == []


async def test_same_build_again_gives_the_same_answer(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        reservation = await peer.orders.claim(GOLD, claim_of(spec))
        request = wire.BuildRequest(reservation.id, peer.right(spec), spec)
        answers = []

        async def build() -> None:
            answers.append(
                await peer.orders.build(GOLD, spec.instance, request)
            )

        async with trio.open_nursery() as nursery:
            nursery.start_soon(build)
            nursery.start_soon(build)
        assert answers[0] == answers[1]
        assert len(peer.fetched) == 1
        other = msgspec.structs.replace(
            request, run_right=peer.right(spec, other={'slice': 'silver'})
        )
        with pytest.raises(errors.BadRunRight):
            await peer.orders.build(SILVER, spec.instance, other)


async def test_image_is_fetched_once_for_all_instances(pc: Pc) -> None:
    async with pc.run() as peer:
        first, second = one_peer.spec_of(IMAGE), one_peer.spec_of(IMAGE)
        await peer.place(first)
        reservation = await peer.orders.claim(GOLD, claim_of(second))
        assert reservation.has_image
        assert reservation.free == wire.Capacity(2, 2048 - 256, 8192 - 128)
        await peer.place(second)
        assert len(peer.fetched) == 1


async def test_build_without_reservation_is_refused(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        with pytest.raises(errors.ReservationGone):
            await peer.orders.build(
                GOLD,
                spec.instance,
                wire.BuildRequest(spec.instance, peer.right(spec), spec),
            )
        assert peer.service.statuses() == ()


@pytest.mark.parametrize(
    'wrong',
    [
        {'peer': 'c' * 32},
        {'slice': 'silver'},
        {'instance': '00000000-0000-0000-0000-000000000001'},
        {'image': f'sha256:{"0" * 64}'},
    ],
)
async def test_run_right_for_something_else_is_refused(
    pc: Pc, wrong: dict[str, str]
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        reservation = await peer.orders.claim(GOLD, claim_of(spec))
        request = wire.BuildRequest(
            reservation.id, peer.right(spec, other=wrong), spec
        )
        with pytest.raises(errors.BadRunRight):
            await peer.orders.build(GOLD, spec.instance, request)
    assert pc.hypervisor.rows == {}


async def test_forged_run_right_is_refused(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        reservation = await peer.orders.claim(GOLD, claim_of(spec))
        good = peer.right(spec)
        for bad in (
            msgspec.structs.replace(good, signature=bytes(64)),
            msgspec.structs.replace(good, signature=b''),
            msgspec.structs.replace(good, payload=b'{}'),
            msgspec.structs.replace(good, signer='d' * 32),
        ):
            request = wire.BuildRequest(reservation.id, bad, spec)
            with pytest.raises(errors.BadRunRight):
                await peer.orders.build(GOLD, spec.instance, request)


async def test_lower_term_is_refused_even_after_a_restart(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.orders.instances(wire.Command('gold', wire.Counter(2, 1)))
    async with pc.run() as peer:
        for stale in (wire.Counter(1, 99), wire.Counter(2, 0)):
            command = wire.Command('gold', stale)
            with pytest.raises(errors.StaleTerm):
                await peer.orders.claim(command, claim_of(spec))
            with pytest.raises(errors.StaleTerm):
                await peer.orders.instances(command)
        await peer.orders.claim(
            wire.Command('silver', wire.Counter(1, 1)), claim_of(spec)
        )


async def test_tombstone_before_the_build_wins(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.bury(spec, n=3)
    async with pc.run() as peer:
        for epoch in (1, 3):
            with pytest.raises(errors.StaleEpoch):
                await peer.place(spec, epoch)
        assert (await peer.place(spec, 4)).epoch == wire.Counter(1, 4)
        await peer.bury(spec, n=3)
        assert len(peer.service.statuses()) == 1


async def test_tombstone_of_another_instance_buries_nothing(pc: Pc) -> None:
    spec, other = one_peer.spec_of(IMAGE), one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.place(spec)
        tombstone = wire.Tombstone(spec.instance, wire.Counter(1, 1))
        with pytest.raises(errors.Malformed, match="another instance's"):
            await peer.orders.bury(GOLD, other.instance, tombstone)
        assert len(peer.service.statuses()) == 1


async def test_higher_epoch_replaces_a_lower_one(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.place(spec, 1)
        await peer.act(spec, Action.START)
        assert (await peer.place(spec, 2)).state is State.PLUGGED
        [status] = peer.service.statuses()
        assert status.epoch == wire.Counter(1, 2)
        with pytest.raises(errors.StaleEpoch):
            await peer.place(spec, 1)
        with pytest.raises(errors.StaleEpoch):
            await peer.act(spec, Action.START, n=1)
        assert peer.service.used() == spec.need
    assert pc.instance_folders() == [f'{spec.instance}_1.2']


async def test_tombstone_of_what_is_replaced_does_not_end_its_replacement(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    replacing = trio.Event()

    def passed(step: Step, instance: str) -> None:
        if step is Step.TOMBSTONE_STORED:
            replacing.set()

    async with pc.run(passed=passed) as peer:
        await peer.start(spec)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.place, spec, 2)
            await replacing.wait()
            nursery.start_soon(peer.bury, spec)
        [status] = peer.service.statuses()
        assert (status.epoch.n, status.state) == (2, State.PLUGGED)


async def test_action_needs_the_epoch(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.place(spec)
        with pytest.raises(errors.StaleEpoch):
            await peer.orders.act(
                GOLD, spec.instance, wire.ActionRequest(Action.START)
            )


async def test_other_slice_commands_nothing_here(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.place(spec)
        tombstone = wire.Tombstone(spec.instance, wire.Counter(1, 1))
        with pytest.raises(errors.OtherSlice):
            await peer.orders.bury(SILVER, spec.instance, tombstone)
        with pytest.raises(errors.OtherSlice):
            await peer.orders.claim(SILVER, claim_of(one_peer.spec_of(IMAGE)))
        with pytest.raises(errors.OtherSlice):
            await peer.orders.console(SILVER, spec.instance, 10)
        with pytest.raises(errors.NotFound):
            await peer.orders.instance(GOLD, 'nobody')
        assert len(peer.service.statuses()) == 1


async def test_chosen_slice_alone_is_served_even_after_a_restart(
    pc: Pc,
) -> None:
    claim = claim_of(one_peer.spec_of(IMAGE))
    async with pc.run() as peer:
        await peer.service.choose('silver')
        assert peer.service.record().slice == 'silver'
    async with pc.run() as peer:
        with pytest.raises(errors.OtherSlice, match='in slice silver now'):
            await peer.orders.claim(GOLD, claim)
        await peer.orders.claim(SILVER, claim)


async def test_its_slice_may_give_processors_several_times(pc: Pc) -> None:
    async with pc.run() as peer:
        before = peer.service.offer().total
        ratios = Ratios(vcpus=2.0, memory_mb=0.5)
        await peer.service.choose('gold', ratios=ratios)
        assert peer.service.offer().total == wire.Capacity(
            before.vcpus * 2, before.memory_mb // 2, before.disk_mb
        )
        await peer.service.choose('silver')
        assert peer.service.offer().total == before


async def test_what_is_held_decides_before_what_is_chosen(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.service.choose('gold')
        await peer.place(spec)
        await peer.service.choose('silver')
        assert (peer.standing.slice, peer.standing.bound) == ('gold', 'gold')
        claim = claim_of(one_peer.spec_of(IMAGE))
        with pytest.raises(errors.OtherSlice):
            await peer.orders.claim(SILVER, claim)
        await peer.bury(spec)
        assert (peer.standing.slice, peer.standing.bound) == ('silver', '')
        await peer.orders.claim(SILVER, claim)


async def test_slice_that_is_drained_gets_nothing_new_and_keeps_what_it_has(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.place(spec)
        await peer.service.choose('silver', frozenset({'gold'}))
        with pytest.raises(errors.Draining, match='slice gold is being'):
            await peer.orders.claim(GOLD, claim_of(one_peer.spec_of(IMAGE)))
        status = await peer.act(spec, Action.START)
        assert status.state is State.RUNNING


async def test_draining_pc_takes_no_claims_even_after_a_restart(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.standing.drain(True)
        assert peer.service.record().draining
    async with pc.run() as peer:
        assert any('draining' in reason for reason in peer.service.reasons())
        with pytest.raises(errors.Draining):
            await peer.orders.claim(GOLD, claim_of(spec))
        await peer.standing.drain(False)
        await peer.orders.claim(GOLD, claim_of(spec))


async def test_reservation_ends_by_itself(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run(reservation_s=0.05) as peer:
        await peer.orders.claim(GOLD, claim_of(spec))
        assert peer.standing.slice == 'gold'
        await peer.wait(lambda: peer.standing.slice == '')


async def test_released_reservation_is_free_again(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        reservation = await peer.orders.claim(GOLD, claim_of(spec))
        for _ in range(2):
            await peer.orders.release(GOLD, reservation.id)
        assert peer.standing.slice == ''


@pytest.mark.parametrize(
    ('change', 'error'),
    [
        ({'root_mb': 65}, errors.Malformed),
        ({'need': wire.Capacity(0, 128, 64)}, errors.Malformed),
        (
            {'machine': wire.Machine(disk_bus='ide', machine_type='q35')},
            errors.Unsupported,
        ),
        (
            {'vifs': (one_peer.vif(), msgspec.structs.replace(
                one_peer.vif(), network='other'))},
            errors.NotOffered,
        ),
        (
            {'vifs': (msgspec.structs.replace(
                one_peer.vif(), ips=('x',)),)},
            errors.Malformed,
        ),
    ],
)  # fmt: skip
async def test_what_cannot_be_built_is_refused_before_anything_is_touched(
    pc: Pc, change: dict[str, object], error: type[errors.P2PcsError]
) -> None:
    good = one_peer.spec_of(IMAGE)
    spec = msgspec.structs.replace(good, **change)
    async with pc.run() as peer:
        reservation = await peer.orders.claim(GOLD, claim_of(good))
        request = wire.BuildRequest(reservation.id, peer.right(spec), spec)
        with pytest.raises(error):
            await peer.orders.build(GOLD, spec.instance, request)
        assert peer.service.statuses() == ()
        assert peer.fetched == []


async def test_image_larger_than_the_disk_is_refused(pc: Pc) -> None:
    large = bytes(3 * 2**20)
    spec = one_peer.spec_of(
        one_peer.image_of(large), need=wire.Capacity(1, 128, 2)
    )
    async with one_peer.one_peer(
        pc.root, pc.hypervisor, pc.table.apply, [large], sysfs=pc.sysfs
    ) as peer:
        await peer.wait(lambda: peer.service.offer().total.vcpus > 0)
        with pytest.raises(errors.ImageRefused, match='3 MiB'):
            await peer.place(spec)


async def test_who_is_put_out_starts_nothing_and_lets_run_what_runs(
    pc: Pc,
) -> None:
    spec, other = one_peer.spec_of(IMAGE), one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        reservation = await peer.orders.claim(GOLD, claim_of(other))
        peer.service.put_out('contested', 'cloned')
        peer.service.put_out('revoked', 'stolen')
        offer = peer.service.offer()
        assert (offer.total, offer.reason) == (
            wire.Capacity(),
            'cloned; stolen',
        )
        request = wire.BuildRequest(reservation.id, peer.right(other), other)
        for ask in (
            lambda: peer.orders.claim(GOLD, claim_of(other)),
            lambda: peer.orders.build(GOLD, other.instance, request),
            lambda: peer.act(spec, Action.REBOOT_HARD),
        ):
            with pytest.raises(errors.PutOut, match='cloned'):
                await ask()
        (status,) = peer.service.statuses()
        assert status.state is State.RUNNING
        peer.service.put_out('revoked', '')
        assert peer.service.offer().total == wire.Capacity()
        peer.service.put_out('contested', '')
        assert peer.service.offer().total.vcpus > 0
        await peer.place(other)


async def test_leaving_is_refused_while_anything_is_here_unless_forced(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.place(spec)
        with pytest.raises(errors.WrongState, match='holds 1 instance:'):
            await peer.service.let_go(False)
        assert peer.service.offer().total.vcpus > 0
        await peer.service.let_go(True)
        assert peer.service.statuses() == ()
        with pytest.raises(errors.PutOut, match='leaves'):
            await peer.orders.claim(GOLD, claim_of(spec))
    assert pc.hypervisor.rows == {}
    assert pc.table.vifs == []
    assert pc.instance_folders() == []
