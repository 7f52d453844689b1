# SPDX-License-Identifier: Apache-2.0
"""Ports: ACTIVE when a PC has plugged them, and what a guest may send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from devstack.lab.inside.cloud import connect
from devstack.lab.layout import HOST_ADDRESS, SLICES
from devstack.lab.names import NETWORK
from p2pcs_nova.peer import networks
from tests.support import pcs, wire_tap
from tests.support.lab import Lab
from tests.support.servers import Bench, Server, wait_for_login
from tests.support.waiting import until

pytestmark = pytest.mark.lab

NOBODY = '198.19.254.77'
"""An address of the LAN that no server has."""
OTHER_MAC = '02:00:00:aa:bb:cc'
LEASES = '198.19.254.100'


@pytest.fixture(scope='module')
def pair(lab: Lab, module_bench: Bench) -> tuple[Server, Server]:
    """Two guests that one can log in at."""
    ids = [module_bench.create(f'pair-{n}') for n in (1, 2)]
    first, second = [module_bench.get(found) for found in ids]
    for server in (first, second):
        wait_for_login(lab, server)
    return first, second


@pytest.fixture
def port(lab: Lab) -> Iterator[Any]:
    """A port that demo has made beforehand."""
    network = lab.demo.network.find_network(NETWORK, ignore_missing=False)
    made = lab.demo.network.create_port(network_id=network.id, name='before')
    yield made
    lab.demo.network.delete_port(made)


def state(lab: Lab, port_id: str) -> str:
    """A port's status."""
    return str(lab.admin.network.get_port(port_id).status)


def bound_host(lab: Lab, port_id: str) -> str:
    """The slice that a port is bound to; '' if none."""
    return str(lab.admin.network.get_port(port_id).binding_host_id or '')


def test_port_is_active_when_plugged_and_not_before(
    lab: Lab, bench: Bench, port: Any
) -> None:
    machines = pcs.pcs(lab)
    assert state(lab, port.id) == 'DOWN'
    with pcs.stopped(*[(pc, 'libvirtd') for pc in machines.values()]):
        found = bench.create('plugged', networks=[{'port': port.id}])
        # Bound, on a PC that began to build, but no tap can be made.
        until(lambda: being_built(lab, found))
        assert bound_host(lab, port.id) in SLICES
        assert state(lab, port.id) == 'DOWN'
        assert bench.show(found).status == 'BUILD'
    bench.wait(found)
    assert state(lab, port.id) == 'ACTIVE'
    tap = networks.tap_name(port.id)
    holders = [
        name for name, pc in machines.items() if pcs.pc_has_link(lab, pc, tap)
    ]
    assert holders == [pcs.where(lab, found)]
    bench.delete(found)
    # The port is demo's: Nova gives it back unbound.
    until(lambda: bound_host(lab, port.id) == '')
    assert state(lab, port.id) == 'DOWN'


def being_built(lab: Lab, server_id: str) -> bool:
    """Whether a PC has a run right for it and has begun."""
    return any(
        row.instance == server_id and row.state == 'building'
        for pc in pcs.pcs(lab).values()
        for row in pcs.status(pc).instances
    )


def say_plugged(
    cloud: Connection, port_id: str, host: str, plugged: bool = True
) -> int:
    """Tell our extension; the answer's status."""
    body = {'p2pcs_port': {'host': host, 'plugged': plugged}}
    answer = cloud.network.put(f'/p2pcs-ports/{port_id}', json=body)
    return int(answer.status_code)


def test_users_may_not_say_that_a_port_is_plugged(
    lab: Lab, port: Any, pair: tuple[Server, Server]
) -> None:
    for cloud in (lab.demo, lab.admin):
        for one in (port.id, pair[0].port):
            assert say_plugged(cloud, one, SLICES[0]) in (403, 404)
            assert say_plugged(cloud, one, SLICES[0], False) in (403, 404)
    assert state(lab, port.id) == 'DOWN'
    assert state(lab, pair[0].port) == 'ACTIVE'


def test_a_service_may_not_say_so_for_another_host(
    lab: Lab, pair: tuple[Server, Server]
) -> None:
    words = json.loads(lab.layout.passwords.read_text())
    nova = connect('nova', words['nova'], 'service')
    own = bound_host(lab, pair[0].port)
    (other,) = set(SLICES) - {own}
    assert say_plugged(nova, pair[0].port, other, False) == 404
    assert state(lab, pair[0].port) == 'ACTIVE'
    assert say_plugged(nova, pair[0].port, own) == 200


def test_user_may_not_set_status_or_host(lab: Lab, port: Any) -> None:
    for wish in ({'status': 'ACTIVE'}, {'binding:host_id': SLICES[0]}):
        answer = lab.demo.network.put(f'/ports/{port.id}', json={'port': wish})
        with pytest.raises(exceptions.HttpException):
            exceptions.raise_from_response(answer)


