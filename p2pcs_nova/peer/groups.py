# SPDX-License-Identifier: Apache-2.0
"""What security groups let pass to and from a guest.  Pure.

The rules of one direction are a chain: it returns for what may begin, and
marks the rest.  A marked packet passes only if it belongs to what may go
on (see :mod:`p2pcs_nova.peer.filters`).

What no group has to allow, as with Neutron's own agents: ARP, the way to
an address by DHCP, and how IPv6 finds neighbours, routers and groups.
What a guest says of these is judged by :mod:`p2pcs_nova.peer.spoofing`.
"""

from __future__ import annotations

import functools

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import ip_sets

MARK = 0x70326370
"""Of packets that may not begin anything ("p2cp"): not the mark of
anybody else, we hope, on frames that cross a bridge."""

ICMP, TCP, UDP, DCCP, ICMP6, SCTP, UDPLITE = 1, 6, 17, 33, 58, 132, 136
_WITH_PORTS = (TCP, UDP, DCCP, SCTP, UDPLITE)
ICMP_MAX = 255
SETS = 32
"""Of addresses that are kept as text: many rules name the same group."""
_ICMP_OF = {4: ICMP, 6: ICMP6}

_ALWAYS = {
    wire.Direction.INGRESS: (
        'ether type arp return',
        'ether type ip udp sport 67 udp dport 68 return',
        'ether type ip6 udp sport 547 udp dport 546 return',
        # MLD, router advertisement, neighbour discovery.
        'icmpv6 type { 130, 131, 132, 134, 135, 136, 143 } return',
    ),
    wire.Direction.EGRESS: (
        'ether type arp return',
        'ether type ip udp sport 68 udp dport 67 return',
        'ether type ip6 udp sport 546 udp dport 547 return',
        # MLD, router solicitation, neighbour discovery.
        'icmpv6 type { 130, 131, 132, 133, 135, 136, 143 } return',
    ),
}


def chain(vif: wire.Vif, direction: wire.Direction) -> list[str]:
    """The rules for what a guest receives, or sends.

    :raises Malformed: a rule is none
    """
    allowed = {
        f'{_match(vif.port, rule)} return'
        for rule in vif.rules
        if rule.direction is direction and rule.remotes != ()
    }
    refuse = f'meta mark set {MARK:#x}'
    return [
        # A tag is taken off before IP is looked at: refuse it first.
        f'ether type {{ 0x8100, 0x88a8 }} {refuse} return',
        *_ALWAYS[direction],
        *sorted(allowed),
        refuse,
    ]


def _match(port: str, rule: wire.Rule) -> str:
    """What a rule lets pass."""
    family = 'ip' if rule.version == 4 else 'ip6'
    parts = [f'ether type {family}']
    if rule.remotes is not None:
        side = 'saddr' if rule.direction is wire.Direction.INGRESS else 'daddr'
        parts.append(f'{family} {side} {_remotes(rule.version, rule.remotes)}')
    if rule.protocol is not None:
        parts.append(f'meta l4proto {rule.protocol}')
    return ' '.join([*parts, *_ports(port, rule)])


@functools.lru_cache(SETS)
def _remotes(version: int, remotes: tuple[str, ...]) -> str:
    whose = f'a rule for IPv{version}'
    v4, v6 = ip_sets.parse(whose, remotes)
    if v6 if version == 4 else v4:
        raise errors.Malformed(f'{whose} names others')
    return ip_sets.set_text(v4) if version == 4 else ip_sets.set_text(v6)


def _ports(port: str, rule: wire.Rule) -> list[str]:
    first, last = rule.port_min, rule.port_max
    if first is None and last is None:
        return []
    if first is not None and rule.protocol == _ICMP_OF[rule.version]:
        name = 'icmp' if rule.version == 4 else 'icmpv6'
        code = [] if last is None else [f'{name} code {last}']
        if max(first, last or 0) <= ICMP_MAX:
            return [f'{name} type {first}', *code]
    elif (
        rule.protocol in _WITH_PORTS
        and first is not None
        and last is not None
        and first <= last
    ):
        return [f'th dport {first}-{last}']
    raise errors.Malformed(f'port {port}: a rule has ports that are none')
