# SPDX-License-Identifier: Apache-2.0
"""Binding and the word "plugged", in a real Neutron API on SQLite."""

from __future__ import annotations

from typing import Any

import pytest
from neutron.conf.plugins.ml2 import config as ml2_config
from neutron.conf.plugins.ml2.drivers import driver_type
from neutron.tests.functional.pecan_wsgi import test_functional
from neutron_lib import context
from neutron_lib.plugins import directory
from oslo_config import cfg
from oslo_utils import uuidutils

from p2pcs_nova.network import conf

pytestmark = pytest.mark.nova

SLICE = 'gold'


Base: Any = test_functional.PecanFunctionalTest


class SliceTestCase(Base):  # type: ignore[misc]
    """The mechanism driver and the service plug-in, loaded by name."""

    slices: tuple[str, ...] = ()

    def setUp(self) -> None:
        super().setUp()
        self.admin = context.get_admin_context()
        self.core = directory.get_plugin()
        self.network = self.make_network('flat', 'office')

    def set_config_overrides(self) -> None:
        super().set_config_overrides()
        ml2_config.register_ml2_plugin_opts()
        driver_type.register_ml2_drivers_flat_opts()
        conf.register(cfg.CONF)
        for group, option, value in (
            ('ml2', 'mechanism_drivers', ['p2pcs']),
            ('ml2', 'type_drivers', ['flat', 'local']),
            ('ml2_type_flat', 'flat_networks', ['*']),
            (None, 'service_plugins', ['p2pcs']),
            (None, 'notify_nova_on_port_status_changes', False),
        ):
            cfg.CONF.set_override(option, value, group)
        cfg.CONF.set_override('hosts', list(self.slices), 'p2pcs')

    def make_network(self, kind: str, physical: str | None) -> str:
        network = {
            'name': 'lan',
            'admin_state_up': True,
            'shared': True,
            'project_id': 'p',
            'provider:network_type': kind,
            'router:external': False,
        }
        if physical:
            network['provider:physical_network'] = physical
        response = self.call('POST', '/networks', {'network': network})
        return str(response.json['network']['id'])

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        roles: str = 'admin',
    ) -> Any:
        headers = {
            'X_PROJECT_ID': 'p',
            'X_USER_ID': 'u',
            'X_ROLES': roles,
        }
        extra = {} if body is None else {'params': body}
        send = getattr(self.app, f'{method.lower()}_json', self.app.get)
        return send(
            f'/v2.0{path}', headers=headers, expect_errors=True, **extra
        )

    def make_port(
        self, network: str = '', owner: str = 'compute:nova', **more: Any
    ) -> dict[str, Any]:
        port = {
            'network_id': network or self.network,
            'admin_state_up': True,
            'device_id': uuidutils.generate_uuid(),
            'device_owner': owner,
            'binding:host_id': SLICE,
            **more,
        }
        response = self.call('POST', '/ports', {'port': port})
        assert response.status_int == 201, response.json
        return dict(response.json['port'])

    def show(self, port: dict[str, Any]) -> dict[str, Any]:
        response = self.call('GET', f'/ports/{port["id"]}')
        return dict(response.json['port'])

    def report(
        self,
        port: str,
        host: str = SLICE,
        plugged: bool = True,
        roles: str = 'service',
    ) -> Any:
        return self.call(
            'PUT',
            f'/p2pcs-ports/{port}',
            {'p2pcs_port': {'host': host, 'plugged': plugged}},
            roles,
        )


class PluggedTestCase(SliceTestCase):
    """Any host is a slice."""

    def test_extension_is_found_without_configuration(self) -> None:
        found = self.call('GET', '/extensions/p2pcs')
        assert found.json['extension']['alias'] == 'p2pcs'

    def test_port_is_bound_and_stays_down_until_plugged(self) -> None:
        port = self.make_port()
        assert port['binding:vif_type'] == 'tap'
        assert port['binding:vif_details'] == {
            'port_filter': True,
            'connectivity': 'l2',
            'physical_network': 'office',
            'bound_drivers': {'0': 'p2pcs'},
        }
        assert self.show(port)['status'] == 'DOWN'
        answer = self.report(port['id'])
        assert answer.status_int == 200
        assert answer.json['p2pcs_port'] == {
            'id': port['id'],
            'host': SLICE,
            'plugged': True,
        }
        assert self.show(port)['status'] == 'ACTIVE'

    def test_port_that_comes_to_a_slice_later_is_held_too(self) -> None:
        port = self.make_port(**{'binding:host_id': ''})
        assert port['binding:vif_type'] == 'unbound'
        self.call(
            'PUT',
            f'/ports/{port["id"]}',
            {'port': {'binding:host_id': SLICE}},
        )
        assert self.show(port)['status'] == 'DOWN'
        assert self.show(port)['binding:vif_type'] == 'tap'
        self.report(port['id'])
        assert self.show(port)['status'] == 'ACTIVE'

    def test_unplugged_and_plugged_again_tells_nova_again(self) -> None:
        port = self.make_port()
        self.report(port['id'])
        assert self.report(port['id'], plugged=False).status_int == 200
        assert self.show(port)['status'] == 'DOWN'
        self.report(port['id'])
        assert self.show(port)['status'] == 'ACTIVE'

    def test_another_host_is_not_found_and_changes_nothing(self) -> None:
        port = self.make_port()
        assert self.report(port['id'], host='silver').status_int == 404
        assert self.show(port)['status'] == 'DOWN'

    def test_unknown_port_is_not_found(self) -> None:
        answer = self.report(uuidutils.generate_uuid())
        assert answer.status_int == 404

    def test_who_is_no_service_sees_nothing(self) -> None:
        port = self.make_port()
        for roles in ('member,reader', 'admin,member,reader'):
            assert self.report(port['id'], roles=roles).status_int == 404
            shown = self.call('GET', f'/p2pcs-ports/{port["id"]}', roles=roles)
            assert shown.status_int == 404
        assert self.show(port)['status'] == 'DOWN'

    def test_words_missing_or_wrong_are_refused(self) -> None:
        port = self.make_port()
        for word in (
            {},
            {'host': SLICE},
            {'plugged': True},
            {'host': 7, 'plugged': True},
            {'host': SLICE, 'plugged': 'perhaps'},
            {'host': SLICE, 'plugged': True, 'colour': 'red'},
        ):
            answer = self.call(
                'PUT',
                f'/p2pcs-ports/{port["id"]}',
                {'p2pcs_port': word},
                'service',
            )
            assert answer.status_int == 400, word
        assert self.show(port)['status'] == 'DOWN'

    def test_ports_of_others_are_left_alone(self) -> None:
        for more in (
            {'owner': 'network:f5lbaasv2'},
            {'binding:vnic_type': 'direct'},
        ):
            port = self.make_port(**more)
            assert port['binding:vif_type'] == 'binding_failed'

    def test_network_that_is_not_flat_is_not_bound(self) -> None:
        port = self.make_port(network=self.make_network('local', None))
        assert port['binding:vif_type'] == 'binding_failed'


class NamedSlicesTestCase(SliceTestCase):
    """The slices are named in the configuration."""

    slices = (SLICE, 'bronze')

    def test_port_of_a_named_slice_is_bound(self) -> None:
        assert self.make_port()['binding:vif_type'] == 'tap'

    def test_host_that_is_no_slice_is_not_bound(self) -> None:
        port = self.make_port(**{'binding:host_id': 'elsewhere'})
        assert port['binding:vif_type'] == 'binding_failed'
