# SPDX-License-Identifier: Apache-2.0
"""A PC: its owner's machine with a libvirt of its own."""

from __future__ import annotations

import pathlib

from devstack.lab import machines, network, services
from devstack.lab.errors import LabError
from devstack.lab.layout import SWITCH, Layout, pc_name
from devstack.lab.services import Service

LIBVIRT_SOCKET = '/run/libvirt/libvirt-sock'

QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "logd"
"""

LIBVIRTD_CONF = """\
unix_sock_rw_perms = "0770"
auth_unix_rw = "none"
auth_unix_ro = "none"
log_outputs = "2:stderr"
"""

VIRTLOGD = Service(
    name='virtlogd',
    argv=('virtlogd',),
    ready_path='/run/libvirt/virtlogd-sock',
)
LIBVIRTD = Service(
    name='libvirtd', argv=('libvirtd',), ready_path=LIBVIRT_SOCKET
)


def configure_libvirt(etc: pathlib.Path) -> None:
    """Settings for a libvirtd inside namespaces, without its network."""
    (etc / 'qemu.conf').write_text(QEMU_CONF)
    (etc / 'libvirtd.conf').write_text(LIBVIRTD_CONF)
    for autostart in (etc / 'qemu' / 'networks' / 'autostart').glob('*.xml'):
        autostart.unlink()


def bring_up(layout: Layout, number: int) -> None:
    """Have the PC on, on the LAN, its libvirt answering."""
    name = pc_name(number)
    switch = machines.get(layout, SWITCH)
    pc = machines.power_on(layout, name)
    network.connect_pc(switch, pc, number)
    configure_libvirt(layout.disk(name) / 'etc' / 'libvirt')
    services.ensure(layout, pc, VIRTLOGD)
    services.ensure(layout, pc, LIBVIRTD)


def known(layout: Layout, number: int) -> None:
    """Refuse a PC that this lab does not have.

    :raises LabError: it has none of this number
    """
    if number not in layout.pcs():
        have = ', '.join(map(str, layout.pcs())) or 'none'
        raise LabError(f'there is no PC {number}; there are: {have}')


def set_link(layout: Layout, number: int, *, up: bool) -> None:
    """Pull a PC's network cable, or put it back."""
    known(layout, number)
    name = pc_name(number)
    machines.get(layout, name)
    network.set_link(machines.get(layout, SWITCH), name, up=up)
