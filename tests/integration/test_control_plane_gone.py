# SPDX-License-Identifier: Apache-2.0
"""Queue, database, identity and all of Nova dead: PCs and guests live on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from devstack.lab import compute, first_server
from devstack.lab.names import FIRST_SERVER
from p2pcs_nova import wire
from tests.conftest import Converged, Figure
from tests.support import pcs, programs, scene
from tests.support.lab import Lab
from tests.support.servers import Bench, wait_for_login
from tests.support.waiting import until

pytestmark = pytest.mark.lab

DEAD = (
    'rabbit',
    'mariadb',
    'keystone',
    'nova-api',
    'nova-conductor',
    'nova-scheduler',
    compute.GATEWAY,
)
BOOT_ID = '/proc/sys/kernel/random/boot_id'


@contextlib.contextmanager
def outage(lab: Lab) -> Iterator[None]:
    """The control plane is dead while the body runs, then up again."""
    programs.kill(lab.control, *DEAD)
    try:
        yield
    finally:
        scene.restart_control_plane(lab)


def test_guests_run_on_and_the_cloud_is_in_step_when_it_is_back(
    lab: Lab, bench: Bench, figure: Figure, converged: Converged
) -> None:
    address = first_server.address(lab.layout)
    found = lab.demo.compute.find_server(FIRST_SERVER, ignore_missing=False).id
    before = lab.ssh(address, 'cat', BOOT_ID)
    pc = pcs.pcs(lab)[pcs.where(lab, found)]
    with outage(lab):
        with pcs.draining(lab, pc):
            owner = str(lab.layout.peer_venv / 'bin' / 'p2pcs-peer')
            assert f'{found}  running' in lab.inside(pc, owner, 'status')
        assert lab.ssh(address, 'cat', BOOT_ID) == before
        begin = time.monotonic()
    figure('control plane: services back', time.monotonic() - begin)
    listed = lab.demo.compute.get_server(found)
    assert (listed.status, listed.power_state) == ('ACTIVE', 1)
    figure('control plane: server list right', time.monotonic() - begin)
    bench.wait(bench.create('after'))
    converged('killed control plane', time.monotonic() - begin)
    assert lab.ssh(address, 'cat', BOOT_ID) == before


def state_of(lab: Lab, server_id: str) -> wire.InstanceState:
    """What the gateway has heard of an instance."""
    row = pcs.placed(lab, server_id)
    assert row is not None
    return row.status.state


@pytest.mark.slow
def test_what_a_guest_did_meanwhile_is_heard_when_nova_is_back(
    lab: Lab, bench: Bench, converged: Converged
) -> None:
    leaves = bench.get(bench.create('leaves'))
    wait_for_login(lab, leaves)
    with outage(lab):
        lab.ssh(leaves.address, 'poweroff')
        until(lambda: state_of(lab, leaves.id) is wire.InstanceState.STOPPED)
        begin = time.monotonic()
    bench.wait(leaves.id, 'SHUTOFF')
    converged('killed control plane, a guest stops', time.monotonic() - begin)
    lab.openstack('server', 'start', leaves.name)
    bench.wait(leaves.id)
