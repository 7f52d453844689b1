# SPDX-License-Identifier: Apache-2.0
"""Queue, database, identity and all of Nova dead: PCs and guests live on."""

from __future__ import annotations

import time

import pytest

from devstack.lab.layout import SLICES
from p2pcs_nova import wire
from tests.conftest import Figure
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
    *map(scene.compute_of, SLICES),
)
BOOT_ID = '/proc/sys/kernel/random/boot_id'


def state_of(lab: Lab, server_id: str) -> wire.InstanceState:
    """What the gateway has heard of an instance."""
    row = pcs.placed(lab, server_id)
    assert row is not None
    return row.status.state


def test_guests_run_on_and_the_cloud_is_in_step_when_it_is_back(
    lab: Lab, bench: Bench, figure: Figure
) -> None:
    both = [bench.create(name) for name in ('lives', 'leaves')]
    lives, leaves = map(bench.get, both)
    for server in (lives, leaves):
        wait_for_login(lab, server)
    before = lab.ssh(lives.address, 'cat', BOOT_ID)
    name = pcs.where(lab, lives.id)
    pc = pcs.pcs(lab)[name]
    programs.kill(lab.control, *DEAD)
    with pcs.draining(lab, pc):
        owner = str(lab.layout.peer_venv / 'bin' / 'p2pcs-peer')
        assert f'{lives.id}  running' in lab.inside(pc, owner, 'status')
    # One of the guests shuts itself down, and nobody is there to hear it.
    lab.ssh(leaves.address, 'poweroff')
    until(
        lambda: (
            (row := pcs.placed(lab, leaves.id))
            and row.status.state == 'stopped'
        )
    )
    assert lab.ssh(lives.address, 'cat', BOOT_ID) == before
    begin = time.monotonic()
    scene.restart_control_plane(lab)
    figure('control plane: services back', time.monotonic() - begin)
    bench.wait(leaves.id, 'SHUTOFF')
    assert bench.wait(lives.id).power_state == 1
    figure('control plane: server list right', time.monotonic() - begin)
    new = bench.create('new')
    bench.wait(new)
    figure('control plane: a new server ACTIVE', time.monotonic() - begin)
    lab.openstack('server', 'start', leaves.name)
    bench.wait(leaves.id)
    assert lab.ssh(lives.address, 'cat', BOOT_ID) == before
