# SPDX-License-Identifier: Apache-2.0
"""The libvirt domain of an instance, as XML.  Pure.

Every domain carries an element of our own name space; only domains that
carry it are ever listed or touched.
"""

from __future__ import annotations

import dataclasses
import pathlib

from lxml import etree

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import networks

DEFAULT_MTU = 1500
NAMESPACE = 'https://p2pcs.invalid/xmlns/instance/1'
TCG_CPU = 'Nehalem'
"""x86-64-v2, all of it known to TCG: what distributions of today need."""
TCG_CACHE_MB = 256
"""Translated code that QEMU keeps.  It would take up to 1024 for each guest,
beside the guest's memory, of what the owner has not offered."""


@dataclasses.dataclass(frozen=True)
class Mark:
    """Whose a domain is."""

    instance: str
    epoch: wire.Counter
    slice: str
    peer: str


@dataclasses.dataclass(frozen=True)
class Files:
    """Where the parts of an instance are on this PC."""

    disk: pathlib.Path
    base: pathlib.Path
    base_format: str
    config_drive: pathlib.Path | None
    console: pathlib.Path

    @property
    def memory(self) -> pathlib.Path:
        """The memory of a suspended guest."""
        return self.disk.with_name('memory')

    @property
    def copy(self) -> pathlib.Path:
        """A copy of the disk, while a snapshot is taken."""
        return self.disk.with_name('copy.qcow2')


def domain_name(instance: str) -> str:
    """The domain's name; its uuid is the instance's."""
    return f'p2pcs-{instance}'


def domain_xml(
    spec: wire.InstanceSpec,
    mark: Mark,
    files: Files,
    accelerator: wire.Accelerator,
    bridges: dict[str, str],
    emulator: str = '',
) -> str:
    """The definition of an instance.

    :param bridges: bridge of each physical network
    :param emulator: QEMU binary; '' lets libvirt choose
    :raises Unsupported: this machine cannot have that disk; it is named
    :raises NotOffered: a port's network has no bridge here
    """
    kvm = accelerator is wire.Accelerator.KVM
    devices = _e(
        'devices',
        *([_e('emulator', emulator)] if emulator else []),
        *_disks(spec.machine, files),
        *[_interface(vif, spec.machine, bridges) for vif in spec.vifs],
        *_consoles(files),
        # Unused, and its polling costs much under TCG.
        _e('controller', type='usb', model='none'),
        *_extras(spec.machine),
    )
    domain = _e(
        'domain',
        _e('name', domain_name(spec.instance)),
        _e('uuid', spec.instance),
        _e('title', _title(spec.name)),
        _e('metadata', _mark_element(mark)),
        _e('memory', str(spec.need.memory_mb), unit='MiB'),
        _e('vcpu', str(spec.need.vcpus)),
        _e(
            'os',
            _e(
                'type', 'hvm', arch='x86_64', machine=spec.machine.machine_type
            ),
            _e('boot', dev='hd'),
        ),
        _features(kvm),
        _cpu(kvm),
        _clock(kvm),
        _e('on_poweroff', 'destroy'),
        _e('on_reboot', 'restart'),
        _e('on_crash', 'destroy'),
        devices,
        type='kvm' if kvm else 'qemu',
    )
    return etree.tostring(domain, pretty_print=True).decode()


def _e(
    tag: str, *content: etree._Element | str, **attributes: str
) -> etree._Element:
    """An element with text or children."""
    element = etree.Element(tag, attributes)
    for part in content:
        if isinstance(part, str):
            element.text = part
        else:
            element.append(part)
    return element


def _title(name: str) -> str:
    """libvirt's titles are one printable line, and XML knows no NUL."""
    return ''.join(c if c.isprintable() else ' ' for c in name)[:255] or '-'


def _mark_element(mark: Mark) -> etree._Element:
    return etree.Element(
        f'{{{NAMESPACE}}}instance',
        {
            'uuid': mark.instance,
            'era': str(mark.epoch.era),
            'n': str(mark.epoch.n),
            'slice': mark.slice,
            'peer': mark.peer,
        },
        nsmap={'p2pcs': NAMESPACE},
    )


