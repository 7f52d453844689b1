# SPDX-License-Identifier: Apache-2.0
"""Nova's side of the slices: the gateway program and its nova-computes."""

from __future__ import annotations

import functools
import re
import signal

from devstack.lab import machines, overlay, processes, services
from devstack.lab.layout import CONTROL, Layout
from devstack.lab.machines import Machine
from devstack.lab.services import Service
from devstack.lab.settings import Settings
from devstack.lab.waiting import wait_until

GATEWAY = 'p2pcs-gateway'
START_TIMEOUT_S = 120.0


def gateway(settings: Settings, machine: str = CONTROL) -> Service:
    """The program that keeps a nova-compute for each slice."""
    layout = settings.layout
    own = layout.disk(machine) / 'etc' / 'p2pcs' / 'p2pcs.conf'
    return Service(
        name=GATEWAY,
        argv=(
            settings.venv(f'bin/{GATEWAY}'),
            '--config-file',
            overlay.CONFIG,
        ),
        configuration=(own, layout.compute_conf(machine), *layout.source()),
    )


def bring_up(settings: Settings) -> None:
    """Have the gateway program up, and each of its nova-computes awake."""
    control = machines.get(settings.layout, CONTROL)
    services.ensure(settings.layout, control, gateway(settings))


def wait_for(settings: Settings, slice_name: str) -> None:
    """Have the slice's nova-compute awake, and wait until it serves.

    :raises LabError: it does not in time
    """
    control = machines.get(settings.layout, CONTROL)
    name = services.kept_name(slice_name)
    services.send(control, name, signal.SIGCONT)
    wait_until(
        functools.partial(serves, settings.layout, control, slice_name),
        f'{name} serves',
        START_TIMEOUT_S,
    )


def wait_for_all(settings: Settings) -> None:
    """The same for all slices of the policy that is in force.

    :raises LabError: one does not in time
    """
    for slice_name in overlay.slices(settings.layout):
        wait_for(settings, slice_name)


def serves(layout: Layout, machine: Machine, slice_name: str) -> bool:
    """Whether the nova-compute that runs there now has said so."""
    name = services.kept_name(slice_name)
    running = services.find(machine, name)
    log = layout.log(machine.name, name)
    if running is None or not log.exists():
        return False
    inside = processes.inner_pid(running.outer)
    said = rf'^\S+ \S+ {inside} INFO nova\.service .*Starting compute node'
    text = log.read_text(errors='replace')
    return re.search(said, text, re.MULTILINE) is not None
