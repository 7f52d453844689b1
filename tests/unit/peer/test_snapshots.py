# SPDX-License-Identifier: Apache-2.0
"""Copies of disks for snapshots: made, handed over, and gone."""

import pathlib
import subprocess

import pytest
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import copies, disks
from p2pcs_nova.peer.hypervisor import Copying, Power
from p2pcs_nova.peer.steps import Step
from tests.support import disk_images, one_peer
from tests.support.one_peer import GOLD, OnePeer
from tests.unit.peer.conftest import CONTENT, Pc
from tests.unit.peer.test_crash_points import Fuse, power_cut

pytestmark = pytest.mark.trio

State = wire.InstanceState
Action = wire.Action
IMAGE = one_peer.image_of(CONTENT)
EPOCH = wire.Counter(1, 1)
ONCE = wire.SnapshotRequest(60.0, EPOCH)


async def take(
    peer: OnePeer,
    spec: wire.InstanceSpec,
    request: wire.SnapshotRequest = ONCE,
    command: wire.Command = GOLD,
) -> bytes:
    """A snapshot, whole."""
    async with peer.orders.snapshot(command, spec.instance, request) as copy:
        return await trio.Path(copy).read_bytes()


def left(pc: Pc) -> list[pathlib.Path]:
    """What is left of copies."""
    return list((pc.root / 'instances').glob('*/copy*'))


def disk_of(pc: Pc) -> pathlib.Path:
    [disk] = (pc.root / 'instances').glob('*/disk.qcow2')
    return disk


