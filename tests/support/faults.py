# SPDX-License-Identifier: Apache-2.0
"""What befalls a PC, each for the time of a context."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import signal
from collections.abc import Callable, Iterator

from devstack.lab import pcs as lab_pcs
from devstack.lab import services
from devstack.lab.machines import Machine
from tests.support import pcs
from tests.support.lab import Lab

LIBVIRT = lab_pcs.LIBVIRTD.name
QEMU = '/usr/bin/qemu-system-x86_64'
MEMINFO = '/proc/meminfo'
LEFT_KB = 65536
"""What a PC without memory still has."""


@contextlib.contextmanager
def covered(lab: Lab, pc: Machine, path: str, *mount: str) -> Iterator[None]:
    """A PC that sees something else in the place of a path."""
    lab.inside(pc, 'mount', *mount, path)
    try:
        yield
    finally:
        lab.inside(pc, 'umount', '--lazy', path)


@contextlib.contextmanager
def full_disk(lab: Lab, pc: Machine) -> Iterator[None]:
    """No room for one more instance."""
    how = ('-t', 'tmpfs', '-o', 'size=64k,mode=711', 'full')
    with covered(lab, pc, pcs.INSTANCES, *how):
        yield


@contextlib.contextmanager
def read_only_disk(lab: Lab, pc: Machine) -> Iterator[None]:
    """A disk that looks as ever, and takes no instance."""
    lab.inside(pc, 'mount', '--bind', pcs.INSTANCES, pcs.INSTANCES)
    try:
        lab.inside(pc, 'mount', '-o', 'remount,bind,ro', pcs.INSTANCES)
        yield
    finally:
        lab.inside(pc, 'umount', '--lazy', pcs.INSTANCES)


@contextlib.contextmanager
def no_memory(lab: Lab, pc: Machine) -> Iterator[None]:
    """The owner's programs have taken all of it: so its kernel says."""
    low = pc.path('/run/meminfo')
    left = f'MemAvailable: {LEFT_KB} kB'
    low.write_text(
        re.sub('MemAvailable:.*', left, pc.path(MEMINFO).read_text())
    )
    with covered(lab, pc, MEMINFO, '--bind', '/run/meminfo'):
        yield


@contextlib.contextmanager
def missing_qemu(lab: Lab, pc: Machine) -> Iterator[None]:
    """Its program cannot be run; guests that have begun run on."""
    with covered(lab, pc, QEMU, '--bind', '/dev/null'):
        yield


@contextlib.contextmanager
def dead_libvirt(lab: Lab, pc: Machine) -> Iterator[None]:
    """Killed, and only started again at the end, as its unit would."""
    services.send(pc, LIBVIRT, signal.SIGKILL)
    try:
        yield
    finally:
        services.ensure(lab.layout, pc, lab_pcs.LIBVIRTD)


@contextlib.contextmanager
def hung_libvirt(lab: Lab, pc: Machine) -> Iterator[None]:
    """It takes connections and answers nothing."""
    with pcs.stopped((pc, LIBVIRT)):
        yield


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault that a PC must notice by itself.

    :param reason: a part of what it then says of itself
    """

    on: Callable[[Lab, Machine], contextlib.AbstractContextManager[None]]
    reason: str


NOTICED = (
    {
        'full disk': Fault(full_disk, 'no disk is left'),
        'hung libvirt': Fault(hung_libvirt, 'libvirt'),
    },
    {
        'no memory': Fault(no_memory, 'no memory is left'),
        'dead libvirt': Fault(dead_libvirt, 'libvirt'),
    },
    {'missing QEMU': Fault(missing_qemu, 'QEMU')},
)
"""By name; some PC can have each, and another one the next, at once."""
