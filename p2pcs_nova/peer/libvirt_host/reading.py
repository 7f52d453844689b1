# SPDX-License-Identifier: Apache-2.0
"""What libvirt says of the machine and of our domains.

Every function blocks.
"""

from __future__ import annotations

import os
import pathlib
import time
from typing import Any, NamedTuple

import libvirt
from lxml import etree

from p2pcs_nova import wire
from p2pcs_nova.peer import domain as domain_xml
from p2pcs_nova.peer.hypervisor import Copying, Domain, Host, Power

_ABSENT = (
    libvirt.VIR_ERR_NO_DOMAIN,
    libvirt.VIR_ERR_NO_DOMAIN_METADATA,
)


class Lasting(NamedTuple):
    """What libvirt says of the machine, and does not change."""

    cpu_model: str
    group: int


_NOBODY_ELSE = '+0:+0'


def read_lasting(connection: libvirt.virConnect) -> Lasting:
    """The processor's model, and the group that QEMU runs as.

    The group is in the label that libvirt gives to what has no other.
    """
    said = etree.fromstring(connection.getCapabilities().encode())
    label = said.findtext(
        "host/secmodel[model='dac']/baselabel", default=_NOBODY_ELSE
    )
    return Lasting(
        str(said.findtext('host/cpu/model', default='')),
        int(label.rpartition(':')[2]),
    )


def read_host(connection: libvirt.virConnect, cpu_model: str) -> Host:
    """What the machine has."""
    arch, memory_mb, cpus, *_ = connection.getInfo()
    return Host(
        cpus=cpus,
        memory_mb=memory_mb,
        arch=arch,
        cpu_model=cpu_model,
        version=connection.getVersion(),
        guests_mb=sum(
            _resident_bytes(dom)
            for dom in connection.listAllDomains(
                libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
            )
            if _mark(dom) is not None
        )
        >> 20,
    )


RUN_FOLDER = pathlib.Path('/run/libvirt/qemu')
"""Where libvirt keeps the process id of each domain."""
PROC = pathlib.Path('/proc')


def _process(dom: libvirt.virDomain) -> pathlib.Path:
    """What the kernel says of its process.

    :raises OSError, ValueError: that cannot be told
    """
    return PROC / str(int((RUN_FOLDER / f'{dom.name()}.pid').read_text()))


def _resident_bytes(dom: libvirt.virDomain) -> int:
    """Memory that its process has in use; 0 if that cannot be told.

    The second field of a process's statm, in pages (proc(5)): QEMU is not
    asked, for it may hang.
    """
    try:
        statm = (_process(dom) / 'statm').read_text()
    except (OSError, ValueError):
        return 0
    return int(statm.split()[1]) * os.sysconf('SC_PAGE_SIZE')


def _mark(dom: libvirt.virDomain) -> domain_xml.Mark | None:
    """Our mark on a domain; None if it has none, or is gone."""
    try:
        return domain_xml.parse_mark(
            dom.metadata(
                libvirt.VIR_DOMAIN_METADATA_ELEMENT, domain_xml.NAMESPACE
            )
        )
    except libvirt.libvirtError as error:
        if error.get_error_code() in _ABSENT:
            return None
        raise
    except ValueError:
        return None


def find(
    connection: libvirt.virConnect, instance: str
) -> libvirt.virDomain | None:
    """The domain of this instance, if there is one with our mark."""
    try:
        dom = connection.lookupByUUIDString(instance)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    return None if _mark(dom) is None else dom


def _describe(dom: libvirt.virDomain) -> Domain | None:
    mark = _mark(dom)
    if mark is None:
        return None
    try:
        power, detail = _power(*dom.state())
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    return Domain(mark, power, detail)


def read_domain(
    connection: libvirt.virConnect, instance: str
) -> Domain | None:
    """One of ours."""
    dom = find(connection, instance)
    return None if dom is None else _describe(dom)


def read_domains(connection: libvirt.virConnect) -> tuple[Domain, ...]:
    """All of ours."""
    found = [_describe(dom) for dom in connection.listAllDomains()]
    return tuple(dom for dom in found if dom is not None)


_PAUSED_WHY = {
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: 'paused: its disk could not be '
    'written, perhaps the disk of this PC is full',
    libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: 'paused by its watchdog',
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: 'paused: the guest crashed',
}
_OFF_CRASHED = {
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: 'QEMU or the guest crashed',
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: 'QEMU could not be started',
}


def _power(state: int, why: int) -> tuple[Power, str]:
    if state in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED):
        return Power.RUNNING, ''
    if state in (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED):
        return Power.PAUSED, _PAUSED_WHY.get(why, '')
    if state == libvirt.VIR_DOMAIN_SHUTDOWN:
        # Shutting down: the process is still there.
        return Power.RUNNING, ''
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return Power.CRASHED, 'the guest crashed'
    if why in _OFF_CRASHED:
        return Power.CRASHED, _OFF_CRASHED[why]
    if why == libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN:
        # libvirt forgets how a domain stopped when the machine stops.
        return Power.COLD, ''
    return Power.OFF, ''


