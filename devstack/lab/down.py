# SPDX-License-Identifier: Apache-2.0
"""``make cloud-down``: take everything away, however much there is."""

from __future__ import annotations

import functools
import shutil

from devstack.lab import machines, network, packages
from devstack.lab.layout import Layout
from devstack.lab.plan import Plan


def down(plan: Plan, layout: Layout) -> None:
    """Cut every machine's power, then remove cables and files.

    Packages, virtual environments and caches stay; an installation that
    was killed is brought to its end, so that nothing of it is enabled.
    """
    on = list(machines.all_machines())
    last = [
        plan.add(
            f'{machine.name} off',
            functools.partial(_off, layout, machine.name),
        )
        for machine in on
        if machine.lab == layout.lab
    ]
    if all(machine.lab == layout.lab for machine in on):
        last = [plan.add('cable of this host', network.disconnect_host, *last)]
    plan.add('files', lambda: _remove(layout), *last)
    if packages.cut_short(layout):
        plan.add(
            'end of a killed installation',
            lambda: packages.install(layout, set()),
        )


def _off(layout: Layout, name: str) -> None:
    machines.power_off(layout, name)


def _remove(layout: Layout) -> None:
    if layout.lab.exists():
        shutil.rmtree(layout.lab)
