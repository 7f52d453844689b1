# SPDX-License-Identifier: Apache-2.0
"""The life of a real guest on a PC, and what may happen to it."""

import contextlib
import dataclasses
import pathlib
import signal
import tempfile
from collections.abc import Iterator

import msgspec
import pytest
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.libvirt_host import LibvirtHost, reading
from tests.support import one_peer
from tests.support.one_peer import GOLD, OnePeer
from tests.support.private_libvirtd import PrivateLibvirtd

pytestmark = [pytest.mark.libvirt, pytest.mark.trio]

State = wire.InstanceState
Action = wire.Action
DEADLINE_S = 120.0
LOGIN = b'login:'


@dataclasses.dataclass
class Pc:
    """A PC whose daemon a test starts."""

    libvirtd: PrivateLibvirtd
    root: pathlib.Path
    guest: bytes

    def run(
        self, call_timeout_s: float = 60.0
    ) -> contextlib.AbstractAsyncContextManager[OnePeer]:
        return one_peer.one_peer(
            self.root,
            LibvirtHost(self.libvirtd.uri, call_timeout_s=call_timeout_s),
            self.libvirtd.apply_filters,
            [self.guest],
            sysfs=self.libvirtd.sysfs,
        )

    def spec(self) -> wire.InstanceSpec:
        image = one_peer.image_of(self.guest, 'qcow2')
        return one_peer.spec_of(image, need=wire.Capacity(1, 128, 200))

    def seen(self) -> str:
        """What the machine says of taps, filters and domains."""
        return '\n'.join(
            self.libvirtd.run(*command.split())
            for command in (
                'ip -br link',
                'nft list ruleset',
                'virsh list --all',
                'ps ax',
            )
        )


@pytest.fixture
def pc(libvirtd: PrivateLibvirtd, guest: bytes) -> Iterator[Pc]:
    with tempfile.TemporaryDirectory(prefix='pc') as folder:
        yield Pc(libvirtd, pathlib.Path(folder), guest)


async def offering(peer: OnePeer) -> None:
    await one_peer.until(lambda: peer.service.offer().total.vcpus > 0)


async def logins(peer: OnePeer, spec: wire.InstanceSpec, number: int) -> None:
    """Wait until the console has shown so many login prompts."""
    with trio.fail_after(DEADLINE_S):
        while True:
            console = await peer.orders.console(GOLD, spec.instance, 2**20)
            if console.output.count(LOGIN) >= number:
                return
            await trio.sleep(0.2)