def parse_mark(text: str) -> Mark:
    """The mark in a metadata element.

    :raises ValueError: it is not one of ours
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        element = etree.fromstring(text.encode(), parser)
        return Mark(
            instance=str(element.attrib['uuid']),
            epoch=wire.Counter(
                int(element.attrib['era']), int(element.attrib['n'])
            ),
            slice=str(element.attrib['slice']),
            peer=str(element.attrib['peer']),
        )
    except (etree.XMLSyntaxError, KeyError) as error:
        raise ValueError(f'not a mark of ours: {error}') from None


def _features(kvm: bool) -> etree._Element:
    features = [_e('acpi'), _e('apic')]
    if not kvm:
        cache = _e('tb-cache', str(TCG_CACHE_MB), unit='MiB')
        features.append(_e('tcg', cache))
    return _e('features', *features)


def _cpu(kvm: bool) -> etree._Element:
    if kvm:
        return _e('cpu', mode='host-model')
    return _e(
        'cpu',
        _e('model', TCG_CPU, fallback='forbid'),
        mode='custom',
        match='exact',
        check='none',
    )


def _clock(kvm: bool) -> etree._Element:
    timers = [
        _e('timer', name='rtc', tickpolicy='catchup'),
        _e('timer', name='hpet', present='no'),
    ]
    if kvm:
        timers.append(_e('timer', name='pit', tickpolicy='delay'))
    return _e('clock', *timers, offset='utc')


_TARGETS = {'virtio': 'vd', 'scsi': 'sd', 'sata': 'sd', 'ide': 'hd'}


def _disks(machine: wire.Machine, files: Files) -> list[etree._Element]:
    if machine.disk_bus == 'ide' and machine.machine_type == 'q35':
        raise errors.Unsupported(
            'hw_disk_bus=ide: machine type q35 has no IDE bus'
        )
    disk = _e(
        'disk',
        _e('driver', name='qemu', type='qcow2', discard='unmap'),
        _e('source', file=str(files.disk)),
        _e(
            'backingStore',
            _e('format', type=files.base_format),
            # QEMU's user may read the image that others share, never own it.
            _e(
                'source',
                _e('seclabel', model='dac', relabel='no'),
                file=str(files.base),
            ),
            _e('backingStore'),
            type='file',
        ),
        _e(
            'target',
            dev=_TARGETS[machine.disk_bus] + 'a',
            bus=machine.disk_bus,
        ),
        type='file',
        device='disk',
    )
    found = [disk]
    if machine.disk_bus == 'scsi':
        found.append(_e('controller', type='scsi', model='virtio-scsi'))
    if files.config_drive is not None:
        bus = 'sata' if machine.machine_type == 'q35' else 'ide'
        found.append(
            _e(
                'disk',
                _e('driver', name='qemu', type='raw'),
                _e('source', file=str(files.config_drive)),
                # The last name of the bus: a disk may have the first.
                _e('target', dev=_TARGETS[bus] + 'd', bus=bus),
                _e('readonly'),
                type='file',
                device='cdrom',
            )
        )
    return found


def _interface(
    vif: wire.Vif, machine: wire.Machine, bridges: dict[str, str]
) -> etree._Element:
    if vif.network not in bridges:
        raise errors.NotOffered(f'network {vif.network} has no bridge here')
    # A tap with a small MTU would lower the one of the owner's bridge; the
    # guest learns its own from the config drive.
    mtu = [_e('mtu', size=str(vif.mtu))] if vif.mtu > DEFAULT_MTU else []
    return _e(
        'interface',
        _e('mac', address=vif.mac),
        _e('source', bridge=bridges[vif.network]),
        _e('target', dev=networks.tap_name(vif.port)),
        _e('model', type=machine.vif_model),
        *mtu,
        type='bridge',
    )


def _consoles(files: Files) -> list[etree._Element]:
    # virtlogd keeps the file bounded; append: a reboot keeps its history.
    return [
        _e(
            'serial',
            _e('log', file=str(files.console), append='on'),
            _e('target', port='0'),
            type='pty',
        ),
        _e('console', _e('target', type='serial', port='0'), type='pty'),
    ]


def _extras(machine: wire.Machine) -> list[etree._Element]:
    extras = [_e('memballoon', _e('stats', period='10'), model='virtio')]
    if machine.rng:
        extras.append(
            _e(
                'rng',
                _e('backend', '/dev/urandom', model='random'),
                model='virtio',
            )
        )
    return extras