@pytest.mark.parametrize('last', [Action.START, Action.PAUSE])
async def test_disk_in_use_is_copied_by_the_hypervisor(
    pc: Pc, last: Action
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        await peer.act(spec, last)
        async with peer.orders.snapshot(GOLD, spec.instance, ONCE) as copy:
            # Ended: nothing is written to it any more.
            assert pc.hypervisor.copies == {}
            assert left(pc) == [copy]
            assert peer.service.used().disk_mb > spec.need.disk_mb
        assert left(pc) == []
        assert peer.service.used() == spec.need


@pytest.mark.parametrize('last', [Action.STOP, Action.SUSPEND])
async def test_disk_that_nobody_uses_is_flattened_by_qemu_img(
    pc: Pc, last: Action
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        before = await peer.act(spec, last)
        async with peer.orders.snapshot(GOLD, spec.instance, ONCE) as copy:
            assert copy.stat().st_mode & 0o777 == 0o600
            raw = await trio.to_thread.run_sync(to_raw, copy)
        assert raw.startswith(CONTENT)
        assert len(raw) == spec.root_mb * 2**20
        assert peer.service.statuses() == (before,)
        assert left(pc) == []


def to_raw(copy: pathlib.Path) -> bytes:
    """The disk of a qcow2 image that needs no other file."""
    alone = copy.with_name('copy-alone')
    subprocess.run(
        ['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', copy, alone],
        check=True,
        timeout=60,
    )
    try:
        return alone.read_bytes()
    finally:
        alone.unlink()


async def test_header_that_a_guest_has_changed_opens_no_other_file(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    secret = pc.root / 'secret'
    async with pc.run() as peer:
        await peer.start(spec)
        await peer.act(spec, Action.STOP)
        secret.write_bytes(b'secret' * 1000)
        await trio.run_process(
            ['qemu-img', 'rebase', '-u', '-f', 'qcow2', '-F', 'raw', '-b',
             str(secret), str(disk_of(pc))],
        )  # fmt: skip
        async with peer.orders.snapshot(GOLD, spec.instance, ONCE) as copy:
            raw = await trio.to_thread.run_sync(to_raw, copy)
        assert raw.startswith(CONTENT)
        disk_of(pc).write_bytes(
            disk_images.qcow2(features=disk_images.DATA_FILE)
        )
        with pytest.raises(errors.ImageRefused, match='data_file'):
            await take(peer, spec)
        disk_of(pc).write_bytes(b'raw now')
        with pytest.raises(errors.ImageRefused, match='unreadable header'):
            await take(peer, spec)
        assert left(pc) == []


async def test_copy_that_does_not_fit_the_offer_is_not_begun(pc: Pc) -> None:
    need = wire.Capacity(1, 128, one_peer.RULES.disk_mb or 0)
    spec = one_peer.spec_of(IMAGE, need=need)
    async with pc.run() as peer:
        await peer.start(spec)
        with pytest.raises(errors.NoSpace, match='for its copy'):
            await take(peer, spec)
        assert left(pc) == []
        assert peer.service.used() == spec.need


async def test_copy_that_ends_early_or_never_leaves_nothing(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        for copying, reason in (
            (Copying.NONE, 'ended early'),
            (Copying.RUNNING, 'not whole within 0.2 s'),
        ):
            pc.hypervisor.copying = copying
            with pytest.raises(errors.HypervisorFailed, match=reason):
                await take(peer, spec, wire.SnapshotRequest(0.2, EPOCH))
            assert left(pc) == []
            assert pc.hypervisor.copies == {}
            assert peer.service.used() == spec.need
        [status] = peer.service.statuses()
        assert status.state is State.RUNNING


async def test_copy_that_cannot_be_made_leaves_nothing(
    pc: Pc, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        pc.hypervisor.failing_at['begin_copy'] = errors.NoSpace('full')
        with pytest.raises(errors.NoSpace):
            await take(peer, spec)
        assert left(pc) == []
        await peer.act(spec, Action.STOP)
        monkeypatch.setattr(disks, 'MEMORY_LIMIT', '--fsize=1000')
        with pytest.raises(errors.HypervisorFailed, match='qemu-img'):
            await take(peer, spec)
        assert left(pc) == []


async def test_who_may_not_command_the_slice_gets_no_copy(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    higher = wire.Command('gold', wire.Counter(1, 9))
    async with pc.run() as peer:
        await peer.start(spec)
        with pytest.raises(errors.OtherSlice):
            await take(
                peer, spec, command=wire.Command('silver', wire.Counter(1, 1))
            )
        for request in (
            wire.SnapshotRequest(60.0),
            wire.SnapshotRequest(60.0, wire.Counter(1, 2)),
        ):
            with pytest.raises(errors.StaleEpoch):
                await take(peer, spec, request)
        await take(peer, spec, command=higher)
        with pytest.raises(errors.StaleTerm):
            await take(peer, spec)
        with pytest.raises(errors.NotFound):
            await take(peer, one_peer.spec_of(IMAGE), command=higher)


async def hold_until_destroyed(peer: OnePeer, spec: wire.InstanceSpec) -> None:
    with pytest.raises(errors.StaleEpoch, match='destroyed'):
        async with peer.orders.snapshot(GOLD, spec.instance, ONCE):
            await trio.sleep_forever()


async def test_tombstone_ends_a_snapshot_and_leaves_nothing(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_until_destroyed, peer, spec)
            await peer.wait(lambda: left(pc) != [])
            await peer.bury(spec)
        await peer.wait(lambda: peer.service.statuses() == ())
        assert pc.instance_folders() == []
        assert peer.service.used() == wire.Capacity()


@pytest.mark.parametrize(
    'step',
    [Step.COPY_BEGUN, Step.COPY_ENDED, Step.COPY_DROPPED],
    ids=lambda step: step.value,
)
async def test_copy_of_a_daemon_that_ended_is_removed(
    pc: Pc, step: Step
) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
    fuse = Fuse(step)
    with power_cut():
        async with pc.run(passed=fuse) as peer:
            await take(peer, spec)
    assert fuse.burnt
    async with pc.run() as peer:
        await peer.wait(lambda: left(pc) == [])
        assert pc.hypervisor.copies == {}
        [status] = peer.service.statuses()
        assert status.state is State.RUNNING
        await take(peer, spec)


async def test_copy_that_cannot_be_removed_is_removed_later(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        async with peer.orders.snapshot(GOLD, spec.instance, ONCE):
            pc.hypervisor.failing_at['end_copy'] = errors.HypervisorBusy('-')
        assert len(left(pc)) == 1
        del pc.hypervisor.failing_at['end_copy']
    async with pc.run():
        assert left(pc) == []


async def test_log_tells_how_far_a_copy_is(
    pc: Pc, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, 'TELL_S', 0.01)
    caplog.set_level('INFO')
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        pc.hypervisor.copying = Copying.RUNNING
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take, peer, spec)
            await peer.wait(lambda: 'of at most' in caplog.text)
            pc.hypervisor.copying = Copying.WHOLE
    assert 'are copied' in caplog.text


async def test_copy_that_died_with_its_guest_is_no_copy(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        pc.hypervisor.dies_copied = True
        with pytest.raises(errors.HypervisorFailed, match='ended early'):
            await take(peer, spec)
        assert left(pc) == []


async def test_guest_that_stops_meanwhile_ends_its_copy(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    async with pc.run() as peer:
        await peer.start(spec)
        pc.hypervisor.copying = Copying.RUNNING

        async def die() -> None:
            await peer.wait(lambda: bool(pc.hypervisor.copies))
            pc.hypervisor.copies.clear()
            pc.hypervisor.set_power(spec.instance, Power.CRASHED)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(die)
            with pytest.raises(errors.HypervisorFailed, match='ended early'):
                await take(peer, spec)
        assert left(pc) == []
