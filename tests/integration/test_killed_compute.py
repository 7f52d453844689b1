# SPDX-License-Identifier: Apache-2.0
"""``kill -9`` of nova-compute, and what it was about when it comes again.

Where a build stands when the blow falls is decided by what is frozen: it
goes as far as that, and a log says that it is there.
"""

from __future__ import annotations

import contextlib
import time

import pytest

from devstack.lab.layout import CONTROL, SLICES
from p2pcs_nova import errors, wire
from p2pcs_nova.peer.steps import Step
from tests.conftest import Converged, Figure
from tests.support import pcs, programs, scene
from tests.support.lab import Lab
from tests.support.servers import Bench
from tests.support.waiting import until

pytestmark = pytest.mark.lab

GOLD, SILVER = SLICES
START = wire.ActionRequest(wire.Action.START)


def domain_id(lab: Lab, server_id: str) -> str:
    """Libvirt's number of a run of a guest: another after each start."""
    pc = pcs.pcs(lab)[pcs.where(lab, server_id)]
    return lab.inside(pc, 'virsh', '-q', 'domid', server_id).strip()


def start_at_the_gateway(lab: Lab, server_id: str) -> None:
    """What the driver asks for when a port is known to be plugged."""

    def started() -> bool:
        try:
            scene.gateway(lab).action(GOLD, server_id, START)
        except errors.WrongState:
            # The PC has built it, and the gateway has not yet heard so.
            return False
        return True

    until(started)


def port_is_active(lab: Lab, server_id: str) -> bool:
    """Whether Neutron has taken the word that its port is plugged."""
    (port,) = lab.admin.network.ports(device_id=server_id)
    return bool(port.status == 'ACTIVE')


def assert_lives(lab: Lab, bench: Bench, server_id: str) -> None:
    """It is a server like any other: reachable for Nova and Neutron."""
    bench.wait(server_id)
    assert scene.held_in_placement(lab, server_id)
    assert port_is_active(lab, server_id)
    found = bench.show(server_id)
    assert found.launched_at
    assert found.addresses
    assert found.power_state == 1


def test_builds_and_a_deletion_come_to_their_ends_after_a_restart(
    lab: Lab, bench: Bench, figure: Figure, converged: Converged
) -> None:
    doomed = bench.get(bench.create('doomed', slice_name=SILVER))
    with contextlib.ExitStack() as silver, contextlib.ExitStack() as gold:
        gold.enter_context(scene.hung_libvirt(lab, GOLD))
        silver.enter_context(scene.hung_libvirt(lab, SILVER))
        runs = bench.create('runs', slice_name=GOLD)
        plugged = bench.create('plugged', slice_name=GOLD)
        halfway = bench.create('halfway', slice_name=SILVER)
        lab.admin.compute.delete_server(doomed.id)
        scene.wait_for_step(
            lab, Step.CONFIG_DRIVE_MADE, runs, plugged, halfway
        )
        scene.wait_for_step(lab, Step.TOMBSTONE_STORED, doomed.id)
        # Without the API no word that a port is plugged comes through.
        with programs.frozen((lab.control, 'nova-api')):
            gold.close()
            scene.wait_for_step(lab, Step.BUILT_STORED, runs, plugged)
            until(lambda: port_is_active(lab, runs))
            start_at_the_gateway(lab, runs)
            before = domain_id(lab, runs)
            programs.kill(
                lab.control, scene.compute_of(GOLD), scene.compute_of(SILVER)
            )
        begin = time.monotonic()
        scene.restart_computes(lab, GOLD, SILVER)
        # The gateway is still about this build: it is told to end it.
        scene.wait_for_step(lab, Step.TOMBSTONE_STORED, halfway)
    bench.wait(runs)
    figure('killed nova-compute: build adopted', time.monotonic() - begin)
    scene.wait_until_given_up(lab, bench, plugged)
    scene.wait_until_given_up(lab, bench, halfway)
    bench.delete(doomed.id)
    until(lambda: not pcs.traces(lab, doomed))
    converged('killed nova-compute', time.monotonic() - begin)
    assert_lives(lab, bench, runs)
    assert domain_id(lab, runs) == before


