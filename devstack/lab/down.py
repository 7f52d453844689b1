# SPDX-License-Identifier: Apache-2.0
"""``make cloud-down``: take everything away, however much there is."""

from __future__ import annotations

import functools
import shutil

from devstack.lab import machines, network
from devstack.lab.layout import Layout
from devstack.lab.plan import Plan


def down(plan: Plan, layout: Layout) -> None:
    """Cut every machine's power, then remove cables and files.

    Packages, virtual environments and caches stay.
    """
    off = [
        plan.add(
            f'{machine.name} off',
            functools.partial(_off, layout, machine.name),
        )
        for machine in machines.all_machines()
        if machine.lab == layout.lab
    ]
    cable = plan.add('cable of this host', network.disconnect_host, *off)
    plan.add('files', lambda: _remove(layout), cable)


def _off(layout: Layout, name: str) -> None:
    machines.power_off(layout, name)


def _remove(layout: Layout) -> None:
    if layout.lab.exists():
        shutil.rmtree(layout.lab)
