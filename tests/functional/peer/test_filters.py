# SPDX-License-Identifier: Apache-2.0
"""What crosses the bridge from a guest's tap, by real nftables."""

import pathlib
import sys
import uuid
from collections.abc import Iterator

import msgspec
import pytest
import trio

from p2pcs_nova import wire
from p2pcs_nova.peer import filters, groups, networks
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
IN, OUT = wire.Direction.INGRESS, wire.Direction.EGRESS
LET_OUT = (wire.Rule(OUT, 4), wire.Rule(OUT, 6))
LET_IN = (wire.Rule(IN, 4), wire.Rule(IN, 6))
TAP = f'tap{PORT.port[:11]}'
RA, NS, NA, REDIRECT = 134, 135, 136, 137

ALLOWED = {
    'arp of its own': frames.arp(MAC, MAC, OWN),
    'arp probe': frames.arp(MAC, MAC, '0.0.0.0', 1, OWN),
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
    'arp probe for another': frames.arp(MAC, MAC, '0.0.0.0', 1, '198.19.0.1'),
    'address of another': frames.udp4(MAC, '198.19.0.1', 5000, 53),
    'dhcp answer': frames.udp4(MAC, OWN, 67, 68),
    'dhcp answer of another port': frames.udp4(MAC, OWN, 5000, 68),
    'nobody': frames.udp4(MAC, '0.0.0.0', 5000, 53),
    'ipv6 of another': frames.udp6(MAC, '2001:db8::6', 5000, 53),
    'link-local of another': frames.udp6(MAC, 'fe80::1', 5000, 53),
    'dhcpv6 answer': frames.udp6(MAC, LOCAL, 547, 546),
    'dhcpv6 answer of another port': frames.udp6(MAC, LOCAL, 5000, 546),
    'router': frames.icmp6(MAC, LOCAL, RA),
    'redirect': frames.icmp6(MAC, LOCAL, REDIRECT, 'fe80::1'),
    'advertisement of another': frames.icmp6(MAC, LOCAL, NA, 'fe80::1'),
    'advertisement from nobody': frames.icmp6(MAC, '::', NA, LOCAL),
    'address detection of another': frames.icmp6(MAC, '::', NS, 'fe80::1'),
    'udp from nobody': frames.udp6(MAC, '::', 5000, 53),
    'vlan': frames.ethernet(
        MAC, 0x8100, b'\0\5' + frames.udp4(MAC, OWN, 5000, 53)[12:]
    ),
    'unknown protocol': frames.ethernet(MAC, 0x88B5, bytes(46)),
    'spanning tree': frames.ethernet(MAC, 0x0026, bytes(46)),
}


OFFICE = '198.19.0.9'
FRIEND = '198.19.0.10'
PC = '198.19.0.99'
WITHOUT_RULES = {
    'arp of its own',
    'arp probe',
    'dhcp request',
    'own advertisement',
    'own global one',
    'address detection',
}
"""What a guest needs to find and to have an address."""
UNSEEN = {'vlan', 'unknown protocol', 'spanning tree'}
"""What no rule can allow."""
CALLS = {
    'ssh of a friend': frames.udp4(OTHER, FRIEND, 5000, 22, OWN),
    'web of a friend': frames.udp4(OTHER, FRIEND, 5000, 80, OWN),
    'ssh of another': frames.udp4(OTHER, OFFICE, 5000, 22, OWN),
}


def query(port: int) -> bytes:
    """What a guest asks; another port is another connection."""
    return frames.udp4(MAC, OWN, port, 53, OFFICE)


def answers(port: int) -> dict[str, bytes]:
    """What comes back, and what only seems to."""
    return {
        'answer': frames.udp4(OTHER, OFFICE, 53, port, OWN),
        'strange': frames.udp4(OTHER, OFFICE, 54, port, OWN),
    }


def filtered(*rules: wire.Rule, secured: bool = True) -> wire.Vif:
    """The guest's port with these rules."""
    return msgspec.structs.replace(PORT, rules=rules, secured=secured)


