# SPDX-License-Identifier: Apache-2.0
"""From network_data.json to the guest's plan, by the guest's own programs."""

import json
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[3]
PROGRAMS = ROOT / 'devstack/guest/rootfs/lib/guest'
MAC = 'fa:16:3e:00:00:0a'

pytestmark = pytest.mark.skipif(
    not shutil.which('busybox'), reason='busybox is not installed'
)


def plan(document: object) -> list[str]:
    text = json.dumps(document)
    for program in ('json.awk', 'network.awk'):
        text = subprocess.run(
            ['busybox', 'awk', '-f', PROGRAMS / program],
            input=text,
            text=True,
            capture_output=True,
            timeout=30,
            check=True,
        ).stdout
    return text.splitlines()


def link(name: str = 'tap1', mac: str = MAC, **more: object) -> object:
    fields = {'id': name, 'vif_id': 'v', 'type': 'bridge', 'mtu': 1450}
    return {**fields, 'ethernet_mac_address': mac, **more}


def net4(name: str = 'tap1', **more: object) -> object:
    return {
        'id': 'network0',
        'type': 'ipv4',
        'link': name,
        'ip_address': '198.19.0.7',
        'netmask': '255.254.0.0',
        'routes': [
            {
                'network': '0.0.0.0',
                'netmask': '0.0.0.0',
                'gateway': '198.18.0.1',
            },
            {
                'network': '10.1.2.0',
                'netmask': '255.255.255.0',
                'gateway': '198.18.0.9',
            },
        ],
        'network_id': 'n',
        'services': [{'type': 'dns', 'address': '198.18.0.3'}],
        **more,
    }


def test_address_routes_dns_and_mtu_of_one_card() -> None:
    assert plan(
        {
            'links': [link()],
            'networks': [net4()],
            'services': [
                {'type': 'dns', 'address': '198.18.0.3'},
                {'type': 'dns', 'address': '198.18.0.4'},
            ],
        }
    ) == [
        f'link {MAC} 1450',
        f'address {MAC} 198.19.0.7/15',
        f'route {MAC} default 198.18.0.1',
        f'route {MAC} 10.1.2.0/24 198.18.0.9',
        'dns 198.18.0.3',
        'dns 198.18.0.4',
    ]


def test_networks_find_their_card_by_the_link_and_not_by_order() -> None:
    second = 'fa:16:3e:00:00:0b'
    steps = plan(
        {
            'links': [link('a'), link('b', second.upper(), mtu=None)],
            'networks': [net4('b', routes=[]), net4('a', routes=[])],
            'services': [],
        }
    )
    assert steps[:4] == [
        f'link {MAC} 1450',
        f'link {second} -',
        f'address {second} 198.19.0.7/15',
        f'address {MAC} 198.19.0.7/15',
    ]


@pytest.mark.parametrize(
    ('netmask', 'prefix'),
    [
        ('ffff:ffff:ffff:ffff::', 64),
        ('ffff:ffff:ffff:fff0::', 60),
        ('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 128),
        ('64', 64),
        ('::', 0),
    ],
)
def test_ipv6_netmask_becomes_a_length(netmask: str, prefix: int) -> None:
    steps = plan(
        {
            'links': [link()],
            'networks': [
                {
                    'id': 'network0',
                    'type': 'ipv6_slaac',
                    'link': 'tap1',
                    'ip_address': '2001:db8::7',
                    'netmask': netmask,
                    'routes': [
                        {
                            'network': '::',
                            'netmask': '::',
                            'gateway': '2001:db8::1',
                        }
                    ],
                }
            ],
        }
    )
    assert steps[1:] == [
        f'address {MAC} 2001:db8::7/{prefix}',
        f'route {MAC} default 2001:db8::1',
    ]


def test_what_this_guest_cannot_do_is_said() -> None:
    steps = plan(
        {
            'links': [link(), link('bond0', type='bond')],
            'networks': [
                {'id': 'network0', 'type': 'ipv4_dhcp', 'link': 'tap1'},
                net4('bond0'),
                {'id': 'network2', 'type': 'ipv6_dhcp', 'link': 'tap1'},
            ],
        }
    )
    assert steps[1:5] == [
        'unsupported a link of type bond',
        f'dhcp {MAC}',
        'unsupported a network on link bond0',
        'unsupported a network of type ipv6_dhcp',
    ]


def test_no_networks_no_steps() -> None:
    assert plan({'links': [], 'networks': [], 'services': []}) == []


@pytest.mark.nova
def test_network_data_as_nova_itself_writes_it() -> None:
    model = pytest.importorskip('nova.network.model')
    netutils = pytest.importorskip('nova.virt.netutils')
    subnets = [
        model.Subnet(
            cidr='198.18.0.0/15',
            gateway=model.IP('198.18.0.1'),
            dns=[model.IP('198.18.0.3')],
            ips=[model.FixedIP(address='198.19.0.7')],
            routes=[],
        ),
        model.Subnet(
            cidr='2001:db8::/64',
            gateway=model.IP('2001:db8::1'),
            dns=[],
            ips=[model.FixedIP(address='2001:db8::7')],
            routes=[],
        ),
    ]
    vif = model.VIF(
        id='port',
        address=MAC,
        type='bridge',
        devname='tap1',
        network=model.Network(id='n', subnets=subnets, mtu=1500),
    )
    info = model.NetworkInfo([vif])
    assert plan(netutils.get_network_metadata(info)) == [
        f'link {MAC} 1500',
        f'address {MAC} 198.19.0.7/15',
        f'address {MAC} 2001:db8::7/64',
        f'route {MAC} default 198.18.0.1',
        f'route {MAC} default 2001:db8::1',
        'dns 198.18.0.3',
    ]
