# SPDX-License-Identifier: Apache-2.0
"""What the lab must leave alone: the rest of the user's machine."""

from __future__ import annotations

import dataclasses
import os
import pathlib

from devstack.lab import machines, network, processes, units
from devstack.lab.layout import Layout
from devstack.lab.shell import run
from tests.support import lab as support

ROOT = pathlib.Path('/')


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """The ordinary namespaces of this machine, at one moment."""

    lab_is_up: bool
    sockets: frozenset[str]
    """TCP addresses that something listens at."""
    units: frozenset[str]
    mounts: frozenset[str]
    links: frozenset[str]
    namespaces: frozenset[str]
    """Named network namespaces."""


def look(layout: Layout) -> Surroundings:
    """This machine as it is now."""
    return Surroundings(
        lab_is_up=support.is_up(layout),
        sockets=listening(),
        units=frozenset(units.enabled(ROOT)),
        mounts=_mounts(),
        links=frozenset(network.interfaces(os.getpid())),
        namespaces=frozenset(run(['ip', 'netns'], timeout_s=20).split('\n')),
    )


def listening() -> frozenset[str]:
    """What listens on this machine, outside of the lab's machines."""
    table = run(['ss', '-H', '-l', '-n', '-t'], timeout_s=20)
    return frozenset(line.split()[3] for line in table.splitlines())


def _mounts() -> frozenset[str]:
    lines = pathlib.Path('/proc/self/mounts').read_text().splitlines()
    return frozenset(line.split()[1] for line in lines)


def lab_processes(layout: Layout) -> list[processes.Process]:
    """Everything that runs in a machine of the lab, or started one."""
    inside = [
        process
        for machine in machines.all_machines()
        if machine.lab == layout.lab
        for process in processes.members(machine.init)
    ]
    named = [
        process
        for process in processes.processes()
        if str(layout.lab) in process.argv
    ]
    return [*inside, *named]
