# SPDX-License-Identifier: Apache-2.0
"""Servers that are stopped on their way, at a point that a log names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent import futures
from typing import Any

from devstack.lab import compute, control, overlay, passwords, services
from devstack.lab.layout import SLICES
from devstack.lab.services import Service
from devstack.lab.settings import Settings
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.peer.steps import Step
from tests.support import pcs, programs
from tests.support.lab import Lab
from tests.support.servers import Bench, Server
from tests.support.waiting import until

LIBVIRT = 'libvirtd'
STEP_TIMEOUT_S = 60.0


def wait_until_logged(lab: Lab, *words: str) -> None:
    """Wait until each of these words is in some PC's log."""

    def said() -> bool:
        told = ''.join(
            lab.layout.log(name, pcs.DAEMON).read_text()
            for name in pcs.pcs(lab)
        )
        return all(one in told for one in words)

    until(said, STEP_TIMEOUT_S)


def wait_for_step(lab: Lab, step: Step, *server_ids: str) -> None:
    """Wait until some PC has said that it has done this for each."""
    wait_until_logged(
        lab, *(f'[instance {found}] {step}\n' for found in server_ids)
    )


@contextlib.contextmanager
def hung_libvirt(lab: Lab, slice_name: str) -> Iterator[None]:
    """No PC of the slice gets an answer from its libvirt meanwhile."""
    machines = pcs.pcs(lab)
    names = pcs.pcs_of_slice(lab, slice_name)
    with programs.frozen(*((machines[name], LIBVIRT) for name in names)):
        yield


def compute_of(slice_name: str) -> str:
    """The service that is the nova-compute of a slice."""
    return services.kept_name(slice_name)


@contextlib.contextmanager
def believed_down(lab: Lab, slice_name: str) -> Iterator[None]:
    """Nova takes the nova-compute of a slice for gone meanwhile."""
    compute_api = lab.admin.compute
    (found,) = compute_api.services(binary='nova-compute', host=slice_name)
    path = f'/os-services/{found.id}'

    def put(is_down: bool) -> None:
        said = {'forced_down': is_down}
        compute_api.put(path, json=said, microversion='2.53')

    put(True)
    try:
        yield
    finally:
        put(False)
    until(
        lambda: all(
            one.state == 'up'
            for one in compute_api.services(binary='nova-compute')
        )
    )


def restart_computes(lab: Lab, *slices: str) -> None:
    """Have these nova-computes again; back when they begin their start."""
    settings = Settings(lab.layout, passwords.load(lab.layout.passwords))
    compute.bring_up(settings)
    for name in slices:
        compute.wait_for(settings, name)


def restart_control_plane(lab: Lab) -> None:
    """Have every service of the control plane again, as machines boot.

    Each comes up as soon as those are up that it cannot start without.
    """
    settings = Settings(lab.layout, passwords.load(lab.layout.passwords))

    def have(service: Service) -> None:
        services.ensure(lab.layout, lab.control, service)

    with futures.ThreadPoolExecutor() as pool:
        for stage in (
            (control.mariadb(lab.layout), control.rabbit(lab.layout)),
            (control.keystone(settings),),
            (
                control.nova_api(settings),
                control.nova_conductor(settings),
                control.nova_scheduler(settings),
            ),
            (compute.gateway(settings),),
        ):
            list(pool.map(have, stage))
    for name in SLICES:
        compute.wait_for(settings, name)


def gateway(lab: Lab) -> LocalClient:
    """The gateway, as the driver asks it."""
    return LocalClient(str(lab.control.path(overlay.SOCKET)))


def held_in_placement(lab: Lab, server_id: str) -> bool:
    """Whether Placement holds anything for a server."""
    answer = lab.admin.placement.get(f'/allocations/{server_id}')
    return bool(answer.json()['allocations'])


def inventories(lab: Lab, slice_name: str) -> Any:
    """What Placement knows a slice to have."""
    return placement_of(lab, slice_name, 'inventories')


def placement_of(lab: Lab, slice_name: str, what: str) -> Any:
    """What Placement says of a slice: inventories, usages, allocations."""
    (provider,) = lab.admin.placement.get(
        f'/resource_providers?name={slice_name}'
    ).json()['resource_providers']
    answer = lab.admin.placement.get(
        f'/resource_providers/{provider["uuid"]}/{what}'
    )
    return answer.json()[what]


def port_of(lab: Lab, bench: Bench, server_id: str) -> Server:
    """A server of any state, by what Neutron has of it."""
    (port,) = lab.admin.network.ports(device_id=server_id)
    return Server(
        server_id,
        bench.show(server_id).name,
        port.fixed_ips[0]['ip_address'],
        port.mac_address,
        port.id,
    )


def wait_until_given_up(lab: Lab, bench: Bench, server_id: str) -> None:
    """Wait until a build is ERROR, with nothing left of it anywhere."""
    found = bench.wait(server_id, 'ERROR')
    assert 'nova-compute ended' in found.fault['message']
    server = port_of(lab, bench, server_id)
    until(lambda: not pcs.traces(lab, server))
    assert not held_in_placement(lab, server_id)
