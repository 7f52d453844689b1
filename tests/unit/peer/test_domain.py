# SPDX-License-Identifier: Apache-2.0
"""What libvirt is told of an instance."""

import pathlib

import msgspec
import pytest
from lxml import etree

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import domain
from tests.support import one_peer

IMAGE = wire.Image(f'sha256:{"0" * 64}', 'qcow2', 1000)
SPEC = one_peer.spec_of(IMAGE)
MARK = domain.Mark(SPEC.instance, wire.Counter(1, 7), 'gold', 'a' * 32)
FILES = domain.Files(
    disk=pathlib.Path('/i/disk.qcow2'),
    base=pathlib.Path('/c/image'),
    base_format='qcow2',
    config_drive=pathlib.Path('/i/config.iso'),
    console=pathlib.Path('/i/console.log'),
)


def make(
    spec: wire.InstanceSpec = SPEC,
    accelerator: wire.Accelerator = wire.Accelerator.TCG,
) -> etree._Element:
    return etree.fromstring(
        domain.domain_xml(spec, MARK, FILES, accelerator, {'office': 'br0'})
    )


def with_machine(**machine: str) -> wire.InstanceSpec:
    return msgspec.structs.replace(
        SPEC, machine=msgspec.convert(machine, wire.Machine)
    )


def test_uuid_name_and_sizes_are_the_instances() -> None:
    root = make()
    assert root.findtext('uuid') == SPEC.instance
    assert root.findtext('name') == f'p2pcs-{SPEC.instance}'
    assert root.findtext('memory') == '128'
    assert root.findtext('vcpu') == '1'


def test_mark_is_read_back_as_it_was_written() -> None:
    [element] = make().find('metadata')  # type: ignore[misc]
    assert domain.parse_mark(etree.tostring(element).decode()) == MARK


@pytest.mark.parametrize(
    'text', ['', '<a/>', '<a uuid="1" era="x" n="1" slice="" peer=""/>']
)
def test_what_is_no_mark_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        domain.parse_mark(text)


def test_every_disk_names_its_format_and_its_backing_file() -> None:
    disk, cdrom = make().findall('devices/disk')
    assert disk.find('driver[@type="qcow2"]') is not None
    assert disk.find('backingStore/format[@type="qcow2"]') is not None
    assert disk.find('backingStore/source[@file="/c/image"]') is not None
    # The chain ends there, whatever the image's header says.
    assert disk.find('backingStore/backingStore') is not None
    assert len(disk.find('backingStore/backingStore')) == 0  # type: ignore[arg-type]
    assert cdrom.find('driver[@type="raw"]') is not None
    assert cdrom.find('readonly') is not None


@pytest.mark.parametrize(
    ('bus', 'machine', 'target', 'drive'),
    [
        ('virtio', 'pc', 'vda', 'ide'),
        ('scsi', 'pc', 'sda', 'ide'),
        ('ide', 'pc', 'hda', 'ide'),
        ('sata', 'pc', 'sda', 'ide'),
        ('virtio', 'q35', 'vda', 'sata'),
        ('sata', 'q35', 'sda', 'sata'),
    ],
)
def test_disk_and_config_drive_have_a_bus_that_the_machine_has(
    bus: str, machine: str, target: str, drive: str
) -> None:
    root = make(with_machine(disk_bus=bus, machine_type=machine))
    first, second = root.findall('devices/disk/target')
    assert (first.get('dev'), first.get('bus')) == (target, bus)
    assert second.get('bus') == drive
    assert first.get('dev') != second.get('dev')
    model = root.find('devices/controller[@type="scsi"]')
    assert (model is not None) == (bus == 'scsi')


def test_ide_disk_of_a_machine_without_ide_is_refused_by_name() -> None:
    with pytest.raises(errors.Unsupported, match='hw_disk_bus=ide'):
        make(with_machine(disk_bus='ide', machine_type='q35'))


def test_tap_is_named_after_the_port_and_joins_the_bridge() -> None:
    [vif] = SPEC.vifs
    interface = make().find('devices/interface')
    assert interface is not None
    target = interface.find('target')
    assert target is not None
    assert target.get('dev') == f'tap{vif.port[:11]}'
    assert len(str(target.get('dev'))) < 16
    assert interface.find('source[@bridge="br0"]') is not None
    assert interface.find(f'mac[@address="{vif.mac}"]') is not None
    assert interface.find('mtu') is None


def test_large_mtu_is_set_on_the_tap() -> None:
    [vif] = SPEC.vifs
    jumbo = msgspec.structs.replace(vif, mtu=9000)
    spec = msgspec.structs.replace(SPEC, vifs=(jumbo,))
    assert make(spec).find('devices/interface/mtu[@size="9000"]') is not None


def test_network_without_a_bridge_is_not_offered() -> None:
    with pytest.raises(errors.NotOffered, match='office'):
        domain.domain_xml(SPEC, MARK, FILES, wire.Accelerator.TCG, {})


def test_kvm_shows_the_host_s_processor_and_tcg_one_it_can_emulate() -> None:
    kvm = make(accelerator=wire.Accelerator.KVM)
    assert kvm.get('type') == 'kvm'
    assert kvm.find('cpu[@mode="host-model"]') is not None
    assert kvm.find('features/tcg') is None
    tcg = make()
    assert tcg.get('type') == 'qemu'
    assert tcg.findtext('cpu/model') == domain.TCG_CPU
    assert tcg.findtext('features/tcg/tb-cache') == str(domain.TCG_CACHE_MB)


@pytest.mark.parametrize('name', ['a & <b> "c"', 'x\0\ny', 'é' * 400, ''])
def test_any_name_of_a_server_is_legal(name: str) -> None:
    root = make(msgspec.structs.replace(SPEC, name=name))
    title = root.findtext('title')
    assert title
    assert '\n' not in title
