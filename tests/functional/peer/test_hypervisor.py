# SPDX-License-Identifier: Apache-2.0
"""One contract for the hypervisor in memory and for libvirt."""

import contextlib
import dataclasses
import pathlib
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import disks, domain
from p2pcs_nova.peer.hypervisor import (
    IS_OFF,
    Copying,
    Happening,
    Hypervisor,
    Power,
)
from p2pcs_nova.peer.libvirt_host import LibvirtHost
from tests.support.fake_hypervisor import FakeHypervisor
from tests.support.one_peer import image_of, spec_of
from tests.support.private_libvirtd import PrivateLibvirtd

pytestmark = pytest.mark.trio

DEADLINE_S = 60.0


@dataclasses.dataclass
class Subject:
    """A hypervisor, and a definition that it accepts."""

    hypervisor: Hypervisor
    folder: pathlib.Path
    instance: str = dataclasses.field(
        default_factory=lambda: str(uuid.uuid4())
    )

    def xml(self, n: int = 1) -> str:
        spec = spec_of(image_of(b'x'))
        mark = domain.Mark(self.instance, wire.Counter(1, n), 'gold', 'a' * 32)
        text = domain.domain_xml(
            spec,
            mark,
            domain.Files(
                disk=self.folder / 'disk',
                base=self.folder / 'base',
                base_format='raw',
                config_drive=None,
                console=self.folder / 'console.log',
            ),
            wire.Accelerator.TCG,
            {'office': 'br0'},
        )
        return text.replace(spec.instance, self.instance)

    @property
    def disk(self) -> pathlib.Path:
        return self.folder / 'disk'

    async def run(self) -> None:
        """From nothing to running."""
        await self.hypervisor.define(self.instance, self.xml())
        await self.hypervisor.start_paused(self.instance)
        await self.hypervisor.resume(self.instance)

    async def power(self) -> Power | None:
        found = await self.hypervisor.domain(self.instance)
        return None if found is None else found.power


@contextlib.asynccontextmanager
async def made(
    hypervisor: Hypervisor, folder: pathlib.Path
) -> AsyncIterator[Subject]:
    """A subject with an empty disk, taken away at the end."""
    (folder / 'base').write_bytes(bytes(2**20))
    await disks.make_overlay(folder / 'disk', folder / 'base', 'raw', 1)
    subject = Subject(hypervisor, folder)
    try:
        yield subject
    finally:
        with trio.CancelScope(shield=True):
            await hypervisor.cut_power(subject.instance)
            await hypervisor.undefine(subject.instance)
            await hypervisor.close()


Make = Callable[[], contextlib.AbstractAsyncContextManager[Subject]]


