# SPDX-License-Identifier: Apache-2.0
"""Binding and the word "plugged", in a real Neutron API on SQLite."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from neutron.conf.plugins.ml2 import config as ml2_config
from neutron.conf.plugins.ml2.drivers import driver_type
from neutron.tests.functional.pecan_wsgi import test_functional
from neutron_lib import context
from neutron_lib.plugins import directory
from oslo_config import cfg
from oslo_utils import uuidutils

from p2pcs_nova import wire
from p2pcs_nova.network import conf, effective

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


class AskingTestCase(SliceTestCase):
    """What a compute driver asks."""

    def ask(self, host: str = SLICE, roles: str = 'service') -> Any:
        return self.call('GET', f'/p2pcs-slices/{host}', roles=roles)

    def slice_ports(self) -> wire.SlicePorts:
        answer = self.ask()
        assert answer.status_int == 200, answer.json
        shown = answer.json['p2pcs_slice']
        assert shown['id'] == SLICE
        return msgspec.convert(shown, wire.SlicePorts)

    def make_group(self, *rules: dict[str, Any]) -> str:
        answer = self.call(
            'POST', '/security-groups', {'security_group': {'name': 'g'}}
        )
        found = str(answer.json['security_group']['id'])
        for rule in rules:
            self.add_rule(found, **rule)
        return found

    def add_rule(self, group: str, **rule: Any) -> str:
        answer = self.call(
            'POST',
            '/security-group-rules',
            {
                'security_group_rule': {
                    'security_group_id': group,
                    'direction': 'ingress',
                    **rule,
                }
            },
        )
        assert answer.status_int == 201, answer.json
        return str(answer.json['security_group_rule']['id'])

    def make_subnet(self) -> None:
        subnet = {
            'network_id': self.network,
            'ip_version': 4,
            'cidr': '198.19.0.0/24',
            'enable_dhcp': False,
        }
        answer = self.call('POST', '/subnets', {'subnet': subnet})
        assert answer.status_int == 201, answer.json

    def ingress(self, group: str) -> list[wire.Rule]:
        rules = self.slice_ports().rules[group]
        return [r for r in rules if r.direction is wire.Direction.INGRESS]


class EffectiveTestCase(AskingTestCase):
    """What may pass at the ports of a slice."""

    def test_rules_of_a_port_come_and_go(self) -> None:
        group = self.make_group()
        port = self.make_port(security_groups=[group])
        (found,) = self.slice_ports().ports
        assert (found.port, found.instance) == (port['id'], port['device_id'])
        assert found.groups == (group,)
        assert found.secured
        assert self.ingress(group) == []
        self.add_rule(group, direction='egress', ethertype='IPv6')
        assert self.slice_ports().rules[group] == (
            wire.Rule(wire.Direction.EGRESS, 6),
        )
        rule = self.add_rule(
            group,
            protocol='tcp',
            port_range_min=22,
            port_range_max=22,
            remote_ip_prefix='198.18.0.0/15',
        )
        assert self.ingress(group) == [
            wire.Rule(wire.Direction.INGRESS, 4, 6, 22, 22, ('198.18.0.0/15',))
        ]
        self.call('DELETE', f'/security-group-rules/{rule}')
        assert self.ingress(group) == []

    def test_remote_group_is_its_members_addresses(self) -> None:
        self.make_subnet()
        friends = self.make_group()
        group = self.make_group({'remote_group_id': friends})
        self.make_port(security_groups=[group])
        (rule,) = self.ingress(group)
        assert rule.remotes == ()
        friend = self.make_port(
            security_groups=[friends], **{'binding:host_id': 'elsewhere'}
        )
        (rule,) = self.ingress(group)
        address = friend['fixed_ips'][0]['ip_address']
        assert rule.remotes == (address,)
        self.call('DELETE', f'/ports/{friend["id"]}')
        (rule,) = self.ingress(group)
        assert rule.remotes == ()

    def test_allowed_pair_is_an_address_of_the_port(self) -> None:
        self.make_subnet()
        port = self.make_port(
            allowed_address_pairs=[
                {'ip_address': '10.9.0.0/24'},
                {'ip_address': '10.8.0.1', 'mac_address': '02:00:00:00:00:01'},
            ]
        )
        (found,) = self.slice_ports().ports
        own = port['fixed_ips'][0]['ip_address']
        assert set(found.ips) == {own, '10.9.0.0/24'}

    def test_only_servers_of_the_slice_are_told_and_only_to_services(
        self,
    ) -> None:
        self.make_port(owner='network:f5lbaasv2')
        self.make_port(**{'binding:host_id': 'silver'})
        assert self.slice_ports() == wire.SlicePorts()
        for roles in ('member,reader', 'admin,member,reader'):
            assert self.ask(roles=roles).status_int in (403, 404)


IN, OUT = wire.Direction.INGRESS, wire.Direction.EGRESS
GROUP = 'some-group'
MEMBERS = {
    GROUP: {
        'IPv4': {('10.0.0.2', None), ('10.0.0.1', None)},
        'IPv6': {('2001:db8::1', None)},
    }
}


@pytest.mark.parametrize(
    ('said', 'rule'),
    [
        ({}, wire.Rule(IN, 4)),
        ({'ethertype': 'IPv6', 'direction': 'egress'}, wire.Rule(OUT, 6)),
        ({'protocol': 'any'}, wire.Rule(IN, 4)),
        ({'protocol': 'tcp'}, wire.Rule(IN, 4, 6)),
        ({'protocol': '47'}, wire.Rule(IN, 4, 47)),
        ({'protocol': 'vrrp'}, wire.Rule(IN, 4, 112)),
        ({'protocol': 'icmp', 'ethertype': 'IPv6'}, wire.Rule(IN, 6, 58)),
        ({'protocol': 'icmpv6', 'ethertype': 'IPv6'}, wire.Rule(IN, 6, 58)),
        (
            {'protocol': 'icmp', 'port_range_min': 8, 'port_range_max': 0},
            wire.Rule(IN, 4, 1, 8, 0),
        ),
        (
            {'source_ip_prefix': '0.0.0.0/0', 'dest_ip_prefix': '1.2.3.4'},
            wire.Rule(IN, 4, remotes=('0.0.0.0/0',)),
        ),
        (
            {'direction': 'egress', 'dest_ip_prefix': '10.0.0.0/8'},
            wire.Rule(OUT, 4, remotes=('10.0.0.0/8',)),
        ),
        (
            {'remote_group_id': GROUP},
            wire.Rule(IN, 4, remotes=('10.0.0.1', '10.0.0.2')),
        ),
        (
            {'remote_address_group_id': GROUP, 'ethertype': 'IPv6'},
            wire.Rule(IN, 6, remotes=('2001:db8::1',)),
        ),
        ({'remote_group_id': 'empty'}, wire.Rule(IN, 4, remotes=())),
    ],
)
def test_rule_of_neutron_becomes_one_of_ours(
    said: dict[str, Any], rule: wire.Rule
) -> None:
    plain = {'direction': 'ingress', 'ethertype': 'IPv4', 'stateful': True}
    assert effective.rule_to_wire(plain | said, MEMBERS) == rule


@pytest.mark.parametrize(
    'hostile',
    [
        {'direction': 'sideways'},
        {'ethertype': 'IPX'},
        {'protocol': 'tcp accept'},
        {'protocol': '256'},
        {'port_range_min': '22 accept'},
        {'port_range_max': 65536},
        {'source_ip_prefix': '0.0.0.0/0 accept; drop'},
    ],
)
def test_rule_that_nobody_can_read_lets_nothing_pass(
    hostile: dict[str, Any],
) -> None:
    plain = {'direction': 'ingress', 'ethertype': 'IPv4'}
    found = effective.slice_ports(
        (),
        {
            'security_groups': {'group': [plain | hostile, plain]},
            'sg_member_ips': {},
        },
        (),
    )
    assert found.rules == {'group': (wire.Rule(IN, 4),)}


def test_group_with_too_many_rules_does_not_hide_the_others() -> None:
    rules = [
        {
            'direction': 'ingress',
            'ethertype': 'IPv4',
            'protocol': 'tcp',
            'port_range_min': number,
            'port_range_max': number,
        }
        for number in range(wire.RULES_MAX + 1)
    ]
    found = effective.slice_ports(
        (),
        {
            'security_groups': {'long': rules, 'short': rules[:1]},
            'sg_member_ips': {},
        },
        (),
    )
    heard = msgspec.convert(msgspec.to_builtins(found), wire.SlicePorts)
    assert len(heard.rules['long']) == wire.RULES_MAX
    assert len(heard.rules['short']) == 1


class HeldTestCase(AskingTestCase):
    """Addresses of a server whose PC is out of reach."""

    def setUp(self) -> None:
        super().setUp()
        self.make_subnet()
        self.port = self.make_port()
        self.fixed_ips = self.port['fixed_ips']

    def hold(self, host: str = SLICE, roles: str = 'service') -> Any:
        return self.call(
            'PUT',
            f'/p2pcs-ports/{self.port["id"]}',
            {'p2pcs_port': {'host': host, 'held_on': 'pc-2'}},
            roles,
        )

    def release(self, port: str, roles: str = 'service') -> int:
        answer = self.call('DELETE', f'/p2pcs-ports/{port}', roles=roles)
        return int(answer.status_int)

    def address_is_free(self) -> bool:
        port = {
            'network_id': self.network,
            'fixed_ips': [
                {'ip_address': ip['ip_address']} for ip in self.fixed_ips
            ],
        }
        answer = self.call('POST', '/ports', {'port': port})
        assert answer.status_int in (201, 409), answer.json
        return bool(answer.status_int == 201)

    def test_address_is_held_from_before_the_deletion_until_released(
        self,
    ) -> None:
        assert self.hold().status_int == 200
        assert self.show(self.port)['fixed_ips'] == []
        assert not self.address_is_free()
        self.call('DELETE', f'/ports/{self.port["id"]}')
        assert not self.address_is_free()
        found = self.slice_ports()
        assert found.ports == ()
        (held,) = found.held
        assert held.instance == self.port['device_id']
        placeholder = self.show({'id': held.port})
        assert placeholder['fixed_ips'] == self.fixed_ips
        assert placeholder['device_owner'] == 'p2pcs:held'
        assert 'pc-2' in placeholder['name']
        assert self.release(held.port) == 204
        assert self.slice_ports() == wire.SlicePorts()
        assert self.address_is_free()

    def test_another_slice_cannot_hold_and_does_not_hear_of_it(self) -> None:
        assert self.hold(host='silver').status_int == 404
        assert self.show(self.port)['fixed_ips'] == self.fixed_ips
        self.hold()
        # Again is the same as once.
        assert self.hold().status_int == 200
        assert len(self.slice_ports().held) == 1
        answer = self.ask('silver').json['p2pcs_slice']
        assert answer['held'] == []

    def test_only_a_service_holds_and_releases(self) -> None:
        for roles in ('member,reader', 'admin,member,reader'):
            assert self.hold(roles=roles).status_int in (403, 404)
        assert self.show(self.port)['fixed_ips'] == self.fixed_ips
        # What is no placeholder cannot be released.
        assert self.release(self.port['id']) == 404
        assert self.show(self.port)['fixed_ips'] == self.fixed_ips
        self.hold()
        (held,) = self.slice_ports().held
        for roles in ('member,reader', 'admin,member,reader'):
            assert self.release(held.port, roles) in (403, 404)
        assert not self.address_is_free()

    def test_port_that_its_user_takes_away_is_not_the_slice_s(self) -> None:
        path = f'/ports/{self.port["id"]}'
        wish = {'port': {'device_owner': ''}}
        assert self.call('PUT', path, wish).status_int == 200
        assert self.slice_ports().ports == ()
        assert self.call('DELETE', path).status_int == 204
        assert self.address_is_free()

    def test_port_that_a_user_calls_so_is_no_placeholder(self) -> None:
        port = self.make_port(
            device_id='nobody/..', device_owner='p2pcs:held', description=SLICE
        )
        assert self.slice_ports().held == ()
        assert self.release(port['id']) == 404
        assert self.show(port)['fixed_ips'] == port['fixed_ips']

    def test_member_of_a_group_is_one_no_more_when_held(self) -> None:
        group = self.make_group()
        self.add_rule(group, remote_group_id=group)
        self.make_port(security_groups=[group])
        self.port = self.make_port(security_groups=[group])
        (rule,) = self.ingress(group)
        assert len(rule.remotes or ()) == 2
        self.hold()
        (rule,) = self.ingress(group)
        assert len(rule.remotes or ()) == 1


class NamedSlicesTestCase(SliceTestCase):
    """The slices are named in the configuration."""

    slices = (SLICE, '', 'bronze')

    def test_port_of_a_named_slice_is_bound(self) -> None:
        assert self.make_port()['binding:vif_type'] == 'tap'

    def test_port_of_a_part_of_a_named_slice_is_bound(self) -> None:
        port = self.make_port(**{'binding:host_id': f'{SLICE}-12'})
        assert port['binding:vif_type'] == 'tap'

    def test_host_that_is_no_slice_is_not_bound(self) -> None:
        for host in ('elsewhere', f'{SLICE}-x', f'{SLICE}-1'):
            port = self.make_port(**{'binding:host_id': host})
            assert port['binding:vif_type'] == 'binding_failed'
