# SPDX-License-Identifier: Apache-2.0
"""Which address of this machine others reach it at."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence

from gossip.descriptor import Address, check_address


class NoAddress(ValueError):
    """No address could be found; says which option to set."""


def parse_seeds(seeds: Iterable[str]) -> list[Address]:
    """``host:port`` texts as addresses; what is none is left out."""
    found = []
    for seed in seeds:
        host, _, port = seed.rpartition(':')
        host = host.strip('[]')
        try:
            found.append(check_address(Address(host, int(port))))
        except ValueError:
            continue
    return found


def own_address(
    advertised: str, bound: str, port: int, seeds: Sequence[Address]
) -> Address:
    """Where others reach this daemon.

    The advertised address, else the one that is bound, else the source
    address of the route to a seed.

    :raises NoAddress: none of them says
    """
    for host in (advertised, bound):
        if host and not ipaddress.ip_address(host).is_unspecified:
            return Address(host, port)
    for seed in seeds:
        host = _source_to(seed)
        if host:
            return Address(host, port)
    raise NoAddress(
        'no route to any seed tells the address of this machine: set '
        'advertise_address in p2pcs.conf'
    )


def _source_to(seed: Address) -> str:
    family = socket.AF_INET6 if ':' in seed.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(seed)
        except OSError:
            return ''
        return str(sock.getsockname()[0])
