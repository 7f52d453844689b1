# SPDX-License-Identifier: Apache-2.0
"""Addresses of servers that are deleted while their PC is off."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from devstack.lab import overlay
from devstack.lab.names import NETWORK
from tests.conftest import Converged, Figure
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.servers import Bench, Server
from tests.support.waiting import until

pytestmark = pytest.mark.lab

CONFLICT = 409


@pytest.fixture
def alone(lab: Lab, bench: Bench) -> Server:
    """A server, and no other on its PC."""
    machines = pcs.pcs(lab)
    empty = [pc for pc in machines.values() if not pcs.status(pc).instances]
    others = [pc for pc in machines.values() if pc is not empty[0]]
    with pcs.draining(lab, *others):
        server = bench.get(bench.create('held'))
    assert pcs.where(lab, server.id) == empty[0].name
    return server


def deleted(lab: Lab) -> list[dict[str, Any]]:
    """What ``p2pcs-manage instance list --deleted`` shows."""
    said = overlay.manage(
        lab.layout, lab.control,
        'instance', 'list', '--deleted', '-f', 'json',
    )  # fmt: skip
    rows: list[dict[str, Any]] = json.loads(said)
    return rows


def ask_for(lab: Lab, address: str) -> int:
    """Whether an address can be had at all: the answer's status."""
    network = lab.admin.network.find_network(NETWORK, ignore_missing=False)
    wish = {
        'network_id': network.id,
        'fixed_ips': [{'ip_address': address}],
    }
    answer = lab.admin.network.post('/ports', json={'port': wish})
    if answer.ok:
        lab.admin.network.delete_port(answer.json()['port']['id'])
    return int(answer.status_code)


def test_address_is_held_until_the_pc_has_destroyed_the_server(
    lab: Lab,
    bench: Bench,
    alone: Server,
    figure: Figure,
    converged: Converged,
) -> None:
    name = pcs.where(lab, alone.id)
    number = pcs.number_of(name)
    lab.pc_off(number)
    try:
        begin = time.monotonic()
        bench.delete(alone.id)
        figure('PC off: delete of its server', time.monotonic() - begin)
        assert ask_for(lab, alone.address) == CONFLICT
        (row,) = deleted(lab)
        assert (row['Instance'], row['PC']) == (alone.id, name)
        (held,) = lab.admin.network.ports(device_id=alone.id)
        assert held.device_owner == 'p2pcs:held'
        assert held.fixed_ips[0]['ip_address'] == alone.address
        assert name in held.name
        assert list(lab.demo.network.ports(device_id=alone.id)) == []
        # A new server gets another one.
        other = bench.get(bench.create('meanwhile'))
        assert other.address != alone.address
    finally:
        begin = time.monotonic()
        lab.pc_on(number)
    until(lambda: ask_for(lab, alone.address) != CONFLICT, 120.0)
    converged('deleted with its PC off', time.monotonic() - begin)
    assert deleted(lab) == []
    assert list(lab.admin.network.ports(device_id=alone.id)) == []
    assert pcs.traces(lab, alone) == []