@pytest.fixture
def wired(libvirtd: PrivateLibvirtd) -> Iterator[PrivateLibvirtd]:
    """A bridge between a guest's tap and a PC of the office."""
    script = f"""
        set -e
        for end in default all; do
            echo 1 > /proc/sys/net/ipv6/conf/$end/disable_ipv6
        done
        echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
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
    trio.run(wired.apply_filters, [filtered(*LET_OUT)])
    sent = ALLOWED | REFUSED
    assert cross(wired, 'guest9', 'office9', sent) == set(ALLOWED)


def test_pair_of_all_addresses_is_one_that_nft_takes(
    wired: PrivateLibvirtd,
) -> None:
    everywhere = ('0.0.0.0/0', '::/0')
    port = msgspec.structs.replace(filtered(*LET_OUT), ips=everywhere)
    trio.run(wired.apply_filters, [port])
    names = ('address of another', 'ipv6 of another', 'dhcp answer')
    sent = {name: REFUSED[name] for name in names}
    arrived = cross(wired, 'guest9', 'office9', sent)
    assert arrived == set(sent) - {'dhcp answer'}


def test_guest_receives_what_its_rules_allow(wired: PrivateLibvirtd) -> None:
    trio.run(wired.apply_filters, [filtered(*LET_IN)])
    sent = ALLOWED | REFUSED
    arrived = cross(wired, 'office9', 'guest9', sent)
    assert arrived == set(sent) - UNSEEN


def test_without_rules_a_guest_only_finds_its_address(
    wired: PrivateLibvirtd,
) -> None:
    trio.run(wired.apply_filters, [filtered()])
    sent = ALLOWED | REFUSED
    assert cross(wired, 'guest9', 'office9', sent) == WITHOUT_RULES
    sent = {**answers(5001), **CALLS}
    assert cross(wired, 'office9', 'guest9', sent) == set()


def test_nothing_passes_at_a_port_that_neutron_knows_no_more(
    wired: PrivateLibvirtd,
) -> None:
    [shut] = filters.with_rules([filtered(*LET_IN, *LET_OUT)], ())
    trio.run(wired.apply_filters, [shut])
    named = {name for name in ALLOWED if 'arp' in name or 'own' in name}
    sent = {name: ALLOWED[name] for name in named} | REFUSED
    left = {'own advertisement'}
    assert cross(wired, 'guest9', 'office9', sent) == left
    assert cross(wired, 'office9', 'guest9', CALLS) == set()


def test_rule_lets_in_whom_it_names_at_the_port_that_it_names(
    wired: PrivateLibvirtd,
) -> None:
    rule = wire.Rule(IN, 4, groups.UDP, 20, 22, (FRIEND,))
    trio.run(wired.apply_filters, [filtered(rule)])
    assert cross(wired, 'office9', 'guest9', CALLS) == {'ssh of a friend'}
    trio.run(wired.apply_filters, [filtered()])
    again = frames.udp4(OTHER, FRIEND, 5001, 22, OWN)
    assert cross(wired, 'office9', 'guest9', {'again': again}) == set()


def test_everywhere_is_written_as_a_network_of_length_zero(
    wired: PrivateLibvirtd,
) -> None:
    rule = wire.Rule(IN, 4, remotes=('0.0.0.0/0',))
    other = wire.Rule(IN, 6, remotes=('::/0',))
    trio.run(wired.apply_filters, [filtered(rule, other)])
    assert cross(wired, 'office9', 'guest9', CALLS) == set(CALLS)


def test_answers_come_in_without_a_rule(wired: PrivateLibvirtd) -> None:
    trio.run(wired.apply_filters, [filtered(*LET_OUT)])
    back = answers(5002)
    assert cross(wired, 'office9', 'guest9', back) == set()
    asked = {'query': query(5002)}
    assert cross(wired, 'guest9', 'office9', asked) == {'query'}
    assert cross(wired, 'office9', 'guest9', back) == {'answer'}


def test_where_connections_are_not_seen_nothing_is_open(
    wired: PrivateLibvirtd,
) -> None:
    no = 'echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables'
    wired.run('sh', '-c', no)
    trio.run(wired.apply_filters, [filtered(*LET_OUT)])
    asked = {'query': query(5003)}
    assert cross(wired, 'guest9', 'office9', asked) == {'query'}
    back = answers(5003) | CALLS
    assert cross(wired, 'office9', 'guest9', back) == set()
    # The flags of the bridge are enough.
    networks.show_to_netfilter({'office': 'br9'}, wired.sysfs)
    cross(wired, 'guest9', 'office9', {'query': query(5004)})
    assert cross(wired, 'office9', 'guest9', answers(5004)) == {'answer'}


def test_port_without_security_sends_and_receives_everything(
    wired: PrivateLibvirtd,
) -> None:
    trio.run(wired.apply_filters, [filtered(secured=False)])
    sent = ALLOWED | REFUSED
    assert cross(wired, 'guest9', 'office9', sent) == set(sent)
    assert cross(wired, 'office9', 'guest9', sent) == set(sent)


@pytest.mark.parametrize('secured', [True, False])
def test_guest_and_its_pc_do_not_see_each_other(
    wired: PrivateLibvirtd, secured: bool
) -> None:
    wired.run('ip', 'addr', 'add', f'{PC}/24', 'dev', 'br9')
    whom = {'pc': frames.arp(MAC, MAC, OWN, 1)}

    def is_heard() -> bool:
        """Whether the PC has heard the guest ask for its address."""
        wired.run('ip', 'neigh', 'flush', 'dev', 'br9')
        assert cross(wired, 'guest9', 'office9', whom) == {'pc'}
        return OWN in wired.run('ip', 'neigh', 'show', 'dev', 'br9')

    def hears() -> bool:
        """Whether the guest has heard the PC ask for his."""
        count = ('cat', '/sys/class/net/guest9/statistics/rx_packets')
        before = int(wired.run(*count))
        wired.run('sh', '-c', f'ping -c 1 -W 1 {OWN} || true')
        return int(wired.run(*count)) > before

    trio.run(wired.apply_filters, ())
    assert is_heard()
    assert hears()
    port = filtered(*LET_OUT, *LET_IN, secured=secured)
    trio.run(wired.apply_filters, [port])
    assert not is_heard()
    assert not hears()


def test_removed_port_leaves_no_rule(wired: PrivateLibvirtd) -> None:
    trio.run(wired.apply_filters, [filtered(*LET_IN)])
    trio.run(wired.apply_filters, ())
    rules = wired.run('nft', 'list', 'ruleset')
    assert TAP not in rules
    assert 'drop' not in rules
    assert 'mark' not in rules
