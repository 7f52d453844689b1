# SPDX-License-Identifier: Apache-2.0
"""What a guest may send: its own addresses, and no answers of a server.

A guest may send with its MAC address; ARP and IPv4 with its addresses
(and 0.0.0.0 while it looks for one); IPv6 with its addresses and the
link-local address of its MAC (RFC 4291, appendix A).  It may not answer
DHCP or DHCPv6, advertise routers, redirect, or send any other protocol.
Pure.
"""

from __future__ import annotations

import ipaddress

from p2pcs_nova import wire
from p2pcs_nova.peer import ip_sets

NO_ADDRESS_YET = (
    'nd-neighbor-solicit',
    'nd-router-solicit',
    'mld2-listener-report',
)
UNSPECIFIED = ipaddress.IPv4Network(0)
"""Whoever looks for an address has this one."""


def rules(vif: wire.Vif) -> list[str]:
    """The rules for frames that come from a port's tap.

    :raises Malformed: an address of the port is not one
    """
    v4, v6 = ip_sets.parse(vif.port, vif.ips)
    v6 = [*v6, ipaddress.IPv6Network(link_local(vif.mac))]
    found = [
        # A tag is taken off before IP is looked at: refuse it first.
        'ether type { 0x8100, 0x88a8 } drop',
        f'ether saddr != {vif.mac} drop',
        f'arp saddr ether != {vif.mac} drop',
        f'arp saddr ip != {ip_sets.set_text([*v4, UNSPECIFIED])} drop',
        'ether type arp accept',
        # A DHCP server's answers, and a client that has no address yet.
        'ether type ip udp sport 67 drop',
        'ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept',
    ]
    if v4:
        found.append(f'ip saddr {ip_sets.set_text(v4)} accept')
    return [
        *found,
        'ether type ip6 udp sport 547 drop',
        'icmpv6 type { nd-router-advert, nd-redirect } drop',
        *[_advertises(network) for network in v6],
        'icmpv6 type nd-neighbor-advert drop',
        # Duplicate address detection and group reports have no address.
        f'ip6 saddr :: icmpv6 type {{ {", ".join(NO_ADDRESS_YET)} }} accept',
        f'ip6 saddr {ip_sets.set_text(v6)} accept',
        'drop',
    ]


def _advertises(network: ip_sets.IpNetwork) -> str:
    """A neighbour advertisement for an address of the guest's own.

    The target address follows the first 8 bytes of ICMPv6 (RFC 4861,
    section 4.4).
    """
    bits = network.prefixlen
    value = int(network.network_address) >> (128 - bits)
    return (
        f'icmpv6 type nd-neighbor-advert '
        f'ip6 saddr {ip_sets.network_text(network)} '
        f'@th,64,{bits} {value:#x} accept'
    )


def link_local(mac: str) -> ipaddress.IPv6Address:
    """The link-local address that a guest makes of its MAC (EUI-64)."""
    octets = bytes.fromhex(mac.replace(':', ''))
    eui = bytes([octets[0] ^ 2]) + octets[1:3] + b'\xff\xfe' + octets[3:]
    return ipaddress.IPv6Address(b'\xfe\x80' + bytes(6) + eui)
