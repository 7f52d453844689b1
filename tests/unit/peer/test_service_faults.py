# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on a PC, and how it is put right."""

import errno
import pathlib
import threading
from collections.abc import Iterable

import pytest
import trio

from p2pcs_nova import errors, imaging, wire
from p2pcs_nova.peer import builder, filters, images, power, service
from p2pcs_nova.peer.hypervisor import Power
from p2pcs_nova.peer.steps import Step
from tests.support import one_peer
from tests.support.one_peer import GOLD
from tests.unit.peer.conftest import CONTENT, Pc

pytestmark = pytest.mark.trio

State = wire.InstanceState
Action = wire.Action
IMAGE = one_peer.image_of(CONTENT)


def claim_of(spec: wire.InstanceSpec) -> wire.Claim:
    return wire.Claim(spec.instance, spec.need, ('office',), spec.image.digest)


async def test_failed_build_leaves_nothing_and_says_why_again(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        reservation = await peer.orders.claim(GOLD, claim_of(spec))
        request = wire.BuildRequest(reservation.id, peer.right(spec), spec)
        pc.hypervisor.failing_at['start_paused'] = errors.NoSpace('no memory')
        for _ in range(2):
            with pytest.raises(errors.NoSpace, match='no memory'):
                await peer.orders.build(GOLD, spec.instance, request)
        [status] = peer.service.statuses()
        assert status.state is State.FAILED
        assert status.detail == 'no memory'
        assert peer.service.used() == wire.Capacity()
        assert pc.hypervisor.rows == {}
        assert pc.table.vifs == []
        assert pc.instance_folders() == []
        pc.hypervisor.failing_at.clear()
        assert (await peer.place(spec, 2)).state is State.PLUGGED


async def test_build_that_libvirt_leaves_open_is_undone_later(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        busy = errors.HypervisorBusy('no answer')
        pc.hypervisor.failing_at = {'resume': busy, 'cut_power': busy}
        pc.table.failing = True
        with pytest.raises(errors.HypervisorFailed):
            await peer.place(spec)
        assert peer.service.statuses()[0].state is State.FAILED
        assert peer.service.used() == spec.need
        pc.hypervisor.failing_at.clear()
        pc.table.failing = False
        await peer.wait(lambda: peer.service.used() == wire.Capacity())
    assert pc.hypervisor.rows == {}


async def test_call_carried_out_late_by_libvirt_is_undone(
    pc: Pc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, 'RESYNC_S', 0.01)
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        pc.hypervisor.failing_at['start_paused'] = errors.HypervisorBusy('')
        with pytest.raises(errors.HypervisorBusy):
            await peer.place(spec)
        await peer.wait(lambda: pc.hypervisor.rows == {})
        pc.hypervisor.failing_at.clear()
        await pc.hypervisor.define(
            spec.instance, pc.hypervisor.xml[spec.instance]
        )
        await pc.hypervisor.start_paused(spec.instance)
        await peer.wait(lambda: pc.hypervisor.rows == {})
        assert peer.service.statuses()[0].state is State.FAILED


async def test_tombstone_cancels_a_build_under_way(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        waiting = trio.Event()

        async def never(instance: str) -> None:
            waiting.set()
            await trio.sleep_forever()

        pc.hypervisor.start_paused = never  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:

            async def build() -> None:
                with pytest.raises(errors.StaleEpoch):
                    await peer.place(spec)

            nursery.start_soon(build)
            await waiting.wait()
            await peer.bury(spec)
        assert peer.service.statuses() == ()
    assert pc.hypervisor.rows == {}
    assert pc.instance_folders() == []


async def test_tombstone_that_comes_before_the_right_is_stored_frees_the_room(
    pc: Pc, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = one_peer.spec_of(IMAGE)
    buried = threading.Event()
    render = filters.render

    def passed(step: Step, instance: str) -> None:
        if step is Step.TOMBSTONE_STORED:
            # The build is cancelled before its thread can say anything.
            trio.lowlevel.current_trio_token().run_sync_soon(buried.set)

    async with pc.run(passed=passed) as peer:
        checking = trio.Event()

        def slow(vifs: Iterable[wire.Vif]) -> str:
            trio.from_thread.run_sync(checking.set)
            assert buried.wait(60.0)
            return render(vifs)

        monkeypatch.setattr(filters, 'render', slow)
        async with trio.open_nursery() as nursery:

            async def build() -> None:
                with pytest.raises(errors.StaleEpoch):
                    await peer.place(spec)

            nursery.start_soon(build)
            await checking.wait()
            await peer.bury(spec)
        assert peer.service.statuses() == ()
        assert peer.service.used() == wire.Capacity()
        assert peer.standing.bound == ''
    assert pc.instance_folders() == []


async def test_build_goes_on_when_its_caller_has_gone(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        reservation = await peer.orders.claim(GOLD, claim_of(spec))
        request = wire.BuildRequest(reservation.id, peer.right(spec), spec)
        with trio.CancelScope() as scope:
            scope.cancel()
            await peer.orders.build(GOLD, spec.instance, request)
        with trio.move_on_after(0.001):
            await peer.orders.build(GOLD, spec.instance, request)
        await peer.wait(
            lambda: (
                [s.state for s in peer.service.statuses()] == [State.PLUGGED]
            )
        )


async def test_guest_that_ignores_acpi_is_switched_off(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    pc.hypervisor.obeys = False
    async with pc.run() as peer:
        await peer.start(spec)
        status = await peer.act(spec, Action.STOP, timeout_s=0.05)
        assert status.state is State.STOPPED
        await peer.act(spec, Action.START)
        status = await peer.act(spec, Action.REBOOT_SOFT, timeout_s=0.05)
        assert status.state is State.RUNNING


async def test_guest_that_is_just_starting_is_asked_again(
    pc: Pc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, 'ASK_AGAIN_S', 0.02)
    spec = one_peer.spec_of(IMAGE)
    pc.hypervisor.deaf_for = 2
    pc.hypervisor.failing_at['cut_power'] = errors.HypervisorFailed('cut')
    async with pc.run() as peer:
        await peer.start(spec)
        status = await peer.act(spec, Action.STOP, timeout_s=600)
        pc.hypervisor.failing_at.clear()

    assert status.state is State.STOPPED
    assert pc.hypervisor.deaf_for == -1


async def test_what_a_guest_does_by_itself_is_told_at_once(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        for power, state in (
            (Power.OFF, State.STOPPED),
            (Power.CRASHED, State.CRASHED),
        ):
            peer.changes.clear()
            pc.hypervisor.set_power(spec.instance, power)
            await peer.wait(lambda: bool(peer.changes))
            [seen] = peer.service.statuses()
            assert seen.state is state
        status = await peer.act(spec, Action.START)
        assert status.state is State.RUNNING


async def test_without_libvirt_nothing_is_offered_and_the_reason_is_said(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    pc.hypervisor.failing = errors.HypervisorBusy('libvirt is silent')
    async with pc.run_as_it_is() as peer:
        await peer.wait(lambda: 'libvirt is silent' in peer.service.reasons())
        assert peer.service.record().offer.total == wire.Capacity()
        with pytest.raises(errors.NotOffered, match='libvirt is silent'):
            await peer.orders.claim(GOLD, claim_of(spec))
        await peer.standing.drain(True)
        pc.hypervisor.failing = None
        await peer.wait(lambda: peer.service.offer().total.vcpus == 4)
        assert 'libvirt is silent' not in peer.service.reasons()


async def test_tombstone_without_libvirt_is_kept_and_carried_out_later(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.place(spec)
        pc.hypervisor.failing = errors.HypervisorBusy('silent')
        with pytest.raises(errors.HypervisorBusy):
            await peer.bury(spec)
    pc.hypervisor.failing = None
    async with pc.run() as peer:
        await peer.wait(lambda: peer.service.statuses() == ())
    assert pc.hypervisor.rows == {}


async def test_restart_of_the_daemon_touches_no_running_guest(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
    before = dict(pc.hypervisor.rows)
    pc.table.vifs = []
    async with pc.run() as peer:
        [status] = peer.service.statuses()
        assert status.state is State.RUNNING
        assert peer.service.used() == spec.need
        assert peer.standing.slice == 'gold'
        assert pc.table.vifs == list(spec.vifs)
    assert pc.hypervisor.rows == before


async def test_after_a_power_cut_nothing_starts_by_itself(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
    pc.hypervisor.set_power(spec.instance, Power.OFF)
    pc.table.vifs = []
    async with pc.run() as peer:
        [status] = peer.service.statuses()
        assert status.state is State.STOPPED
        status = await peer.act(spec, Action.START)
        assert status.state is State.RUNNING
        assert pc.table.vifs == list(spec.vifs)


async def test_marked_domain_without_a_right_is_left_alone_and_named(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.place(spec)
    (pc.root / 'peer.sqlite').unlink()
    async with pc.run() as peer:
        assert any(spec.instance in r for r in peer.service.reasons())
        assert spec.instance in pc.hypervisor.rows
        await peer.bury(spec)
        await peer.wait(lambda: pc.hypervisor.rows == {})


async def test_folder_that_cannot_be_removed_ends_nothing(
    pc: Pc, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: pathlib.Path) -> None:
        raise OSError(errno.EROFS, 'Read-only file system', str(folder))

    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.place(spec)
        with monkeypatch.context() as broken:
            broken.setattr(builder, '_remove_folder', refuse)
            with pytest.raises(errors.HypervisorFailed, match='Read-only'):
                await peer.bury(spec)
            await peer.wait(lambda: 'Read-only' in peer.service.offer().reason)
        await peer.wait(lambda: peer.service.statuses() == ())
    assert pc.instance_folders() == []


async def test_memory_that_the_owner_takes_is_offered_when_he_gives_it_back(
    pc: Pc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, 'RESYNC_S', 0.01)
    before = pc.meminfo.read_text()
    async with pc.run() as peer:
        whole = peer.service.offer()
        set_text(pc.meminfo, 'MemAvailable: 1024 kB\n')
        await peer.wait(lambda: peer.service.offer().total.memory_mb == 0)
        assert 'no memory is left' in peer.service.offer().reason
        with pytest.raises(errors.NotOffered, match='other programs'):
            await peer.orders.claim(GOLD, claim_of(one_peer.spec_of(IMAGE)))
        set_text(pc.meminfo, before)
        await peer.wait(lambda: peer.service.offer() == whole)


def set_text(path: pathlib.Path, text: str) -> None:
    """Change a file at once, for whoever is reading it."""
    new = path.with_suffix('.new')
    new.write_text(text)
    new.replace(path)


async def test_image_does_not_take_what_instances_have_yet_to_write(
    pc: Pc, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        reservation = await peer.orders.claim(GOLD, claim_of(spec))
        free = images.KEEP_FREE + spec.need.disk_mb * 2**20
        monkeypatch.setattr(imaging, 'free_bytes', lambda folder: free)
        request = wire.BuildRequest(reservation.id, peer.right(spec), spec)
        with pytest.raises(errors.NoSpace, match='does not fit'):
            await peer.orders.build(GOLD, spec.instance, request)
