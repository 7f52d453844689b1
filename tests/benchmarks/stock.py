# SPDX-License-Identifier: Apache-2.0
"""A compute host with Nova's own libvirt driver, to compare with.

It lives on the control plane's host while it is needed: a libvirtd, a
bridge on the office LAN, a nova-compute.  Our mechanism driver binds its
ports as any other's; :class:`Agent` does what a host's network agent
does: it puts a tap that appears on the bridge and says so.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

from devstack.lab import (
    machines,
    network,
    packages,
    passwords,
    pcs,
    services,
)
from devstack.lab.ini import Ini, render
from devstack.lab.inside.cloud import connect
from devstack.lab.layout import CONTROL, SWITCH
from devstack.lab.lock import exclusive
from devstack.lab.machines import Machine
from devstack.lab.passwords import write_private
from devstack.lab.schemas import manage_openstack
from devstack.lab.services import Service
from devstack.lab.settings import Settings
from tests.support.lab import Lab
from tests.support.waiting import until

HOST = 'stock'
NIC = 'stock0'
TAP = 'tap'
SEEN_TIMEOUT_S = 120.0
NAME = f'nova-compute-{HOST}'


class Agent(threading.Thread):
    """Puts taps on the bridge as they appear, and tells Neutron.

    :param neutron: the API as a service
    """

    def __init__(self, host: Machine, neutron: Any) -> None:
        super().__init__(name='agent of the stock host', daemon=True)
        self._host = host
        self._neutron = neutron
        self._monitor = subprocess.Popen(
            host.enter('ip', '-o', 'monitor', 'link', only_network=True),
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self) -> None:
        """Follow the kernel's news until :meth:`stop`."""
        plugged: set[str] = set()
        assert self._monitor.stdout is not None
        for line in self._monitor.stdout:
            words = line.split()
            if words[0] == 'Deleted':
                plugged.discard(words[2].rstrip(':'))
                continue
            tap = words[1].rstrip(':')
            if tap.startswith(TAP) and tap not in plugged:
                plugged.add(tap)
                self._plug(tap)

    def stop(self) -> None:
        """End the thread."""
        self._monitor.terminate()
        self._monitor.wait()
        self.join()

    def _plug(self, tap: str) -> None:
        network.ip(
            self._host, [f'link set {tap} master {network.PC_BRIDGE} up']
        )
        for port in self._neutron.ports(binding_host_id=HOST):
            if port.id.startswith(tap.removeprefix(TAP)):
                self._neutron.put(
                    f'/p2pcs-ports/{port.id}',
                    json={'p2pcs_port': {'host': HOST, 'plugged': True}},
                ).raise_for_status()


def configuration(settings: Settings) -> Ini:
    """nova.conf: as a slice's, but for the driver."""
    common, state = settings.nova_compute(), settings.data(NAME)
    return {
        **common,
        'DEFAULT': {
            **common['DEFAULT'],
            'host': HOST,
            'state_path': state,
            'periodic_fuzzy_delay': 0,
            'compute_driver': 'libvirt.LibvirtDriver',
        },
        'libvirt': {'virt_type': 'qemu', 'cpu_mode': 'none'},
        'oslo_concurrency': {'lock_path': f'{state}/locks'},
    }


def service_of(settings: Settings, nova_conf: pathlib.Path) -> Service:
    """Its nova-compute."""
    return Service(
        name=NAME,
        argv=(
            settings.venv('bin/nova-compute'),
            '--config-file',
            str(nova_conf),
        ),
        configuration=(nova_conf,),
        ready_line='Starting compute node',
    )


@contextlib.contextmanager
def stock_host(lab: Lab) -> Iterator[str]:
    """The host while the body runs; gives its name."""
    with exclusive(lab.layout.cache / 'lab.lock'):
        packages.install(lab.layout, {'bench'})
    settings = Settings(lab.layout, passwords.load(lab.layout.passwords))
    host = machines.get(lab.layout, CONTROL)
    nova_conf = lab.layout.etc(NAME) / 'nova.conf'
    with contextlib.ExitStack() as undo:
        _lay_cable(lab, host, undo)
        _bring_up_libvirt(lab, host, undo)
        write_private(nova_conf, render(configuration(settings)))
        state = pathlib.Path(settings.data(NAME))
        undo.callback(shutil.rmtree, nova_conf.parent)
        undo.callback(shutil.rmtree, state, ignore_errors=True)
        (state / 'instances').mkdir(parents=True, exist_ok=True)
        undo.callback(_forget, lab.admin.compute)
        undo.callback(services.stop, host, NAME)
        services.ensure(lab.layout, host, service_of(settings, nova_conf))
        _map(settings, host)
        service = connect('nova', settings.passwords['nova'], 'service')
        agent = Agent(host, service.network)
        undo.callback(agent.stop)
        agent.start()
        until(lambda: _has_inventory(lab.admin.placement), SEEN_TIMEOUT_S)
        yield HOST


def _lay_cable(lab: Lab, host: Machine, undo: contextlib.ExitStack) -> None:
    switch = machines.get(lab.layout, SWITCH)
    undo.callback(network.remove_port, switch, HOST)
    network.plug_in(switch, HOST, host.init, NIC)
    bridge = network.PC_BRIDGE
    undo.callback(network.ip, host, [f'link del {bridge}'])
    network.ip(
        host,
        [
            f'link add {bridge} {network.BRIDGE_OPTIONS}',
            f'link set {NIC} master {bridge} up',
            f'link set {bridge} addrgenmode none up',
        ],
    )


def _bring_up_libvirt(
    lab: Lab, host: Machine, undo: contextlib.ExitStack
) -> None:
    pcs.configure_libvirt(lab.layout.disk(CONTROL) / 'etc' / 'libvirt')
    for service in (pcs.VIRTLOGD, pcs.LIBVIRTD):
        undo.callback(services.stop, host, service.name)
        services.ensure(lab.layout, host, service)


def _map(settings: Settings, host: Machine) -> None:
    manage_openstack(
        settings,
        host,
        'nova-manage',
        f'--config-file={settings.layout.etc("nova")}/nova.conf',
        'cell_v2',
        'discover_hosts',
        '--by-service',
    )


def _forget(api: Any) -> None:
    for service in api.services(host=HOST, binary='nova-compute'):
        api.delete_service(service)


def _has_inventory(placement: Any) -> bool:
    """Whether servers can be placed there; libvirt names its own host."""
    return any(
        item.resource_class == 'VCPU' and item.total > 0
        for provider in placement.resource_providers(name=CONTROL)
        for item in placement.resource_provider_inventories(provider)
    )
