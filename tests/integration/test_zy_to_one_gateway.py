# SPDX-License-Identifier: Apache-2.0
"""One of two gateways goes for good, and etcd with it; no server is lost.

Almost last of its folder: the lab has one gateway from here on, and no etcd.
"""

from __future__ import annotations

import pytest

from devstack.lab.layout import SLICES
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.second_gateway import SERVED_S, Pair
from tests.support.servers import Bench
from tests.support.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def test_way_back_to_one_gateway_takes_along_all_servers(
    lab: Lab, bench: Bench, pair: Pair
) -> None:
    theirs = pair.slice_of(pair.second)
    servers = [
        bench.create(f'both {name}', slice_name=name) for name in SLICES
    ]
    for server in servers:
        bench.wait(server)
    where = {server: pcs.running_on(lab, server) for server in servers}

    def serves_all() -> bool:
        return all(pair.serves(lab.control, name) for name in SLICES)

    pair.go_back_to_one()
    until(serves_all, SERVED_S)
    for server in servers:
        assert bench.show(server).status == 'ACTIVE'
        lab.admin.compute.stop_server(server)
        bench.wait(server, 'SHUTOFF')
    late = bench.create('by one', slice_name=theirs)
    bench.wait(late)

    pair.do_without_etcd()
    until(serves_all, SERVED_S)
    for server in servers:
        lab.admin.compute.start_server(server)
        bench.wait(server)
        assert pcs.running_on(lab, server) == where[server]
    for server in (late, *servers):
        bench.delete(server)
    bench.wait(bench.create('without etcd', slice_name=theirs))
