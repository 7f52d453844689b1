# SPDX-License-Identifier: Apache-2.0
"""Addresses as nftables reads them.  Pure.

Whatever comes in is parsed and written anew: no text of others gets into
a rule.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import TypeVar

from p2pcs_nova import errors

N = TypeVar('N', ipaddress.IPv4Network, ipaddress.IPv6Network)
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse(
    whose: str, ips: Iterable[str]
) -> tuple[list[ipaddress.IPv4Network], list[ipaddress.IPv6Network]]:
    """Addresses and networks, by version of IP.

    :param whose: for the error
    :raises Malformed: one of them is no address
    """
    v4, v6 = [], []
    for ip in ips:
        try:
            network = ipaddress.ip_network(ip, strict=False)
        except ValueError as error:
            raise errors.Malformed(f'{whose}: {error}') from None
        if isinstance(network, ipaddress.IPv4Network):
            v4.append(network)
        else:
            v6.append(network)
    return v4, v6


def set_text(addresses: Sequence[N]) -> str:
    """An nftables set; overlapping networks would be refused."""
    merged = ipaddress.collapse_addresses(addresses)
    return '{ ' + ', '.join(network_text(n) for n in merged) + ' }'


def network_text(network: IpNetwork) -> str:
    """A network; one address without its length."""
    if network.num_addresses == 1:
        return str(network.network_address)
    return str(network)
