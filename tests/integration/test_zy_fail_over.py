# SPDX-License-Identifier: Apache-2.0
"""A gateway's death is a hiccup: the other one serves its slice.

Almost last of its folder: the lab has two gateways from here on.
"""

from __future__ import annotations

import contextlib
import signal
import time

import pytest

from devstack.lab import first_server, processes, services
from p2pcs_nova.peer.steps import Step
from tests.conftest import Figure
from tests.support import pcs, scene
from tests.support.gateway_faults import FAULTS
from tests.support.lab import Lab
from tests.support.second_gateway import SERVED_S, Pair
from tests.support.servers import Bench
from tests.support.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.slow]

SETTLED_S = 60.0


def test_servers_of_both_gateways_work(
    lab: Lab, bench: Bench, pair: Pair
) -> None:
    """That which was there before, too."""
    slices = [pair.slice_of(one) for one in (lab.control, pair.second)]
    for number, name in enumerate(slices):
        bench.wait(bench.create(f'shared-{number}', slice_name=name))
    address = first_server.address(lab.layout)
    assert lab.ssh(address, 'hostname').strip() == 'first'


@pytest.mark.parametrize('what', FAULTS)
def test_other_gateway_serves_the_slice_and_the_first_one_comes_back(
    lab: Lab, bench: Bench, pair: Pair, what: str, figure: Figure
) -> None:
    name = pair.slice_of(pair.second)
    old = bench.create(f'old {what}', slice_name=name)
    bench.wait(old)
    gone = bench.get(bench.create(f'gone {what}', slice_name=name))
    before = pcs.running_on(lab, old)
    with FAULTS[what](pair, name):
        pair.wait_until_served(name, what, figure)
        new = bench.create(f'new {what}', slice_name=name)
        bench.wait(new)
        bench.delete(gone.id)
        lab.admin.compute.stop_server(old)
        bench.wait(old, 'SHUTOFF')
        lab.admin.compute.start_server(old)
        bench.wait(old)
    assert pcs.running_on(lab, old) == before
    assert len(pcs.running_on(lab, new)) == 1
    until(lambda: not pcs.traces(lab, gone), SERVED_S)
    pair.slice_of(pair.second)
    for server in (old, new):
        assert bench.show(server).status == 'ACTIVE'
        assert len(pcs.running_on(lab, server)) == 1


def test_nova_compute_that_is_frozen_is_replaced_where_it_was(
    lab: Lab, bench: Bench, pair: Pair, figure: Figure
) -> None:
    name = pair.slice_of(pair.second)
    running = services.find(pair.second, services.kept_name(name))
    assert running is not None
    processes.kill(running.outer, signal.SIGSTOP)
    begin = time.monotonic()

    def is_replaced() -> bool:
        now = services.find(pair.second, services.kept_name(name))
        return now is not None and now.outer != running.outer

    until(is_replaced, SERVED_S)
    until(lambda: pair.serves(pair.second, name), SERVED_S)
    figure('frozen nova-compute: served again', time.monotonic() - begin)
    bench.wait(bench.create('after-frozen', slice_name=name))


@pytest.mark.parametrize('what', ['killed', 'both frozen'])
def test_build_and_deletion_that_were_going_on_come_to_an_end(
    lab: Lab, bench: Bench, pair: Pair, what: str, figure: Figure
) -> None:
    name = pair.slice_of(pair.second)
    doomed = bench.get(bench.create('doomed', slice_name=name))
    with contextlib.ExitStack() as libvirt:
        libvirt.enter_context(scene.hung_libvirt(lab, name))
        found = bench.create('halfway', slice_name=name)
        scene.wait_for_step(lab, Step.CONFIG_DRIVE_MADE, found)
        lab.admin.compute.delete_server(doomed.id)
        scene.wait_for_step(lab, Step.TOMBSTONE_STORED, doomed.id)
        with FAULTS[what](pair, name):
            libvirt.close()
            begin = time.monotonic()
            until(
                lambda: bench.show(found).status in ('ACTIVE', 'ERROR'),
                SERVED_S,
            )
            bench.delete(doomed.id)
            figure(
                f'fail-over, {what}: build and deletion settled',
                time.monotonic() - begin,
            )
    until(lambda: not pcs.traces(lab, doomed), SERVED_S)
    pair.slice_of(pair.second)
    settled = bench.show(found)
    assert settled.status in ('ACTIVE', 'ERROR')
    wanted = settled.status == 'ACTIVE'
    until(lambda: len(pcs.running_on(lab, found)) == wanted, SETTLED_S)
    assert scene.held_in_placement(lab, found) == wanted
