# SPDX-License-Identifier: Apache-2.0
"""What may pass at the ports of a slice, out of Neutron's own words.  Pure.

Neutron resolves remote groups and address groups for its agents; their
answer becomes the rules of our wire.  A rule that cannot be one of ours is
left out: what nobody can read lets nothing pass.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from neutron_lib import constants

from p2pcs_nova import wire

LOG = logging.getLogger(__name__)

Port = Mapping[str, Any]
"""A port as Neutron's API shows it."""
Members = Mapping[str, Mapping[str, Iterable[tuple[str, str | None]]]]
"""(address, MAC), by group and version of IP."""
REMOTE_PREFIX = {
    wire.Direction.INGRESS: 'source_ip_prefix',
    wire.Direction.EGRESS: 'dest_ip_prefix',
}
ANY_PROTOCOL = (None, 'any')
_ICMP_FOR_6 = (
    constants.PROTO_NAME_ICMP,
    str(constants.PROTO_NUM_ICMP),
    constants.PROTO_NAME_IPV6_ICMP_LEGACY,
)
"""Names of ICMP that stand for ICMPv6 in a rule for IPv6."""


def question(ports: Iterable[Port]) -> dict[str, dict[str, Any]]:
    """How Neutron wants to be asked for the rules of ports."""
    return {
        port['id']: {
            'security_groups': list(port['security_groups']),
            'fixed_ips': [ip['ip_address'] for ip in port['fixed_ips']],
            'security_group_rules': [],
        }
        for port in ports
        if is_secured(port)
    }


def is_secured(port: Port) -> bool:
    """Whether port security is on, as it is if nobody says."""
    return bool(port.get('port_security_enabled', True))


def slice_ports(
    ports: Iterable[Port], answer: Mapping[str, Any], held: Iterable[Port]
) -> wire.SlicePorts:
    """All that a compute driver wants to know of its slice.

    :param answer: Neutron's, to :func:`question`
    :param held: placeholders
    """
    members = answer['sg_member_ips']
    return wire.SlicePorts(
        ports=tuple(_port(port) for port in ports),
        rules={
            group: tuple(_rules(group, rules, members))
            for group, rules in sorted(answer['security_groups'].items())
        },
        held=tuple(
            wire.HeldAddresses(port['id'], port['device_id']) for port in held
        ),
    )


def _port(port: Port) -> wire.SlicePort:
    ips = [ip['ip_address'] for ip in port['fixed_ips']]
    # A pair with a MAC address of its own is not supported.
    ips += [
        pair['ip_address']
        for pair in port.get('allowed_address_pairs') or ()
        if pair['mac_address'].lower() == port['mac_address'].lower()
    ]
    return wire.SlicePort(
        port=port['id'],
        instance=port['device_id'],
        ips=tuple(ips),
        secured=is_secured(port),
        groups=tuple(sorted(port['security_groups'])),
    )


def _rules(
    group: str,
    rules: Iterable[Mapping[str, Any]],
    members: Members,
) -> list[wire.Rule]:
    found = []
    for rule in rules:
        try:
            found.append(rule_to_wire(rule, members))
        except (ValueError, KeyError) as error:
            LOG.warning(
                'A rule of security group %s lets nothing pass: %r (%s)',
                group,
                rule,
                error,
            )
    if len(found) > wire.RULES_MAX:
        # Whoever hears of one group too long would take none of any.
        LOG.warning(
            'Security group %s has %d rules: only %d of them count',
            group,
            len(found),
            wire.RULES_MAX,
        )
    return found[: wire.RULES_MAX]


def rule_to_wire(rule: Mapping[str, Any], members: Members) -> wire.Rule:
    """One rule, as Neutron tells its agents.

    :param members: whom remote groups stand for
    :raises ValueError: it is none that we can read
    """
    direction = wire.Direction(rule['direction'])
    version = {constants.IPv4: 4, constants.IPv6: 6}[rule['ethertype']]
    prefix = rule.get(REMOTE_PREFIX[direction])
    group = rule.get('remote_group_id') or rule.get('remote_address_group_id')
    remotes = None
    if group is not None:
        of_group = members.get(group, {}).get(rule['ethertype'], ())
        remotes = sorted({str(member[0]) for member in of_group})
    elif prefix is not None:
        remotes = [str(prefix)]
    # Through its builtins, so that the limits of the wire are checked.
    return msgspec.convert(
        {
            'direction': direction,
            'version': version,
            'protocol': _protocol(rule.get('protocol'), version),
            'port_min': rule.get('port_range_min'),
            'port_max': rule.get('port_range_max'),
            'remotes': remotes,
        },
        wire.Rule,
    )


def _protocol(protocol: Any, version: int) -> int | None:
    if protocol in ANY_PROTOCOL:
        return None
    if version == 6 and protocol in _ICMP_FOR_6:
        return int(constants.PROTO_NUM_IPV6_ICMP)
    known = constants.IP_PROTOCOL_MAP.get(protocol)
    return int(protocol if known is None else known)
