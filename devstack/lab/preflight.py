# SPDX-License-Identifier: Apache-2.0
"""Say at once why the lab cannot work on this machine, and what helps."""

from __future__ import annotations

import ipaddress
import os
import pathlib
import platform
import shutil

from devstack.lab import machines, venvs
from devstack.lab.errors import LabError
from devstack.lab.layout import DEFAULT_PCS, HOST_CABLE, LAN, SWITCH, Layout
from devstack.lab.shell import CLEAN_ENVIRONMENT, PATH, run

DISK_GB = 5.0
PREPARED_DISK_GB = 2.0
WIDEST_ROUTE = 8
"""Bits of a network's prefix from which on its route is somebody's aim."""
ROUTE_TYPES = (
    'anycast', 'blackhole', 'broadcast', 'local', 'multicast',
    'prohibit', 'throw', 'unicast', 'unreachable',
)  # fmt: skip
MEMORY_GB = 5.2
MEMORY_PER_PC_GB = 0.2
TRIAL_TIMEOUT_S = 20.0
#: What every machine of the lab needs of the kernel, tried in namespaces
#: that are gone a moment later. A fresh system may not have ip(8) yet.
TRIAL = """\
set -e
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
command -v ip >/dev/null || exit 0
ip link add bridge type bridge
ip link add one type veth peer name other
ip tuntap add dev tap mode tap
"""


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
    listing: str,
) -> list[tuple[str, ipaddress.IPv4Network]]:
    """Interface and network of each route that ``ip route`` lists."""
    routes = []
    for line in listing.splitlines():
        words = line.split()
        if 'dev' not in words:
            continue
        where = words[1] if words[0] in ROUTE_TYPES else words[0]
        network = '0.0.0.0/0' if where == 'default' else where
        interface = words[words.index('dev') + 1]
        routes.append((interface, ipaddress.IPv4Network(network)))
    return routes


def route_problem(listing: str) -> str | None:
    """Who else uses the lab's addresses; None if nobody does.

    A route to half of the world, as of some VPNs, gives way to the lab's.
    """
    for interface, network in parse_routes(listing):
        if (
            network.prefixlen >= WIDEST_ROUTE
            and interface != HOST_CABLE
            and network.overlaps(LAN)
        ):
            return (
                f'{network} is routed to {interface}, and the lab uses '
                f'{LAN}: take that route away (ip route del {network})'
            )
    return None


def memory_problem(meminfo: str, pcs: int) -> str | None:
    """Why the memory will not do; None if it will.

    :param meminfo: the text of ``/proc/meminfo``
    :param pcs: how many PCs are wanted, each with a small server
    """
    lines = (line.split() for line in meminfo.splitlines())
    values = {row[0]: int(row[1]) for row in lines if len(row) > 1}
    available = values.get('MemAvailable:', 0) / 1024**2
    needed = MEMORY_GB + MEMORY_PER_PC_GB * pcs
    if available >= needed:
        return None
    return (
        f'{available:.1f} GB of memory are free: a lab of {pcs} PCs needs '
        f'{needed:.1f} GB'
    )


def disk_problem(folder: str, free: int, needed_gb: float) -> str | None:
    """Why the room for files will not do; None if it will.

    :param free: bytes
    """
    if free / 1e9 >= needed_gb:
        return None
    return (
        f'{free / 1e9:.1f} GB are free in {folder}: '
        f'the lab needs {needed_gb:.0f} GB'
    )


def check(layout: Layout, pcs: int = DEFAULT_PCS) -> None:
    """Look at everything that can be looked at within a second.

    :param pcs: how many PCs are wanted
    :raises LabError: all that is wrong; nothing was touched
    """
    on = any(layout.lab == item.lab for item in machines.all_machines())
    problems = [
        distribution_problem(_read('/etc/os-release')),
        _processor_problem(),
        _root_problem(),
        None if on else memory_problem(_read('/proc/meminfo'), pcs),
        route_problem(_routes()),
        _other_lab(layout),
        _kernel_problem(),
    ]
    if not on:
        problems += _disk_problems(layout)
    found = [problem for problem in problems if problem is not None]
    if found:
        lines = '\n'.join(f'  - {problem}' for problem in found)
        raise LabError(f'The lab cannot work here:\n{lines}')


def _read(path: str) -> str:
    return pathlib.Path(path).read_text()


def _routes() -> str:
    """All routes, whatever table they are in; '' without ip(8)."""
    if shutil.which('ip', path=PATH) is None:
        return ''
    return run(
        ['ip', '-4', 'route', 'show', 'table', 'all'],
        timeout_s=TRIAL_TIMEOUT_S,
        env=CLEAN_ENVIRONMENT,
    )


def _root_problem() -> str | None:
    if os.geteuid() == 0:
        return None
    return 'you are not root: the lab makes network namespaces'


def _processor_problem() -> str | None:
    processor = platform.machine()
    if processor == 'x86_64':
        return None
    return f'this is a machine of type {processor}: the lab needs x86_64'


def _disk_problems(layout: Layout) -> list[str | None]:
    prepared = (layout.cloud_venv / venvs.STAMP).exists()
    needed_gb = PREPARED_DISK_GB if prepared else DISK_GB
    folders = {
        folder.stat().st_dev: folder
        for folder in (pathlib.Path('/'), layout.root)
    }
    return [
        disk_problem(str(folder), shutil.disk_usage(folder).free, needed_gb)
        for folder in folders.values()
    ]


def _other_lab(layout: Layout) -> str | None:
    for machine in machines.all_machines():
        if machine.name == SWITCH and machine.lab != layout.lab:
            return (
                f'another lab is up, in {machine.lab.parent}: '
                'make cloud-down there first'
            )
    return None


def _kernel_problem() -> str | None:
    if os.geteuid() != 0:
        return None
    if not pathlib.Path('/dev/net/tun').exists():
        return 'there is no /dev/net/tun: load the kernel module tun'
    argv = [
        'unshare', '--mount', '--net', '--pid', '--ipc', '--uts', '--fork',
        '--kill-child', '--propagation', 'private', '--', 'sh', '-c', TRIAL,
    ]  # fmt: skip
    try:
        run(argv, timeout_s=TRIAL_TIMEOUT_S, env=CLEAN_ENVIRONMENT)
    except LabError as error:
        said = str(error).splitlines()[-1].strip()
        return (
            'network namespaces, bridges and mounts cannot be made (is this '
            f'a container without privileges?): {said}'
        )
    return None
