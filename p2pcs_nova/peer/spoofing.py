# SPDX-License-Identifier: Apache-2.0
"""What a guest may send: its own addresses, and no answers of a server.

A guest may send with its MAC address; ARP and IPv4 with its addresses;
IPv6 with its addresses and the link-local address of its MAC (RFC 4291,
appendix A).  While it has no address yet, it may ask for its own ones only:
whoever asks so for another's keeps its owner from having it (RFC 5227,
section 2.1.1; RFC 4862, section 5.4.3).  It may not answer DHCP or DHCPv6,
from whatever port: clients look at their own.  It may not advertise
routers, redirect, or send any other protocol.  Pure.
"""

from __future__ import annotations

import ipaddress

from p2pcs_nova import wire
from p2pcs_nova.peer import ip_sets

NO_ADDRESS_YET = ('nd-router-solicit', 'mld2-listener-report')


def rules(vif: wire.Vif) -> list[str]:
    """The rules for frames that come from a port's tap.

    :raises Malformed: an address of the port is not one
    """
    v4, v6 = ip_sets.parse(f'port {vif.port}', vif.ips)
    v6 = [*v6, ipaddress.IPv6Network(link_local(vif.mac))]
    found = [
        # A tag is taken off before IP is looked at: refuse it first.
        'ether type { 0x8100, 0x88a8 } drop',
        f'ether saddr != {vif.mac} drop',
        f'arp saddr ether != {vif.mac} drop',
    ]
    if v4:
        own = ip_sets.set_text(v4)
        found += [
            f'arp saddr ip 0.0.0.0 arp daddr ip {own} accept',
            f'arp saddr ip {own} accept',
        ]
    found += [
        # A DHCP server's answers, and a client that has no address yet.
        'ether type ip udp sport 67 drop',
        'ether type ip udp dport 68 drop',
        'ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept',
    ]
    if v4:
        found.append(f'ip saddr {ip_sets.set_text(v4)} accept')
    return [
        *found,
        'ether type ip6 udp sport 547 drop',
        'ether type ip6 udp dport 546 drop',
        'icmpv6 type { nd-router-advert, nd-redirect } drop',
        *[_advertises(network) for network in v6],
        'icmpv6 type nd-neighbor-advert drop',
        *[_looks_for(network) for network in v6],
        # Group reports, and who asks for a router, may have no address.
        f'ip6 saddr :: icmpv6 type {{ {", ".join(NO_ADDRESS_YET)} }} accept',
        f'ip6 saddr {ip_sets.set_text(v6)} accept',
        'drop',
    ]


def _advertises(network: ip_sets.IpNetwork) -> str:
    """A neighbour advertisement for an address of the guest's own."""
    return (
        'icmpv6 type nd-neighbor-advert '
        f'ip6 saddr {ip_sets.network_text(network)} '
        f'{_names(network)}accept'
    )


def _looks_for(network: ip_sets.IpNetwork) -> str:
    """Whether anybody has an address that is to be the guest's own."""
    return (
        f'icmpv6 type nd-neighbor-solicit ip6 saddr :: {_names(network)}accept'
    )


def _names(network: ip_sets.IpNetwork) -> str:
    """The target address of a neighbour message is one of these.

    It follows the first 8 bytes of ICMPv6 (RFC 4861, sections 4.3 and 4.4).
    """
    bits = network.prefixlen
    if not bits:
        # nft cannot compare nothing, and ends.
        return ''
    value = int(network.network_address) >> (128 - bits)
    return f'@th,64,{bits} {value:#x} '


def link_local(mac: str) -> ipaddress.IPv6Address:
    """The link-local address that a guest makes of its MAC (EUI-64)."""
    octets = bytes.fromhex(mac.replace(':', ''))
    eui = bytes([octets[0] ^ 2]) + octets[1:3] + b'\xff\xfe' + octets[3:]
    return ipaddress.IPv6Address(b'\xfe\x80' + bytes(6) + eui)
