# SPDX-License-Identifier: Apache-2.0
"""Nova's side of the slices: one stock nova-compute each."""

from __future__ import annotations

from devstack.lab import machines, services
from devstack.lab.layout import CONTROL
from devstack.lab.schemas import Once, manage_openstack
from devstack.lab.services import Service
from devstack.lab.settings import Settings


def nova_compute(settings: Settings, slice_name: str) -> Service:
    """The stock nova-compute of a slice, with a folder of its own."""
    name = f'nova-compute-{slice_name}'
    configuration = settings.layout.etc(name) / 'nova.conf'
    return Service(
        name=name,
        argv=(
            settings.venv('bin/nova-compute'),
            '--config-file',
            str(configuration),
        ),
        configuration=(configuration, *settings.layout.source()),
        ready_line='Starting compute node',
    )


def bring_up(settings: Settings, slice_name: str) -> None:
    """Have the slice's nova-compute up."""
    control = machines.get(settings.layout, CONTROL)
    services.ensure(
        settings.layout, control, nova_compute(settings, slice_name)
    )


def map_hosts(settings: Settings) -> None:
    """Tell nova's API which cell the slices are in."""
    once = Once(settings.layout, 'hosts')
    if once.done:
        return
    control = machines.get(settings.layout, CONTROL)
    manage_openstack(
        settings,
        control,
        'nova-manage',
        f'--config-file={settings.layout.etc("nova")}/nova.conf',
        'cell_v2',
        'discover_hosts',
        '--by-service',
    )
    once.set()
