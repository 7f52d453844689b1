# SPDX-License-Identifier: Apache-2.0
"""Say at once why the lab cannot work on this machine, and what helps."""

from __future__ import annotations

import ipaddress
import os
import pathlib
import shutil
import socket
import struct

from devstack.lab import machines
from devstack.lab.errors import LabError
from devstack.lab.layout import HOST_CABLE, LAN, SWITCH, Layout

DISK_GB = 5.0
MEMORY_GB = 6.0
NEEDED = ('net', 'mnt', 'pid', 'ipc', 'uts')


def distribution_problem(os_release: str) -> str | None:
    """Why this distribution will not do; None if it will.

    :param os_release: the text of ``/etc/os-release``
    """
    pairs = (line.partition('=') for line in os_release.splitlines())
    values = {name: value.strip('"') for name, _, value in pairs}
    if values.get('ID') == 'debian' and values.get('VERSION_ID') == '12':
        return None
    name = values.get('PRETTY_NAME', 'an unknown distribution')
    return f'this is {name}: the lab needs Debian 12 (a fresh VM will do)'


def parse_routes(
    table: str,
) -> list[tuple[str, ipaddress.IPv4Network]]:
    """Interface and network of each route in ``/proc/net/route``."""
    routes = []
    for line in table.splitlines()[1:]:
        row = line.split()
        if len(row) < 8:
            continue
        number, mask = (
            socket.inet_ntoa(struct.pack('<L', int(row[column], 16)))
            for column in (1, 7)
        )
        routes.append((row[0], ipaddress.IPv4Network(f'{number}/{mask}')))
    return routes


def route_problem(table: str) -> str | None:
    """Who else uses the lab's addresses; None if nobody does."""
    for interface, network in parse_routes(table):
        if (
            network.prefixlen
            and interface != HOST_CABLE
            and network.overlaps(LAN)
        ):
            return (
                f'{network} is routed to {interface}, and the lab uses '
                f'{LAN}: take that route away (ip route del {network})'
            )
    return None


def memory_problem(meminfo: str) -> str | None:
    """Why the memory will not do; None if it will.

    :param meminfo: the text of ``/proc/meminfo``
    """
    lines = (line.split() for line in meminfo.splitlines())
    values = {row[0]: int(row[1]) for row in lines if len(row) > 1}
    available = values.get('MemAvailable:', 0) / 1024**2
    if available >= MEMORY_GB:
        return None
    return (
        f'{available:.1f} GB of memory are free: the lab needs '
        f'{MEMORY_GB:.0f} GB'
    )


def check(layout: Layout) -> None:
    """Look at everything that can be looked at within a second.

    :raises LabError: all that is wrong; nothing was touched
    """
    on = any(layout.lab == item.lab for item in machines.all_machines())
    problems = [
        distribution_problem(pathlib.Path('/etc/os-release').read_text()),
        _root_problem(),
        _disk_problem(layout.root),
        None if on else memory_problem(_read('/proc/meminfo')),
        route_problem(_read('/proc/net/route')),
        _other_lab(layout),
        _kernel_problem(),
    ]
    found = [problem for problem in problems if problem is not None]
    if found:
        lines = '\n'.join(f'  - {problem}' for problem in found)
        raise LabError(f'The lab cannot work here:\n{lines}')


def _read(path: str) -> str:
    return pathlib.Path(path).read_text()


def _root_problem() -> str | None:
    if os.geteuid() == 0:
        return None
    return 'you are not root: the lab makes network namespaces'


def _disk_problem(root: pathlib.Path) -> str | None:
    free = shutil.disk_usage(root).free / 1e9
    if free >= DISK_GB:
        return None
    return f'{free:.1f} GB are free at {root}: the lab needs {DISK_GB:.0f} GB'


def _other_lab(layout: Layout) -> str | None:
    for machine in machines.all_machines():
        if machine.name == SWITCH and machine.lab != layout.lab:
            return (
                f'another lab is up, in {machine.lab.parent}: '
                'make cloud-down there first'
            )
    return None


def _kernel_problem() -> str | None:
    missing = [
        name
        for name in NEEDED
        if not pathlib.Path(f'/proc/self/ns/{name}').exists()
    ]
    if missing:
        return f'the kernel has no {", ".join(missing)} namespaces'
    if not pathlib.Path('/dev/net/tun').exists():
        return 'there is no /dev/net/tun: load the kernel module tun'
    return None
