# SPDX-License-Identifier: Apache-2.0
"""What crosses the bridge from a guest's tap, by real nftables."""

import pathlib
import sys
import uuid
from collections.abc import Iterator

import pytest
import trio

from p2pcs_nova import wire
from tests.support import frames
from tests.support.private_libvirtd import PrivateLibvirtd

pytestmark = pytest.mark.libvirt

MAC = 'fa:16:3e:00:00:01'
OTHER = 'fa:16:3e:00:00:02'
OWN = '198.19.0.5'
LOCAL = 'fe80::f816:3eff:fe00:1'
PORT = wire.Vif(
    port=str(uuid.UUID(int=0xABC << 116)),
    mac=MAC,
    network='office',
    ips=(OWN, '10.9.0.0/24', '2001:db8::5'),
)
TAP = f'tap{PORT.port[:11]}'
RA, NS, NA, REDIRECT = 134, 135, 136, 137

ALLOWED = {
    'arp of its own': frames.arp(MAC, MAC, OWN),
    'arp probe': frames.arp(MAC, MAC, '0.0.0.0', 1),
    'own address': frames.udp4(MAC, OWN, 5000, 53),
    'allowed pair': frames.udp4(MAC, '10.9.0.77', 5000, 53),
    'dhcp request': frames.udp4(MAC, '0.0.0.0', 68, 67),
    'own ipv6': frames.udp6(MAC, '2001:db8::5', 5000, 53),
    'link-local': frames.udp6(MAC, LOCAL, 5000, 53),
    'own advertisement': frames.icmp6(MAC, LOCAL, NA, LOCAL),
    'own global one': frames.icmp6(MAC, '2001:db8::5', NA, '2001:db8::5'),
    'address detection': frames.icmp6(MAC, '::', NS, LOCAL),
}
REFUSED = {
    'mac': frames.udp4(OTHER, OWN, 5000, 53),
    'arp sender mac': frames.arp(MAC, OTHER, OWN),
    'arp of another': frames.arp(MAC, MAC, '198.19.0.1'),
    'address of another': frames.udp4(MAC, '198.19.0.1', 5000, 53),
    'dhcp answer': frames.udp4(MAC, OWN, 67, 68),
    'nobody': frames.udp4(MAC, '0.0.0.0', 5000, 53),
    'ipv6 of another': frames.udp6(MAC, '2001:db8::6', 5000, 53),
    'link-local of another': frames.udp6(MAC, 'fe80::1', 5000, 53),
    'dhcpv6 answer': frames.udp6(MAC, LOCAL, 547, 546),
    'router': frames.icmp6(MAC, LOCAL, RA),
    'redirect': frames.icmp6(MAC, LOCAL, REDIRECT, 'fe80::1'),
    'advertisement of another': frames.icmp6(MAC, LOCAL, NA, 'fe80::1'),
    'advertisement from nobody': frames.icmp6(MAC, '::', NA, LOCAL),
    'udp from nobody': frames.udp6(MAC, '::', 5000, 53),
    'vlan': frames.ethernet(
        MAC, 0x8100, b'\0\5' + frames.udp4(MAC, OWN, 5000, 53)[12:]
    ),
    'unknown protocol': frames.ethernet(MAC, 0x88B5, bytes(46)),
    'spanning tree': frames.ethernet(MAC, 0x0026, bytes(46)),
}


@pytest.fixture
def wired(libvirtd: PrivateLibvirtd) -> Iterator[PrivateLibvirtd]:
    """A bridge between a guest's tap and a PC of the office."""
    script = f"""
        set -e
        for end in default all; do
            echo 1 > /proc/sys/net/ipv6/conf/$end/disable_ipv6
        done
        ip link add br9 type bridge
        ip link add guest9 type veth peer name {TAP}
        ip link add office9 type veth peer name lan9
        ip link set {TAP} master br9
        ip link set lan9 master br9
        for link in br9 guest9 {TAP} office9 lan9; do
            ip link set $link up
        done
    """
    libvirtd.run('sh', '-c', script)
    yield libvirtd
    for link in ('guest9', 'office9', 'br9'):
        libvirtd.run('ip', 'link', 'del', link)
    trio.run(libvirtd.apply_filters, ())


def cross(
    libvirtd: PrivateLibvirtd, out: str, into: str, sent: dict[str, bytes]
) -> set[str]:
    """The names of the frames that arrive."""
    answer = libvirtd.run(
        sys.executable,
        str(pathlib.Path(frames.__file__)),
        out,
        into,
        given='\n'.join(frame.hex() for frame in sent.values()),
    )
    return {list(sent)[int(number)] for number in answer.split()}


def test_without_filters_everything_crosses(wired: PrivateLibvirtd) -> None:
    sent = ALLOWED | REFUSED
    assert cross(wired, 'guest9', 'office9', sent) == set(sent)


def test_guest_sends_only_what_is_its_own(wired: PrivateLibvirtd) -> None:
    trio.run(wired.apply_filters, [PORT])
    sent = ALLOWED | REFUSED
    assert cross(wired, 'guest9', 'office9', sent) == set(ALLOWED)


def test_guest_receives_everything(wired: PrivateLibvirtd) -> None:
    trio.run(wired.apply_filters, [PORT])
    sent = ALLOWED | REFUSED
    assert cross(wired, 'office9', 'guest9', sent) == set(sent)


def test_removed_port_leaves_no_rule(wired: PrivateLibvirtd) -> None:
    trio.run(wired.apply_filters, [PORT])
    trio.run(wired.apply_filters, ())
    rules = wired.run('nft', 'list', 'table', 'bridge', 'p2pcs')
    assert TAP not in rules
    assert 'drop' not in rules