async def test_guest_obeys_and_leaves_nothing(
    pc: Pc, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = pc.libvirtd.root
    monkeypatch.setattr(reading, 'RUN_FOLDER', inside / 'run/libvirt/qemu')
    monkeypatch.setattr(reading, 'PROC', inside / 'proc')
    spec = pc.spec()
    tap = f'tap{spec.vifs[0].port[:11]}'
    async with pc.run() as peer:
        await offering(peer)
        assert peer.service.offer().networks == ('office',)
        status = await peer.place(spec)
        assert status.state is State.PLUGGED
        seen = pc.seen()
        assert seen.count(tap) >= 3
        assert spec.instance in seen
        await peer.act(spec, Action.START)
        await logins(peer, spec, 1)
        for action, state, prompts in (
            (Action.STOP, State.STOPPED, 1),
            (Action.START, State.RUNNING, 2),
            (Action.REBOOT_SOFT, State.RUNNING, 3),
            (Action.REBOOT_HARD, State.RUNNING, 4),
            (Action.PAUSE, State.PAUSED, 4),
            (Action.UNPAUSE, State.RUNNING, 4),
        ):
            status = await peer.act(spec, action, timeout_s=DEADLINE_S)
            assert status.state is state, action
            await logins(peer, spec, prompts)
        found = await peer.orders.diagnostics(GOLD, spec.instance)
        assert found.cpu_time_ns[0] > 0
        assert 0 < found.uptime_s < 2 * DEADLINE_S
        assert found.disks[0].read_bytes > 0
        host = LibvirtHost(pc.libvirtd.uri, call_timeout_s=DEADLINE_S)
        assert 0 < (await host.host()).guests_mb < 2048
        await host.close()
        assert found.nics[0].mac == spec.vifs[0].mac
        await peer.bury(spec)
        assert peer.service.statuses() == ()
    assert list((pc.root / 'instances').iterdir()) == []
    seen = pc.seen()
    assert tap not in seen
    assert spec.instance not in seen


async def test_guest_runs_on_without_its_daemon(pc: Pc) -> None:
    spec = pc.spec()
    async with pc.run() as peer:
        await offering(peer)
        await peer.place(spec)
        await peer.act(spec, Action.START)
    async with pc.run() as peer:
        await logins(peer, spec, 1)
        await one_peer.until(
            lambda: (
                [s.state for s in peer.service.statuses()] == [State.RUNNING]
            )
        )
        await peer.bury(spec)


async def test_death_of_qemu_is_a_crash_and_start_repairs_it(pc: Pc) -> None:
    spec = pc.spec()
    async with pc.run() as peer:
        await offering(peer)
        await peer.place(spec)
        await peer.act(spec, Action.START)
        peer.changes.clear()
        pc.libvirtd.run('pkill', '-KILL', '-f', f'guest=p2pcs-{spec.instance}')
        await one_peer.until(
            lambda: (
                [s.state for s in peer.service.statuses()] == [State.CRASHED]
            )
        )
        assert peer.changes
        status = await peer.act(spec, Action.REBOOT_HARD)
        assert status.state is State.RUNNING
        await peer.bury(spec)


async def test_suspended_guest_goes_on_where_it_was(pc: Pc) -> None:
    spec = pc.spec()
    async with pc.run() as peer:
        await offering(peer)
        await peer.place(spec)
        await peer.act(spec, Action.START)
        await logins(peer, spec, 1)
        status = await peer.act(spec, Action.SUSPEND)
        assert status.state is State.SUSPENDED
        assert f'guest=p2pcs-{spec.instance}' not in pc.seen()
    async with pc.run() as peer:
        await one_peer.until(
            lambda: (
                [s.state for s in peer.service.statuses()] == [State.SUSPENDED]
            )
        )
        status = await peer.act(spec, Action.RESUME)
        assert status.state is State.RUNNING
        assert f'tap{spec.vifs[0].port[:11]}' in pc.seen()
        # It obeys, and has not booted again.
        status = await peer.act(spec, Action.STOP, timeout_s=DEADLINE_S)
        assert status.state is State.STOPPED
        console = await peer.orders.console(GOLD, spec.instance, 2**20)
        assert console.output.count(LOGIN) == 1
        await peer.bury(spec)


@pytest.mark.slow
async def test_copy_of_a_running_guest_s_disk_boots_alone(pc: Pc) -> None:
    spec = pc.spec()
    once = wire.SnapshotRequest(DEADLINE_S, wire.Counter(1, 1))
    async with pc.run() as peer:
        await offering(peer)
        await peer.place(spec)
        await peer.act(spec, Action.START)
        await logins(peer, spec, 1)
        async with peer.orders.snapshot(GOLD, spec.instance, once) as made:
            copy = await trio.Path(made).read_bytes()
        status = await peer.orders.instance(GOLD, spec.instance)
        assert status.state is State.RUNNING
        await peer.bury(spec)
    pc.guest = copy
    again = pc.spec()
    async with pc.run() as peer:
        await offering(peer)
        await peer.place(again)
        await peer.act(again, Action.START)
        await logins(peer, again, 1)
        await peer.bury(again)
    assert list((pc.root / 'instances').iterdir()) == []


async def test_killed_libvirtd_is_said_and_its_return_is_noticed(
    pc: Pc,
) -> None:
    spec = pc.spec()
    async with pc.run() as peer:
        await offering(peer)
        await peer.place(spec)
        await peer.act(spec, Action.START)
        pc.libvirtd.signal_daemon(signal.SIGKILL)
        try:
            await one_peer.until(lambda: peer.service.offer().total.vcpus == 0)
            assert any('libvirt' in r for r in peer.service.reasons())
            [status] = peer.service.statuses()
            assert status.state is State.RUNNING
            with pytest.raises(errors.NotOffered, match='libvirt'):
                await peer.orders.claim(
                    GOLD, wire.Claim(spec.instance, spec.need)
                )
        finally:
            pc.libvirtd.start_daemon()
        await offering(peer)
        await logins(peer, spec, 1)
        status = await peer.orders.instance(GOLD, spec.instance)
        assert status.state is State.RUNNING
        await peer.bury(spec)


async def test_hung_libvirtd_stops_nothing_else(pc: Pc) -> None:
    spec = pc.spec()
    async with pc.run(call_timeout_s=2.0) as peer:
        await offering(peer)
        await peer.place(spec)
        pc.libvirtd.signal_daemon(signal.SIGSTOP)
        try:
            with trio.fail_after(DEADLINE_S):
                with pytest.raises(errors.HypervisorBusy):
                    await peer.act(spec, Action.START)
                await one_peer.until(
                    lambda: peer.service.offer().total.vcpus == 0
                )
                # What needs no libvirt is answered while others hang.
                async with trio.open_nursery() as nursery:
                    for _ in range(20):
                        nursery.start_soon(expect_busy, peer, spec)
                    for _ in range(20):
                        await peer.orders.instances(GOLD)
                        await peer.orders.console(GOLD, spec.instance, 10)
                        await peer.standing.drain(True)
                with pytest.raises(errors.HypervisorBusy):
                    await peer.bury(spec)
        finally:
            pc.libvirtd.signal_daemon(signal.SIGCONT)
        await one_peer.until(lambda: peer.service.statuses() == ())
        await offering(peer)
    assert spec.instance not in pc.seen()


async def expect_busy(peer: OnePeer, spec: wire.InstanceSpec) -> None:
    with pytest.raises(errors.HypervisorBusy):
        await peer.orders.diagnostics(GOLD, spec.instance)


async def test_daemon_starts_before_libvirtd(pc: Pc) -> None:
    pc.libvirtd.signal_daemon(signal.SIGKILL)
    try:
        async with pc.run() as peer:
            await one_peer.until(
                lambda: any('libvirt' in r for r in peer.service.reasons())
            )
            assert peer.service.record().offer.total == wire.Capacity()
            await peer.standing.drain(True)
            pc.libvirtd.start_daemon()
            await offering(peer)
    finally:
        pc.libvirtd.run('sh', '-c', 'pidof libvirtd || libvirtd -d')


async def test_guest_that_does_not_fit_into_memory_leaves_nothing(
    pc: Pc,
) -> None:
    spec = msgspec.structs.replace(pc.spec(), vifs=())
    huge = msgspec.structs.replace(spec, need=wire.Capacity(1, 2**33, 200))
    rules = dataclasses.replace(one_peer.RULES, memory_mb=2**34)
    async with one_peer.one_peer(
        pc.root,
        LibvirtHost(pc.libvirtd.uri, call_timeout_s=60.0),
        pc.libvirtd.apply_filters,
        [pc.guest],
        rules=rules,
        sysfs=pc.libvirtd.sysfs,
    ) as peer:
        await offering(peer)
        with pytest.raises(errors.NotOffered, match='memory'):
            await peer.place(huge)