@pytest.mark.slow
def test_build_that_the_gateway_was_not_asked_for_is_given_up(
    lab: Lab, bench: Bench
) -> None:
    with programs.frozen((lab.control, pcs.DAEMON)):
        found = bench.create('not-asked', slice_name=GOLD)
        until(lambda: bench.show(found).task_state == 'spawning')
        programs.kill(lab.control, scene.compute_of(GOLD))
    scene.restart_computes(lab, GOLD)
    scene.wait_until_given_up(lab, bench, found)


@pytest.mark.slow
def test_build_that_was_being_started_is_adopted(
    lab: Lab, bench: Bench
) -> None:
    with contextlib.ExitStack() as api, contextlib.ExitStack() as libvirt:
        libvirt.enter_context(scene.hung_libvirt(lab, GOLD))
        found = bench.create('starting', slice_name=GOLD)
        scene.wait_for_step(lab, Step.CONFIG_DRIVE_MADE, found)
        api.enter_context(programs.frozen((lab.control, 'nova-api')))
        libvirt.close()
        until(lambda: port_is_active(lab, found))
        with scene.hung_libvirt(lab, GOLD):
            api.close()
            scene.wait_until_logged(lab, f'POST /v1/instances/{found}/action')
            programs.kill(lab.control, scene.compute_of(GOLD))
    scene.wait_for_step(lab, Step.DOMAIN_RESUMED, found)
    scene.restart_computes(lab, GOLD)
    assert_lives(lab, bench, found)


@pytest.mark.slow
def test_deletion_while_it_is_being_built_goes_on(
    lab: Lab, bench: Bench
) -> None:
    with scene.hung_libvirt(lab, GOLD):
        found = bench.create('unwanted', slice_name=GOLD)
        scene.wait_for_step(lab, Step.CONFIG_DRIVE_MADE, found)
        server = scene.port_of(lab, bench, found)
        lab.admin.compute.delete_server(found)
        until(lambda: bench.show(found).task_state == 'deleting')
        programs.kill(lab.control, scene.compute_of(GOLD))
    scene.restart_computes(lab, GOLD)
    bench.delete(found)
    until(lambda: not pcs.traces(lab, server))
    assert not scene.held_in_placement(lab, found)


@pytest.mark.slow
def test_guest_of_a_server_that_nova_deleted_alone_is_ended(
    lab: Lab, bench: Bench, figure: Figure
) -> None:
    server = bench.get(bench.create('deleted', slice_name=GOLD))
    with scene.believed_down(lab, GOLD):
        bench.delete(server.id)
    begin = time.monotonic()
    pcs.wait_until_gone(lab, server)
    figure('server deleted without nova-compute', time.monotonic() - begin)
    # Else Nova has asked for its end in the ordinary way.
    log = lab.layout.log(CONTROL, scene.compute_of(GOLD)).read_text()
    assert any(
        server.id in line and 'marked as DELETED' in line
        for line in log.splitlines()
    )


@pytest.mark.slow
def test_snapshot_that_is_cut_off_leaves_nothing_in_glance(
    lab: Lab, bench: Bench
) -> None:
    found = bench.create('copied')
    bench.wait(found)
    row = pcs.placed(lab, found)
    assert row is not None
    slice_name = row.status.slice

    def wait_for_task(task_state: str) -> None:
        until(lambda: bench.show(found).task_state == task_state)

    def cut_off() -> None:
        programs.kill(lab.control, scene.compute_of(slice_name))

    def assert_nothing_is_left() -> None:
        scene.restart_computes(lab, slice_name)
        bench.wait(found)
        assert list(lab.admin.image.images(name='half')) == []

    with scene.hung_libvirt(lab, slice_name):
        lab.openstack('server', 'image', 'create', '--name', 'half', 'copied')
        wait_for_task('image_pending_upload')
        cut_off()
    assert_nothing_is_left()
    with contextlib.ExitStack() as libvirt:
        libvirt.enter_context(scene.hung_libvirt(lab, slice_name))
        lab.openstack('server', 'image', 'create', '--name', 'half', 'copied')
        wait_for_task('image_pending_upload')
        with programs.frozen((lab.control, 'glance')):
            libvirt.close()
            wait_for_task('image_uploading')
            cut_off()
    assert_nothing_is_left()
