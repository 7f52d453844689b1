# SPDX-License-Identifier: Apache-2.0
"""Write the configuration of the control plane's services."""

from __future__ import annotations

import pathlib

from devstack.lab import control, openrc
from devstack.lab.ini import Ini, render
from devstack.lab.passwords import write_private
from devstack.lab.settings import NOVA_POLICY, Settings


def write_all(settings: Settings) -> None:
    """Write every file; those that are right already stay untouched."""
    layout = settings.layout
    files: dict[pathlib.Path, Ini] = {
        layout.etc('keystone') / 'keystone.conf': settings.keystone(),
        layout.etc('glance') / 'glance-api.conf': settings.glance(),
        layout.etc('placement') / 'placement.conf': settings.placement(),
        layout.etc('neutron') / 'neutron.conf': settings.neutron(),
        layout.etc('nova') / 'nova.conf': settings.nova(),
        layout.compute_conf(): settings.nova_compute(),
    }
    for path, ini in files.items():
        write_private(path, render(ini))
    # nova's API looks for this one beside its nova.conf
    paste = layout.cloud_venv / 'etc' / 'nova' / 'api-paste.ini'
    write_private(layout.etc('nova') / paste.name, paste.read_text())
    rules = layout.root / 'etc' / 'p2pcs' / NOVA_POLICY
    write_private(layout.etc('nova') / NOVA_POLICY, rules.read_text())
    rabbit = control.rabbit_configuration(settings.passwords['rabbit'])
    write_private(layout.etc('rabbit') / 'rabbitmq.conf', rabbit)
    write_private(layout.etc('rabbit') / 'plugins', '[].\n')
    for folder in ('nova', 'neutron', 'locks', 'glance', 'rabbit'):
        path = pathlib.Path(settings.data(folder))
        path.mkdir(parents=True, exist_ok=True)
    openrc.write(settings)
