# SPDX-License-Identifier: Apache-2.0
"""Suspended guests: their memory on the disk, and nowhere else."""

import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import memories
from p2pcs_nova.peer.hypervisor import Power
from p2pcs_nova.peer.steps import Step
from tests.support import fake_hypervisor, one_peer
from tests.unit.peer.conftest import CONTENT, Pc
from tests.unit.peer.test_crash_points import Fuse, power_cut

pytestmark = pytest.mark.trio

State = wire.InstanceState
Action = wire.Action
IMAGE = one_peer.image_of(CONTENT)


def files(pc: Pc) -> set[str]:
    """Of all instances, those that hold a guest's memory."""
    found = (pc.root / 'instances').glob('*/memory*')
    return {path.name for path in found}


def power(pc: Pc, spec: wire.InstanceSpec) -> Power:
    return pc.hypervisor.rows[spec.instance].power


async def test_suspended_guest_is_off_and_resumes_with_its_memory(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    lent = spec.need + wire.Capacity(
        disk_mb=spec.need.memory_mb + memories.HEAD_MB
    )
    async with pc.run() as peer:
        await peer.start(spec)
        for _ in range(2):
            status = await peer.act(spec, Action.SUSPEND)
            assert status.state is State.SUSPENDED
            assert power(pc, spec) is Power.OFF
            assert files(pc) == {'memory'}
            assert peer.service.used() == lent
        pc.hypervisor.failing_at['start_paused'] = errors.HypervisorFailed(
            'its memory would be lost'
        )
        for _ in range(2):
            status = await peer.act(spec, Action.RESUME)
            assert status.state is State.RUNNING
            assert files(pc) == set()
            assert peer.service.used() == spec.need


@pytest.mark.parametrize(
    ('action', 'state'),
    [
        (Action.STOP, State.STOPPED),
        (Action.REBOOT_HARD, State.RUNNING),
        (Action.START, State.RUNNING),
    ],
)
async def test_other_ways_out_leave_no_memory(
    pc: Pc, action: Action, state: State
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        await peer.act(spec, Action.SUSPEND)
        assert (await peer.act(spec, action)).state is state
        assert files(pc) == set()
        assert peer.service.used() == spec.need


async def test_suspended_guest_is_there_after_a_restart(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        await peer.act(spec, Action.SUSPEND)
        used = peer.service.used()
    async with pc.run() as peer:
        [status] = peer.service.statuses()
        assert status.state is State.SUSPENDED
        assert peer.service.used() == used
        status = await peer.act(spec, Action.RESUME)
        assert status.state is State.RUNNING
        await peer.bury(spec)
    assert pc.instance_folders() == []


async def test_destroying_a_suspended_guest_leaves_nothing(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        await peer.act(spec, Action.SUSPEND)
        await peer.bury(spec)
        assert peer.service.used() == wire.Capacity()
    assert pc.instance_folders() == []
    assert pc.hypervisor.rows == {}


async def test_guest_whose_memory_finds_no_room_runs_on(pc: Pc) -> None:
    spec = one_peer.spec_of(
        IMAGE, need=wire.Capacity(1, 128, one_peer.RULES.disk_mb or 0)
    )
    async with pc.run() as peer:
        await peer.start(spec)
        with pytest.raises(errors.NoSpace, match='144 MiB of disk'):
            await peer.act(spec, Action.SUSPEND)
        [status] = peer.service.statuses()
        assert status.state is State.RUNNING
        assert peer.service.used() == spec.need


async def test_save_that_fails_leaves_nothing_and_the_guest_runs_on(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    pc.hypervisor.failing_at['save'] = errors.NoSpace('the disk is full')
    async with pc.run() as peer:
        await peer.start(spec)
        with pytest.raises(errors.NoSpace):
            await peer.act(spec, Action.SUSPEND)
        await peer.wait(lambda: not files(pc))
        await peer.wait(lambda: peer.service.used() == spec.need)
        [status] = peer.service.statuses()
        assert status.state is State.RUNNING
    # It is still wished to run, whatever starts it next.
    async with pc.run() as peer:
        pc.hypervisor.set_power(spec.instance, Power.CRASHED)
        await peer.wait(
            lambda: peer.service.statuses()[0].state is State.CRASHED
        )


async def test_only_a_running_guest_is_suspended(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        await peer.act(spec, Action.PAUSE)
        with pytest.raises(errors.WrongState, match='paused'):
            await peer.act(spec, Action.SUSPEND)


async def test_memory_beside_a_running_guest_is_old_and_goes(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
    [folder] = (pc.root / 'instances').iterdir()
    (folder / 'memory').write_bytes(fake_hypervisor.WHOLE)
    (folder / 'memory.part').write_bytes(fake_hypervisor.PART)
    async with pc.run() as peer:
        await peer.wait(lambda: not files(pc))
        assert peer.service.used() == spec.need


SUSPENDING = [
    Step.DOMAIN_SAVED,
    Step.MEMORY_KEPT,
    Step.WISH_STORED,
    Step.FILTERS_SET,
    Step.DOMAIN_RESTORED,
    Step.MEMORY_DROPPED,
    Step.DOMAIN_RESUMED,
]


@pytest.mark.parametrize('step', SUSPENDING, ids=lambda step: step.value)
@pytest.mark.parametrize('last', [Action.SUSPEND, Action.RESUME])
async def test_what_the_end_of_the_daemon_interrupts_is_finished_or_undone(
    pc: Pc, step: Step, last: Action
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        if last is Action.RESUME:
            await peer.act(spec, Action.SUSPEND)
    fuse = Fuse(step)
    with power_cut():
        async with pc.run(passed=fuse) as peer:
            await peer.act(spec, last)
    async with pc.run() as peer:
        await peer.wait(lambda: 'memory.part' not in files(pc))
        [status] = peer.service.statuses()
        paused = fuse.burnt and last is Action.RESUME
        assert status.state in {
            State.SUSPENDED,
            State.RUNNING,
            *([State.PAUSED] if paused else []),
        }
        if status.state is State.SUSPENDED:
            assert files(pc) == {'memory'}
        for action, state in (
            (Action.RESUME, State.RUNNING),
            (Action.SUSPEND, State.SUSPENDED),
            (Action.RESUME, State.RUNNING),
        ):
            assert (await peer.act(spec, action)).state is state
        assert files(pc) == set()
        await peer.bury(spec)
    assert pc.instance_folders() == []


async def test_save_that_libvirt_ends_without_the_daemon_is_kept(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
    [folder] = (pc.root / 'instances').iterdir()
    (folder / 'memory.part').write_bytes(fake_hypervisor.PART)
    pc.hypervisor.set_power(spec.instance, Power.PAUSED)
    async with pc.run() as peer:
        # Still being written, as far as can be told.
        assert files(pc) == {'memory.part'}
        (folder / 'memory.part').write_bytes(fake_hypervisor.WHOLE)
        pc.hypervisor.set_power(spec.instance, Power.OFF)
        await peer.wait(
            lambda: peer.service.statuses()[0].state is State.SUSPENDED
        )
        status = await peer.act(spec, Action.RESUME)
        assert status.state is State.RUNNING


async def test_power_cut_of_the_pc_leaves_a_suspended_guest_suspended(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        await peer.act(spec, Action.SUSPEND)
    pc.hypervisor.set_power(spec.instance, Power.COLD)
    async with pc.run() as peer:
        status = await peer.act(spec, Action.RESTORE)
        assert status.state is State.SUSPENDED
        assert (await peer.act(spec, Action.RESUME)).state is State.RUNNING


async def test_power_cut_amid_a_resumption_loses_no_memory(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        await peer.act(spec, Action.SUSPEND)
    with power_cut():
        async with pc.run(passed=Fuse(Step.DOMAIN_RESTORED)) as peer:
            await peer.act(spec, Action.RESUME)
    pc.hypervisor.set_power(spec.instance, Power.COLD)
    pc.hypervisor.failing_at['start_paused'] = errors.HypervisorFailed(
        'its memory would be lost'
    )
    async with pc.run() as peer:
        [status] = peer.service.statuses()
        assert status.state is State.WAITING
        status = await peer.act(spec, Action.RESTORE)
        assert status.state is State.RUNNING
        assert files(pc) == set()


async def test_half_a_memory_is_no_memory(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
    [folder] = (pc.root / 'instances').iterdir()
    (folder / 'memory.part').write_bytes(fake_hypervisor.PART)
    pc.hypervisor.set_power(spec.instance, Power.CRASHED)
    async with pc.run() as peer:
        await peer.wait(
            lambda: peer.service.statuses()[0].state is State.CRASHED
        )
        assert files(pc) == set()
        assert peer.service.used() == spec.need
        status = await peer.act(spec, Action.REBOOT_HARD)
        assert status.state is State.RUNNING
