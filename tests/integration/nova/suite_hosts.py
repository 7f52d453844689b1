# SPDX-License-Identifier: Apache-2.0
"""Nova's hosts follow the slices: our calls, and what Nova makes of them."""

from __future__ import annotations

import types
from typing import Any

from keystoneauth1 import exceptions as auth_exceptions
from keystoneauth1 import noauth, session
from nova import objects
from novaclient import client

from p2pcs_nova import wire
from p2pcs_nova.hosts import nova as hosts
from p2pcs_nova.hosts import plan
from p2pcs_nova.hosts.node import node_id
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.partition import Partition
from tests.integration.nova import helpers, slices

OTHERS = 'compute1'


def open_in(zone: str) -> Partition:
    """Slice gold in this zone, '' for none, and one named like a host."""
    said = f', zone: {zone}' if zone else ''
    text = (
        f'slices: [{{name: gold, match: {{a: b}}{said}}},'
        f' {{name: {OTHERS}, match: {{}}}}]'
    )
    return Partition(reading.read_policy(text, 'policy'))


def dropped(state: wire.SliceState) -> Partition:
    """Both, when the policy has them no more."""
    policy = reading.read_policy('slices: [{name: tin, match: {}}]', 'policy')
    rows = (
        wire.SliceRow('tin', of='tin', share=1_000_000),
        wire.SliceRow('gold', state),
        wire.SliceRow(OTHERS, state),
    )
    return Partition(policy, wire.SliceMap(1, 1, rows))


class Placement:
    """The real one, in Nova's fixture; asked as an adapter asks."""

    def __init__(self, fixture: Any) -> None:
        self._fixture = fixture

    def get(self, path: str) -> Any:
        """An answer, or NotFound."""
        answer = self._fixture.get(path)
        if answer.status == 404:
            raise auth_exceptions.NotFound()
        return types.SimpleNamespace(json=lambda: answer.body)


class HostsTestCase(slices.SliceTestCase):
    """The nova-compute of slice gold, and one of another driver."""

    def setUp(self) -> None:
        super().setUp()
        self.flags(max_limit=1, group='api')
        self.nova = client.Client(
            hosts.MICROVERSION,
            session=session.Session(
                auth=noauth.NoAuth(endpoint=self.api_fixture.base_url),
                additional_headers={
                    'X-Auth-User': 'admin',
                    'X-Auth-Project-Id': self.api_fixture.project_id,
                    'X-Roles': 'reader,member,admin',
                },
            ),
        )
        self.apis = hosts.Apis(self.nova, Placement(self.placement))
        self.start_anothers()

    def start_anothers(self) -> None:
        """Nova hears of a nova-compute that is none of ours, and is off."""
        of = {'context': self.context(), 'host': OTHERS}
        objects.Service(
            **of, binary='nova-compute', topic='compute', report_count=1
        ).create()
        objects.ComputeNode(
            **of,
            uuid=helpers.NODE,
            hypervisor_hostname=OTHERS,
            hypervisor_type='QEMU',
            hypervisor_version=1,
            cpu_info='{}',
            vcpus=1,
            memory_mb=1,
            local_gb=1,
            vcpus_used=0,
            memory_mb_used=0,
            local_gb_used=0,
        ).create()
        cell = objects.HostMapping.get_by_host(self.context(), 'gold')
        objects.HostMapping(**of, cell_mapping=cell.cell_mapping).create()

    def follow(self, partition: Partition) -> list[type[plan.Step]]:
        """Have Nova's hosts so, and say what was done."""
        return [type(one) for one in hosts.follow(self.apis, partition).done]

    def zone(self) -> str:
        """That of our only aggregate."""
        [found] = hosts.aggregates(self.nova)
        assert (found.name, found.hosts) == ('p2pcs:gold', ('gold',))
        return found.zone

    def test_hosts_follow_their_slices_and_anothers_is_left_alone(
        self,
    ) -> None:
        before = {one.host: one for one in hosts.services(self.nova)}
        assert before['gold'].nodes == {node_id('gold')}
        assert before[OTHERS].is_anothers
        assert self.follow(open_in('rome')) == [plan.MakeAggregate]
        assert self.follow(open_in('oslo')) == [plan.SetZone]
        server = self.create()
        for zone in ('rome', ''):
            assert self.follow(open_in(zone)) == []
            assert self.zone() == 'oslo'
        draining = dropped(wire.SliceState.DRAINING)
        assert self.follow(draining) == [plan.Disable]
        found = hosts.follow(self.apis, draining)
        assert (found.idle, found.busy) == ((OTHERS,), ())
        closed = dropped(wire.SliceState.CLOSED)
        assert hosts.follow(self.apis, closed).busy == ('gold',)
        assert self.follow(open_in('rome')) == []
        self._delete_server(server)
        found = hosts.follow(self.apis, draining)
        assert found.idle == ('gold', OTHERS)
        done = [plan.SetZone, plan.Enable]
        assert self.follow(open_in('rome')) == done
        assert self.zone() == 'rome'
        done = [plan.DropAggregate, plan.MakeAggregate]
        assert self.follow(open_in('')) == done
        assert self.zone() == ''
        self.compute.stop()
        self.nova.services.force_down(before['gold'].id, True)
        done = [plan.Disable, plan.DropAggregate, plan.DropService]
        assert self.follow(closed) == done
        assert hosts.services(self.nova) == [before[OTHERS]]
        assert hosts.follow(self.apis, closed).gone == ('gold', OTHERS)