# -- what is saved and copied ------------------------------------------------


def read_saved(connection: libvirt.virConnect, memory: pathlib.Path) -> bool:
    """Whether a file holds a whole memory: libvirt marks others."""
    try:
        connection.saveImageGetXMLDesc(str(memory))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_FAILED:
            return False
        raise
    return True


def read_copying(
    connection: libvirt.virConnect, instance: str, disk: pathlib.Path
) -> Copying:
    """How far the copy of a disk is."""
    dom = find(connection, instance)
    if dom is None:
        return Copying.NONE
    for element in etree.fromstring(dom.XMLDesc()).iterfind('devices/disk'):
        source, mirror = element.find('source'), element.find('mirror')
        if source is None or source.get('file') != str(disk):
            continue
        if mirror is not None:
            whole = mirror.get('ready') == 'yes'
            return Copying.WHOLE if whole else Copying.RUNNING
    return Copying.NONE


# -- diagnostics -------------------------------------------------------------

_STATES = {
    Power.RUNNING: wire.InstanceState.RUNNING,
    Power.PAUSED: wire.InstanceState.PAUSED,
    Power.OFF: wire.InstanceState.STOPPED,
    Power.COLD: wire.InstanceState.STOPPED,
    Power.CRASHED: wire.InstanceState.CRASHED,
}


def read_diagnostics(
    connection: libvirt.virConnect, instance: str
) -> wire.Diagnostics | None:
    """Counters of a domain; None if there is no such domain."""
    dom = find(connection, instance)
    if dom is None:
        return None
    power, _ = _power(*dom.state())
    [(_, stats)] = connection.domainListGetStats(
        [dom],
        libvirt.VIR_DOMAIN_STATS_VCPU
        | libvirt.VIR_DOMAIN_STATS_BALLOON
        | libvirt.VIR_DOMAIN_STATS_INTERFACE
        | libvirt.VIR_DOMAIN_STATS_BLOCK,
    )
    macs = _macs(dom)
    current = int(stats.get('balloon.current', 0))
    unused = int(stats.get('balloon.unused', 0))
    return wire.Diagnostics(
        state=_STATES[power],
        uptime_s=_uptime(dom) if dom.isActive() else 0,
        cpu_time_ns=tuple(
            int(stats.get(f'vcpu.{i}.time', 0))
            for i in range(int(stats.get('vcpu.current', 0)))
        ),
        memory_mb=dom.maxMemory() // 1024,
        memory_used_mb=max(current - unused, 0) // 1024,
        nics=tuple(
            _nic(stats, i, macs.get(str(stats.get(f'net.{i}.name')), ''))
            for i in range(int(stats.get('net.count', 0)))
        ),
        disks=tuple(
            _disk(stats, i) for i in range(int(stats.get('block.count', 0)))
        ),
    )


def _macs(dom: libvirt.virDomain) -> dict[str, str]:
    """MAC address by tap."""
    root = etree.fromstring(dom.XMLDesc().encode())
    found = {}
    for interface in root.iterfind('devices/interface'):
        target, mac = interface.find('target'), interface.find('mac')
        if target is not None and mac is not None:
            found[target.get('dev', '')] = mac.get('address', '')
    return found


def _uptime(dom: libvirt.virDomain) -> int:
    """Seconds since its process started; 0 if that cannot be told.

    Field 22 of a process's stat is its start in ticks since the machine's
    boot (proc(5)); the command's name before it may contain anything.
    """
    try:
        stat = (_process(dom) / 'stat').read_text()
    except (OSError, ValueError):
        return 0
    ticks = int(stat.rpartition(')')[2].split()[19])
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return max(int(now - ticks / os.sysconf('SC_CLK_TCK')), 0)


def _nic(stats: dict[str, Any], i: int, mac: str) -> wire.NicDiagnostics:
    def count(name: str) -> int:
        return int(stats.get(f'net.{i}.{name}', 0))

    return wire.NicDiagnostics(
        mac=mac,
        rx_octets=count('rx.bytes'),
        rx_errors=count('rx.errs'),
        rx_drop=count('rx.drop'),
        rx_packets=count('rx.pkts'),
        tx_octets=count('tx.bytes'),
        tx_errors=count('tx.errs'),
        tx_drop=count('tx.drop'),
        tx_packets=count('tx.pkts'),
    )


def _disk(stats: dict[str, Any], i: int) -> wire.DiskDiagnostics:
    def count(name: str) -> int:
        return int(stats.get(f'block.{i}.{name}', 0))

    return wire.DiskDiagnostics(
        read_bytes=count('rd.bytes'),
        read_requests=count('rd.reqs'),
        write_bytes=count('wr.bytes'),
        write_requests=count('wr.reqs'),
        errors_count=count('errors'),
    )
