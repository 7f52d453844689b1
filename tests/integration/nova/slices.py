# SPDX-License-Identifier: Apache-2.0
"""Nova and Placement in one process, our driver over the fake overlay."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

from nova import context as nova_context
from nova import objects
from nova import utils as nova_utils
from nova.tests.functional import integrated_helpers

from p2pcs_nova.hosts.node import node_id
from p2pcs_nova.virt import driver as ours
from p2pcs_nova.virt import plugin
from tests.integration.nova import helpers
from tests.support import fake_overlay

Base: Any = integrated_helpers.ProviderUsageBaseTestCase
IMAGE = '155d900f-4e14-4e4c-a73d-069cbf4541e6'
API_PASTE = pathlib.Path(sys.prefix, 'etc/nova/api-paste.ini')


class SliceTestCase(helpers.RunByPytest, Base):  # type: ignore[misc]
    """A slice of two PCs with 4 CPUs each, and perhaps more such slices."""

    names: tuple[str, ...] = ('gold',)
    compute_driver = 'p2pcs.P2PDriver'

    def setUp(self) -> None:
        plugin.install()
        self.flags(api_paste_config=str(API_PASTE), group='wsgi')
        self.overlay = self.make_overlay()
        helpers.stand_in_for_the_gateway(self, self.overlay)
        super().setUp()
        if len(self.names) > 1:
            self.give_each_slice_an_id()
        else:
            node_uuid = node_id(self.names[0])
            self.stub_out('nova.virt.node.LOCAL_NODE_UUID', node_uuid)
        helpers.stand_in_for_glance(self)
        helpers.stand_in_for_our_extension(self)
        port = self.neutron._ports[self.neutron.port_1['id']]
        port['binding:vif_details'] = {'physical_network': 'office'}
        self.compute, *_ = (
            self.start_service('compute', host=name) for name in self.names
        )
        self.providers = {
            provider['name']: provider
            for provider in self._get_all_providers()
        }
        self.provider = self.providers[self.names[0]]

    def make_overlay(self) -> fake_overlay.FakeOverlay:
        return helpers.make_overlay(*self.names)

    def give_each_slice_an_id(self) -> None:
        """The file that tells it belongs to a process."""
        resources = ours.P2PDriver.get_available_resource

        def more(self: Any, nodename: str) -> dict[str, Any]:
            return resources(self, nodename) | {'uuid': node_id(nodename)}

        def names(self: Any, refresh: bool = False) -> dict[str, str]:
            return {node_id(self._slice): self._slice}

        where = 'p2pcs_nova.virt.driver.P2PDriver'
        self.stub_out(f'{where}.get_available_resource', more)
        self.stub_out(f'{where}.get_nodenames_by_uuid', names)

    def create(
        self,
        vcpus: int = 1,
        extra_specs: dict[str, str] | None = None,
        hints: dict[str, str] | None = None,
        host: str | None = None,
        zone: str | None = None,
        **expected: Any,
    ) -> Any:
        # By a version of the API that does not check them.
        with nova_utils.temporary_mutation(self.api, microversion='2.85'):
            flavor = self._create_flavor(
                vcpu=vcpus,
                memory_mb=512,
                disk=1,
                ephemeral=0,
                extra_spec=extra_specs,
            )
        server = self._build_server(
            image_uuid=IMAGE,
            flavor_id=flavor,
            networks=[{'port': self.neutron.port_1['id']}],
            host=host,
            az=zone,
        )
        created = self.api.post_server(
            {'server': server, 'os:scheduler_hints': hints or {}}
        )
        return self._wait_for_state_change(
            created, expected.get('status', 'ACTIVE')
        )

    def used(self) -> dict[str, int]:
        return dict(self._get_provider_usages(self.provider['uuid']))

    def take_in_placement(self, provider: Any, vcpus: int) -> None:
        """What another server of the slice of this provider is given."""
        share = {'resources': {'VCPU': vcpus}}
        answer = self.placement.put(
            f'/allocations/{helpers.new_uuid()}',
            {
                'allocations': {provider['uuid']: share},
                'project_id': 'another',
                'user_id': 'another',
                'consumer_generation': None,
            },
            version='1.28',
        )
        assert answer.status == 204

    def allocations(self, server: Any) -> dict[str, Any]:
        """What Placement holds for a server, by provider."""
        found = self._get_allocations_by_server_uuid(server['id'])
        return {key: held['resources'] for key, held in found.items()}

    def record(self, server: Any) -> Any:
        return objects.Instance.get_by_uuid(self.context(), server['id'])

    def context(self) -> Any:
        return nova_context.get_admin_context()
