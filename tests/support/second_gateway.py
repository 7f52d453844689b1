# SPDX-License-Identifier: Apache-2.0
"""The lab with two gateways that share the slices by etcd.

The second one's nova-computes ask their daemon through a gate that can hold
what they ask.  Nobody brings the lab back to one gateway.  So who asks for it
is the last to use the lab.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import shutil
import time
from collections.abc import Iterator

from devstack.lab import (
    compute,
    machines,
    network,
    overlay,
    passwords,
    services,
)
from devstack.lab import settings as ports
from devstack.lab.ini import Ini, Section, render
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
from tests.conftest import Figure
from tests.support.lab import ROOT, Lab
from tests.support.waiting import until

ETCD, ETCD_PORT = 'etcd', 2379
RELAY_PORT = 5673
GATE, TOLLS = '/run/toll-gate.sock', '/run/tolls'
GATE_CONFIG = '/etc/p2pcs/gate.conf'
START_TIMEOUT_S = 180.0
SERVED_S = 180.0
"""Generous: the figures say how long it takes."""
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

    def wait_until_served(
        self, slice_name: str, what: str, figure: Figure
    ) -> None:
        """Until the first gateway serves the slice of the second."""
        begin = time.monotonic()
        control = self.lab.control
        until(lambda: slice_name in self.holds(control), SERVED_S)
        figure(f'fail-over, {what}: next term', time.monotonic() - begin)
        until(lambda: self.serves(control, slice_name), SERVED_S)
        figure(f'fail-over, {what}: served', time.monotonic() - begin)

    def back_up_etcd(self, copy: pathlib.Path) -> None:
        """What it has now; it rests for a moment."""
        services.stop(self.lab.control, ETCD)
        shutil.copytree(_data(self.settings), copy)
        services.ensure(
            self.lab.layout, self.lab.control, _etcd(self.settings)
        )

    def restore_etcd(self, copy: pathlib.Path) -> None:
        """Have what it had then."""
        services.stop(self.lab.control, ETCD)
        shutil.rmtree(_data(self.settings))
        shutil.copytree(copy, _data(self.settings))
        services.ensure(
            self.lab.layout, self.lab.control, _etcd(self.settings)
        )

    def raise_era(self, *more: str) -> None:
        """The administrator has terms come from where control's do now."""
        overlay.manage(
            self.lab.layout, self.lab.control, 'era', 'raise', *more,
            '--ca-dir', str(self.lab.layout.control / 'ca'),
        )  # fmt: skip

    def go_back_to_one(self) -> None:
        """Have terms come from the first gateway's counter again."""
        services.stop(self.second, compute.GATEWAY)
        _take_terms(
            self.settings, self.lab.control, CONTROL_ADDRESS,
            {**TERMS, 'alone': True},
        )  # fmt: skip
        self.raise_era()
        self.start_first()

    def do_without_etcd(self) -> None:
        """Once there is one gateway again: it is gone, and its options."""
        services.stop(self.lab.control, ETCD)
        shutil.rmtree(_data(self.settings))
        _take_terms(self.settings, self.lab.control, CONTROL_ADDRESS, {})
        self.start_first()

    def start_first(self) -> None:
        """Have the first gateway's program up."""
        services.ensure(
            self.lab.layout, self.lab.control, compute.gateway(self.settings)
        )

    def start_second(self) -> None:
        """Have the second gateway's program up."""
        services.ensure(
            self.lab.layout, self.second, _behind_gate(self.settings)
        )

    @contextlib.contextmanager
    def tolls(self, **wanted: str) -> Iterator[None]:
        """Hold requests of the second gateway's nova-computes meanwhile.

        :param wanted: see :mod:`tests.support.toll_gate`, by any names
        """
        folder = self.second.path(TOLLS)
        for name, toll in wanted.items():
            (folder / f'{name}.answer').unlink(missing_ok=True)
            (folder / name).write_text(toll)
        try:
            yield
        finally:
            for name in wanted:
                (folder / name).unlink()
            until(lambda: not any(map(self._is_held, wanted)))

    def wait_until_held(self, *names: str) -> None:
        """Until a request waits at each of these tolls."""
        until(lambda: all(map(self._is_held, names)), START_TIMEOUT_S)

    def answer(self, name: str) -> int:
        """The status of what was held before it was asked, once it is."""
        path = self.second.path(TOLLS) / f'{name}.answer'
        until(path.exists, START_TIMEOUT_S)
        return int(path.read_text())

    def _is_held(self, name: str) -> bool:
        return (self.second.path(TOLLS) / f'{name}.held').exists()


def bring_up(lab: Lab) -> Pair:
    """Have etcd, and a second gateway; each serves one slice at the end."""
    settings = Settings(lab.layout, passwords.load(lab.layout.passwords))
    for service in (_etcd(settings), _relay(settings)):
        services.ensure(lab.layout, lab.control, service)
    _take_terms(settings, lab.control, CONTROL_ADDRESS, TERMS)
    pair = Pair(lab, settings)
    pair.raise_era()
    pair.start_first()
    _join(settings)
    _take_terms(settings, pair.second, GATEWAY_ADDRESS, TERMS)
    pair.second.path(TOLLS).mkdir(exist_ok=True)
    services.ensure(lab.layout, pair.second, _gate(settings))
    pair.start_second()
    pair.slice_of(pair.second)
    return pair


def _etcd(settings: Settings) -> Service:
    data = _data(settings)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Service(
        name=ETCD,
        argv=(
            'etcd',
            '--data-dir', str(data),
            '--listen-client-urls', ENDPOINT,
            '--advertise-client-urls', ENDPOINT,
            '--log-level', 'warn',
        ),
        port=ETCD_PORT,
    )  # fmt: skip


def _data(settings: Settings) -> pathlib.Path:
    return pathlib.Path(settings.data(ETCD))


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


def _gate(settings: Settings) -> Service:
    return Service(
        name='toll-gate',
        argv=(
            settings.venv('bin/python'), '-m', 'tests.support.toll_gate',
            GATE, overlay.SOCKET, TOLLS,
        ),
        env={'PYTHONPATH': str(ROOT)},
        ready_path=GATE,
    )  # fmt: skip


def _behind_gate(settings: Settings) -> Service:
    """The second gateway's program, which asks its daemon at the gate."""
    plain = compute.gateway(settings, GATEWAY)
    return dataclasses.replace(
        plain, argv=(*plain.argv, '--config-file', GATE_CONFIG)
    )


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


def _take_terms(
    settings: Settings,
    machine: Machine,
    address: str,
    terms: Section,
) -> None:
    """Have a gateway take terms by these options; its daemon is up."""
    layout = settings.layout
    services.stop(machine, compute.GATEWAY)
    etc = layout.disk(machine.name) / 'etc' / 'p2pcs'
    told: Ini = {
        **overlay.gateway_configuration(layout, machine.name, address),
        'terms': terms,
    }
    write_private(etc / 'p2pcs.conf', render(told))
    write_private(
        etc / pathlib.Path(GATE_CONFIG).name,
        render({'DEFAULT': {'socket': GATE}}),
    )
    daemon = overlay.daemon(layout, layout.cloud_venv, etc / 'p2pcs.conf')
    services.ensure(layout, machine, daemon)
    until(functools.partial(_has_peers, machine), START_TIMEOUT_S)


def _has_peers(machine: Machine) -> bool:
    """Whether its daemon sees what the PCs offer, and has the policy."""
    rows = overlay.ask(machine, '/v1/peers')['peers']
    slices = overlay.ask(machine, '/v1/slices')['slices']
    return bool(slices) and any(row['offer']['vcpus'] for row in rows)
