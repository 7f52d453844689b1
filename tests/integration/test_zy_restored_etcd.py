# SPDX-License-Identifier: Apache-2.0
"""An older copy of etcd is restored, and no server is lost.

Almost last of its folder: the lab has two gateways from here on.
"""

from __future__ import annotations

import pathlib
import time

import pytest

from devstack.lab import compute, overlay, services
from devstack.lab.machines import Machine
from tests.conftest import Figure
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.second_gateway import SERVED_S, Pair
from tests.support.servers import Bench
from tests.support.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.slow]

WRITTEN = 4
"""Servers that come and go between the copy and its return."""


def known(pair: Pair) -> set[str]:
    """The instances that any gateway knows."""
    return {
        row['status']['instance']
        for machine in (pair.lab.control, pair.second)
        for row in overlay.ask(machine, '/v1/instances')['instances']
    }


def eras(machine: Machine) -> set[int]:
    """Of the terms by which a gateway's daemon commands slices."""
    rows = overlay.ask(machine, '/v1/slices')['slices']
    return {row['term'][0] for row in rows if row['term'] is not None}


def log_of_ended(lab: Lab, machine: Machine) -> str:
    """What a gateway's program has said, once it has ended."""
    until(lambda: services.find(machine, compute.GATEWAY) is None, SERVED_S)
    return lab.layout.log(machine.name, compute.GATEWAY).read_text()


def test_server_that_etcd_has_forgotten_is_taken_from_its_pc(
    lab: Lab, bench: Bench, pair: Pair, tmp_path: pathlib.Path, figure: Figure
) -> None:
    pair.back_up_etcd(tmp_path / 'copy')
    name = pair.slice_of(pair.second)
    server = bench.get(bench.create('since-the-copy', slice_name=name))
    (pc,) = pcs.running_on(lab, server.id)
    # The copy is to lack more than is written when leases end.
    for number in range(WRITTEN):
        bench.delete(bench.get(bench.create(f'more-{number}')).id)

    pair.restore_etcd(tmp_path / 'copy')
    for machine in (lab.control, pair.second):
        log = log_of_ended(lab, machine)
        assert 'is an older copy' in log
        assert 'p2pcs-manage era raise --lost' in log
    assert bench.show(server.id).status == 'ACTIVE'

    begin = time.monotonic()
    pair.raise_era('--lost')
    pair.start_first()
    # The terms of before are over a while after who held them has ended.
    until(lambda: 3 in eras(lab.control), SERVED_S)
    pair.start_second()
    until(lambda: 3 in eras(pair.second), SERVED_S)
    until(lambda: server.id in known(pair), SERVED_S)
    figure('restored etcd: a server is known again', time.monotonic() - begin)
    pair.slice_of(pair.second)
    assert pcs.running_on(lab, server.id) == [pc]
    lab.admin.compute.stop_server(server.id)
    bench.wait(server.id, 'SHUTOFF')
    lab.admin.compute.start_server(server.id)
    bench.wait(server.id)
    assert pcs.running_on(lab, server.id) == [pc]
    bench.wait(bench.create('after-the-copy', slice_name=name))
    bench.delete(server.id)
    until(lambda: not pcs.traces(lab, server), SERVED_S)
