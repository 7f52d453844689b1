# SPDX-License-Identifier: Apache-2.0
"""The lab with two gateways that share the slices by etcd.

There is no way back to one: the PCs have seen the terms of etcd.  So who
asks for it is the last to use the lab.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib

from devstack.lab import (
    compute,
    machines,
    network,
    overlay,
    passwords,
    services,
)
from devstack.lab import settings as ports
from devstack.lab.ini import Ini, render
from devstack.lab.layout import (
    CONTROL_ADDRESS,
    GATEWAY,
    GATEWAY_ADDRESS,
    SLICES,
    SWITCH,
)
from devstack.lab.machines import Machine
from devstack.lab.passwords import write_private
from devstack.lab.services import Service
from devstack.lab.settings import Settings
from tests.support.lab import ROOT, Lab
from tests.support.waiting import until

ETCD_PORT = 2379
RELAY_PORT = 5673
START_TIMEOUT_S = 180.0
ENDPOINT = f'http://{CONTROL_ADDRESS}:{ETCD_PORT}'
TERMS = {'etcd_endpoints': ENDPOINT, 'etcd_prefix': '/lab'}


@dataclasses.dataclass(frozen=True)
class Pair:
    """Both gateways."""

    lab: Lab
    settings: Settings

    @property
    def second(self) -> Machine:
        """That which has nothing else on it."""
        return machines.get(self.lab.layout, GATEWAY)

    def holds(self, machine: Machine) -> set[str]:
        """The slices that a gateway's daemon commands."""
        rows = overlay.ask(machine, '/v1/slices')['slices']
        return {row['name'] for row in rows if row['term'] is not None}

    def serves(self, machine: Machine, slice_name: str) -> bool:
        """Whether it commands the slice, and its nova-compute is up."""
        up = compute.serves(self.lab.layout, machine, slice_name)
        return up and slice_name in self.holds(machine)

    def slice_of(self, machine: Machine) -> str:
        """The one slice that it serves, as soon as each has one."""

        def shared() -> bool:
            found = [
                [name for name in SLICES if self.serves(one, name)]
                for one in (self.lab.control, self.second)
            ]
            return [len(names) for names in found] == [1, 1]

        until(shared, START_TIMEOUT_S)
        (name,) = (s for s in SLICES if self.serves(machine, s))
        return name


def bring_up(lab: Lab) -> Pair:
    """Have etcd, and a second gateway; each serves one slice at the end."""
    settings = Settings(lab.layout, passwords.load(lab.layout.passwords))
    for service in (_etcd(settings), _relay(settings)):
        services.ensure(lab.layout, lab.control, service)
    _share(settings, lab.control, CONTROL_ADDRESS)
    _join(settings)
    second = machines.get(lab.layout, GATEWAY)
    _share(settings, second, GATEWAY_ADDRESS)
    pair = Pair(lab, settings)
    pair.slice_of(second)
    return pair


def _etcd(settings: Settings) -> Service:
    data = pathlib.Path(settings.data('etcd'))
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Service(
        name='etcd',
        argv=(
            'etcd',
            '--data-dir', str(data),
            '--listen-client-urls', ENDPOINT,
            '--advertise-client-urls', ENDPOINT,
            '--log-level', 'warn',
        ),
        port=ETCD_PORT,
    )  # fmt: skip


def _relay(settings: Settings) -> Service:
    return Service(
        name='relay',
        argv=(
            settings.venv('bin/python'), '-m', 'tests.support.relay',
            CONTROL_ADDRESS, str(RELAY_PORT), str(ports.RABBIT_PORT),
        ),
        env={'PYTHONPATH': str(ROOT)},
        port=RELAY_PORT,
    )  # fmt: skip


def _join(settings: Settings) -> None:
    """Have the second gateway on, and enrolled in the overlay."""
    layout = settings.layout
    machine = machines.power_on(layout, GATEWAY)
    switch = machines.get(layout, SWITCH)
    network.plug_in(switch, GATEWAY, machine.init, network.NIC)
    where = f'{GATEWAY_ADDRESS}/{network.PREFIX}'
    network.ip(
        machine,
        [
            'link set lo up',
            f'addr replace {where} dev {network.NIC}',
            f'link set {network.NIC} up',
        ],
    )
    overlay.manage(
        layout, machine, 'gateway', 'enrol',
        '--ca-dir', str(layout.control / 'ca'),
        '--state-dir', overlay.STATE, '--name', GATEWAY,
        '--advertise', GATEWAY_ADDRESS,
    )  # fmt: skip
    queue = settings.transport_at(CONTROL_ADDRESS, RELAY_PORT)
    told: dict[str, dict[str, object]] = {
        name: dict(section)
        for name, section in settings.nova_compute().items()
    }
    told['DEFAULT']['transport_url'] = queue
    write_private(layout.compute_conf(GATEWAY), render(told))  # type: ignore[arg-type]


def _share(settings: Settings, machine: Machine, address: str) -> None:
    """Have the gateway of a machine take terms by etcd."""
    layout = settings.layout
    services.stop(machine, compute.GATEWAY)
    etc = layout.disk(machine.name) / 'etc' / 'p2pcs'
    told: Ini = {
        **overlay.gateway_configuration(layout, machine.name, address),
        'terms': TERMS,
    }
    write_private(etc / 'p2pcs.conf', render(told))
    for service in (
        overlay.daemon(layout, layout.cloud_venv, etc / 'p2pcs.conf'),
        compute.gateway(settings, machine.name),
    ):
        services.ensure(layout, machine, service)
    until(functools.partial(_has_peers, machine), START_TIMEOUT_S)


def _has_peers(machine: Machine) -> bool:
    """Whether its daemon sees what the PCs offer, and has the policy."""
    rows = overlay.ask(machine, '/v1/peers')['peers']
    slices = overlay.ask(machine, '/v1/slices')['slices']
    return bool(slices) and any(row['offer']['vcpus'] for row in rows)