def test_guests_hear_each_other(lab: Lab, pair: tuple[Server, Server]) -> None:
    first, second = pair
    said = lab.ssh(first.address, 'ping', '-c', '1', second.address)
    assert '1 packets received' in said


def test_arp_with_an_address_of_another_is_dropped(
    lab: Lab, pair: tuple[Server, Server]
) -> None:
    first, second = pair
    with wire_tap.listen() as tap:
        for address in (second.address, NOBODY):
            for kind in ('-U', '-A'):
                lab.ssh(
                    first.address,
                    f'arping {kind} -c 2 -w 3 -I eth0 -s {address} {address}'
                    ' || true',
                )
        lab.ssh(
            first.address,
            f'arping -U -c 1 -w 3 -I eth0 {first.address} || true',
        )
        tap.wait(is_own_arp(first))
        for address in (second.address, NOBODY):
            assert not tap.heard(spoofed_arp(first, address))
    known = lab.ssh(second.address, 'ip', 'neigh')
    assert NOBODY not in known


def is_own_arp(server: Server) -> Any:
    """ARP from a server with its own addresses."""
    by_ip, by_mac = (
        wire_tap.is_arp_of(server.address),
        wire_tap.is_from(server.mac),
    )
    return lambda frame: by_ip(frame) and by_mac(frame)


def spoofed_arp(server: Server, address: str) -> Any:
    """ARP from a server with somebody else's address."""
    by_ip, by_mac = wire_tap.is_arp_of(address), wire_tap.is_from(server.mac)
    return lambda frame: by_ip(frame) and by_mac(frame)


def test_packets_with_another_source_address_are_dropped(
    lab: Lab, pair: tuple[Server, Server]
) -> None:
    first, _ = pair
    try:
        lab.ssh(first.address, f'ip addr add {NOBODY}/15 dev eth0')
        with wire_tap.listen() as tap:
            lab.ssh(
                first.address,
                f'ping -c 2 -W 1 -I {NOBODY} {HOST_ADDRESS} || true',
            )
            lab.ssh(
                first.address, f'ping -c 1 -I {first.address} {HOST_ADDRESS}'
            )
            tap.wait(wire_tap.is_ip_of(first.address))
            assert not tap.heard(wire_tap.is_ip_of(NOBODY))
    finally:
        lab.ssh(first.address, f'ip addr del {NOBODY}/15 dev eth0')


def test_frames_with_another_mac_address_are_dropped(
    lab: Lab, pair: tuple[Server, Server]
) -> None:
    first, _ = pair
    # One command: the connection stands still while the address is wrong.
    # The count at the end says how many frames the guest did send.
    script = (
        'cd /sys/class/net/eth0/statistics; before=$(cat tx_packets);'
        f'ip link set eth0 address {OTHER_MAC};'
        f'arping -U -c 3 -w 4 -I eth0 {first.address};'
        f'ip link set eth0 address {first.mac};'
        f'arping -U -c 1 -w 4 -I eth0 {first.address};'
        'echo $(($(cat tx_packets) - before))'
    )
    with wire_tap.listen() as tap:
        sent = int(lab.ssh(first.address, script).split()[-1])
        assert sent >= 4
        tap.wait(is_own_arp(first))
        assert not tap.heard(wire_tap.is_from(OTHER_MAC))


@pytest.fixture
def dhcp_let_in(lab: Lab, pair: tuple[Server, Server]) -> Iterator[None]:
    """Questions for a DHCP server reach demo's guests."""
    (group,) = lab.demo.network.get_port(pair[0].port).security_group_ids
    rule = lab.demo.network.create_security_group_rule(
        security_group_id=group,
        direction='ingress',
        ethertype='IPv4',
        protocol='udp',
        port_range_min=67,
        port_range_max=67,
    )
    yield
    lab.demo.network.delete_security_group_rule(rule)


def test_answers_of_a_dhcp_server_are_dropped(
    lab: Lab, pair: tuple[Server, Server], dhcp_let_in: None
) -> None:
    first, _ = pair
    conf = (
        f'interface eth0\\nstart {LEASES}\\nend {LEASES}\\n'
        'lease_file /tmp/leases\\npidfile /tmp/udhcpd.pid\\n'
    )
    lab.ssh(
        first.address,
        f'printf "{conf}" >/tmp/conf; : >/tmp/leases;'
        'udhcpd -f -S /tmp/conf </dev/null >/tmp/said 2>&1 &',
    )
    try:
        with wire_tap.listen() as tap:

            def offered() -> bool:
                tap.send(wire_tap.dhcp_discover(OTHER_MAC))
                return 'OFFER' in lab.ssh(
                    first.address, 'cat /tmp/said; logread 2>/dev/null||true'
                )

            until(offered, poll_s=1.0)
            lab.ssh(first.address, f'ping -c 1 {HOST_ADDRESS}')
            tap.wait(wire_tap.is_ip_of(first.address))
            assert not tap.heard(wire_tap.is_dhcp_answer)
    finally:
        lab.ssh(first.address, 'kill $(cat /tmp/udhcpd.pid)')