@pytest.fixture(
    params=['memory', pytest.param('libvirt', marks=pytest.mark.libvirt)]
)
def make(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Make:
    if request.param == 'memory':
        return lambda: made(FakeHypervisor(), tmp_path)
    libvirtd: PrivateLibvirtd = request.getfixturevalue('libvirtd')
    return lambda: made(
        LibvirtHost(libvirtd.uri, call_timeout_s=DEADLINE_S), tmp_path
    )


async def test_host_is_described(make: Make) -> None:
    async with make() as subject:
        host = await subject.hypervisor.host()
        assert host.cpus > 0
        assert host.memory_mb > 0
        assert host.arch == 'x86_64'
        assert host.version > 0


async def test_domain_goes_through_its_states(make: Make) -> None:
    async with make() as subject:
        do, instance = subject.hypervisor, subject.instance
        assert await subject.power() is None
        await do.define(instance, subject.xml())
        assert await subject.power() is Power.COLD
        await do.start_paused(instance)
        assert await subject.power() is Power.PAUSED
        await do.resume(instance)
        assert await subject.power() is Power.RUNNING
        await do.suspend(instance)
        assert await subject.power() is Power.PAUSED
        await do.cut_power(instance)
        assert await subject.power() is Power.OFF
        await do.undefine(instance)
        assert await subject.power() is None


async def test_mark_and_list_agree(make: Make) -> None:
    async with make() as subject:
        await subject.hypervisor.define(subject.instance, subject.xml(n=7))
        one = await subject.hypervisor.domain(subject.instance)
        assert one is not None
        assert one.mark.epoch == wire.Counter(1, 7)
        assert one.mark.slice == 'gold'
        assert one in await subject.hypervisor.domains()


async def test_taking_away_what_is_not_there_is_no_error(make: Make) -> None:
    async with make() as subject:
        await subject.hypervisor.cut_power(subject.instance)
        await subject.hypervisor.undefine(subject.instance)


async def test_what_cannot_be_done_is_an_error(make: Make) -> None:
    async with make() as subject:
        do, instance = subject.hypervisor, subject.instance
        for action in (do.start_paused, do.resume, do.suspend):
            with pytest.raises(errors.HypervisorFailed):
                await action(instance)
        with pytest.raises(errors.NotFound):
            await do.diagnostics(instance)
        await do.define(instance, subject.xml())
        with pytest.raises(errors.HypervisorFailed):
            await do.resume(instance)


async def test_changes_are_told(make: Make) -> None:
    async with make() as subject:
        do, instance = subject.hypervisor, subject.instance
        await do.define(instance, subject.xml())
        await do.start_paused(instance)
        with trio.fail_after(DEADLINE_S):
            while True:
                events = await do.wait_events()
                if instance in {event.instance for event in events}:
                    break
        assert {event.what for event in events} == {Happening.CHANGED}


async def test_diagnostics_of_a_running_domain(make: Make) -> None:
    async with make() as subject:
        do, instance = subject.hypervisor, subject.instance
        await do.define(instance, subject.xml())
        await do.start_paused(instance)
        await do.resume(instance)
        found = await do.diagnostics(instance)
        assert found.state is wire.InstanceState.RUNNING
        assert found.memory_mb > 0
        assert len(found.cpu_time_ns) == 1


async def test_saved_guest_is_off_and_comes_back_paused(make: Make) -> None:
    async with make() as subject:
        do, instance = subject.hypervisor, subject.instance
        memory = subject.folder / 'memory'
        await subject.run()
        await do.save(instance, memory, DEADLINE_S)
        assert await subject.power() is Power.OFF
        assert await do.is_saved(memory)
        await do.restore_paused(instance, memory, DEADLINE_S)
        assert await subject.power() is Power.PAUSED
        assert memory.exists()
        await do.resume(instance)
        assert await subject.power() is Power.RUNNING


async def test_half_a_memory_is_told_from_a_whole_one(make: Make) -> None:
    async with make() as subject:
        do, instance = subject.hypervisor, subject.instance
        memory = subject.folder / 'memory'
        await do.define(instance, subject.xml())
        await trio.Path(memory).write_bytes(b'LibvirtQemudPart' + bytes(100))
        assert not await do.is_saved(memory)
        with pytest.raises(errors.HypervisorFailed):
            await do.restore_paused(instance, memory, DEADLINE_S)
        assert await subject.power() in IS_OFF


async def test_only_a_running_guest_is_saved(make: Make) -> None:
    async with make() as subject:
        do, instance = subject.hypervisor, subject.instance
        memory = subject.folder / 'memory'
        for _ in range(2):
            with pytest.raises(errors.HypervisorFailed):
                await do.save(instance, memory, DEADLINE_S)
            await do.define(instance, subject.xml())


async def until_whole(subject: Subject) -> None:
    """Wait for the copy of the disk."""
    do = subject.hypervisor
    with trio.fail_after(DEADLINE_S):
        while True:
            found = await do.look_at_copy(subject.instance, subject.disk)
            if found is Copying.WHOLE:
                return
            await trio.sleep(0.05)


@pytest.mark.parametrize('paused', [True, False])
async def test_disk_of_a_guest_is_copied_until_that_is_ended(
    make: Make, paused: bool
) -> None:
    async with make() as subject:
        do, instance = subject.hypervisor, subject.instance
        copy = subject.folder / 'copy'
        await subject.run()
        if paused:
            await do.suspend(instance)
        assert await do.look_at_copy(instance, subject.disk) is Copying.NONE
        assert not await do.end_copy(instance, subject.disk)
        await do.begin_copy(instance, subject.disk, copy)
        await until_whole(subject)
        assert await do.end_copy(instance, subject.disk)
        assert await do.look_at_copy(instance, subject.disk) is Copying.NONE
        assert copy.exists()


async def test_disk_that_nobody_uses_is_not_copied(make: Make) -> None:
    async with make() as subject:
        do, instance = subject.hypervisor, subject.instance
        await do.define(instance, subject.xml())
        with pytest.raises(errors.HypervisorFailed):
            await do.begin_copy(
                instance, subject.disk, subject.folder / 'copy'
            )
        await do.end_copy(instance, subject.disk)


@pytest.mark.libvirt
async def test_guest_whose_memory_fills_the_disk_runs_on(
    libvirtd: PrivateLibvirtd, tmp_path: pathlib.Path
) -> None:
    small = tmp_path / 'small'
    small.mkdir()
    libvirtd.run('mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', str(small))
    async with made(LibvirtHost(libvirtd.uri), tmp_path) as subject:
        do, instance = subject.hypervisor, subject.instance
        await subject.run()
        with pytest.raises(errors.NoSpace):
            await do.save(instance, small / 'memory', DEADLINE_S)
        assert await subject.power() is Power.RUNNING
        with pytest.raises(errors.NoSpace):
            await do.begin_copy(instance, subject.disk, small / 'copy')
        assert await subject.power() is Power.RUNNING


@pytest.mark.libvirt
async def test_guest_that_is_not_saved_in_time_runs_on(
    libvirtd: PrivateLibvirtd, tmp_path: pathlib.Path
) -> None:
    host = LibvirtHost(libvirtd.uri, call_timeout_s=5.0)
    async with made(host, tmp_path) as subject:
        do, instance = subject.hypervisor, subject.instance
        await subject.run()
        pid = f'/run/libvirt/qemu/{domain.domain_name(instance)}.pid'
        process = libvirtd.run('cat', pid).strip()
        libvirtd.run('kill', '-STOP', process)
        try:
            with pytest.raises(errors.HypervisorBusy):
                await do.save(instance, tmp_path / 'memory', 1.0)
        finally:
            libvirtd.run('kill', '-CONT', process)
        with trio.fail_after(DEADLINE_S):
            while True:
                if await subject.power() is Power.RUNNING:
                    break
                await trio.sleep(0.1)


FOREIGN = """
<domain type="qemu"><name>foreign</name><uuid>{}</uuid>
<memory unit="MiB">16</memory><os><type>hvm</type></os></domain>
"""


@pytest.mark.libvirt
async def test_domains_of_others_are_neither_seen_nor_touched(
    libvirtd: PrivateLibvirtd, tmp_path: pathlib.Path
) -> None:
    async with made(LibvirtHost(libvirtd.uri), tmp_path) as subject:
        do, instance = subject.hypervisor, subject.instance
        (tmp_path / 'foreign.xml').write_text(FOREIGN.format(instance))
        libvirtd.run('virsh', 'define', str(tmp_path / 'foreign.xml'))
        try:
            assert await do.domain(instance) is None
            assert instance not in {
                d.mark.instance for d in await do.domains()
            }
            await do.cut_power(instance)
            await do.undefine(instance)
            with pytest.raises(errors.HypervisorFailed, match='not ours'):
                await do.define(instance, subject.xml())
            with pytest.raises(errors.HypervisorFailed):
                await do.start_paused(instance)
            assert 'foreign' in libvirtd.run('virsh', 'list', '--all')
        finally:
            libvirtd.run('virsh', 'undefine', 'foreign')


@pytest.mark.libvirt
@pytest.mark.parametrize(
    'machine',
    [
        wire.Machine(disk_bus=bus, machine_type=kind, vif_model=model)
        for bus, kind, model in (
            ('virtio', 'pc', 'virtio'),
            ('scsi', 'pc', 'e1000'),
            ('ide', 'pc', 'rtl8139'),
            ('sata', 'pc', 'virtio'),
            ('virtio', 'q35', 'e1000e'),
            ('scsi', 'q35', 'virtio'),
            ('sata', 'q35', 'virtio'),
        )
    ],
    ids=lambda m: f'{m.machine_type}-{m.disk_bus}-{m.vif_model}',
)
async def test_qemu_takes_every_machine_that_we_offer(
    libvirtd: PrivateLibvirtd, tmp_path: pathlib.Path, machine: wire.Machine
) -> None:
    async with made(LibvirtHost(libvirtd.uri), tmp_path) as subject:
        (tmp_path / 'config').write_bytes(bytes(2048))
        spec = spec_of(image_of(b'x'), machine=machine)
        subject.instance = spec.instance
        xml = domain.domain_xml(
            spec,
            domain.Mark(spec.instance, wire.Counter(1, 1), 'g', 'a' * 32),
            domain.Files(
                disk=tmp_path / 'disk',
                base=tmp_path / 'base',
                base_format='raw',
                config_drive=tmp_path / 'config',
                console=tmp_path / 'console.log',
            ),
            wire.Accelerator.TCG,
            {'office': 'br0'},
        )
        await subject.hypervisor.define(spec.instance, xml)
        await subject.hypervisor.start_paused(spec.instance)
        assert await subject.power() is Power.PAUSED
