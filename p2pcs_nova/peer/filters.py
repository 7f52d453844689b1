# SPDX-License-Identifier: Apache-2.0
"""What a guest may send: its own addresses, and no answers of a server.

One nftables table of the bridge family holds the rules of every tap of
this PC.  It is always replaced as a whole, in one transaction, so that
the same set of taps gives the same table however we got there and no
packet sees a table half made.  Rules name taps by name and are in place
before a tap exists.

A guest may send with its MAC address; ARP and IPv4 with its addresses
(and 0.0.0.0 while it looks for one); IPv6 with its addresses and the
link-local address of its MAC (RFC 4291, appendix A).  It may not answer
DHCP or DHCPv6, advertise routers, redirect, or send any other protocol.
"""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import networks

TABLE = 'p2pcs'
NFT_TIMEOUT_S = 10.0

NO_ADDRESS_YET = (
    'nd-neighbor-solicit',
    'nd-router-solicit',
    'mld2-listener-report',
)
UNSPECIFIED = ipaddress.IPv4Network(0)
"""Whoever looks for an address has this one."""

Apply = Callable[[Iterable[wire.Vif]], Awaitable[None]]
N = TypeVar('N', ipaddress.IPv4Network, ipaddress.IPv6Network)
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def render(vifs: Iterable[wire.Vif]) -> str:
    """The input of ``nft -f`` that makes the table of these ports.

    :raises Malformed: an address of a port is not one
    """
    ports = sorted(vifs, key=lambda vif: vif.port)
    lines = [
        # Declared first so that deleting it cannot fail.
        f'table bridge {TABLE} {{ }}',
        f'delete table bridge {TABLE}',
        f'table bridge {TABLE} {{',
    ]
    for vif in ports:
        lines += [f'  chain {_chain(vif)} {{']
        lines += [f'    {rule}' for rule in _rules(vif)]
        lines += ['  }']
    lines += ['  chain guests {']
    lines += ['    type filter hook prerouting priority -250; policy accept;']
    lines += [
        f'    iifname "{networks.tap_name(vif.port)}" goto {_chain(vif)}'
        for vif in ports
    ]
    lines += ['  }', '}', '']
    return '\n'.join(lines)


def _chain(vif: wire.Vif) -> str:
    return f'from-{networks.tap_name(vif.port)}'


def _rules(vif: wire.Vif) -> list[str]:
    v4, v6 = _addresses(vif)
    v6 = [*v6, ipaddress.IPv6Network(link_local(vif.mac))]
    own6 = _set(v6)
    rules = [
        # A tag is taken off before IP is looked at: refuse it first.
        'ether type { 0x8100, 0x88a8 } drop',
        f'ether saddr != {vif.mac} drop',
        f'arp saddr ether != {vif.mac} drop',
        f'arp saddr ip != {_set([*v4, UNSPECIFIED])} drop',
        'ether type arp accept',
        # A DHCP server's answers, and a client that has no address yet.
        'ether type ip udp sport 67 drop',
        'ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept',
    ]
    if v4:
        rules.append(f'ip saddr {_set(v4)} accept')
    return [
        *rules,
        'ether type ip6 udp sport 547 drop',
        'icmpv6 type { nd-router-advert, nd-redirect } drop',
        *[_advertises(network) for network in v6],
        'icmpv6 type nd-neighbor-advert drop',
        # Duplicate address detection and group reports have no address.
        f'ip6 saddr :: icmpv6 type {{ {", ".join(NO_ADDRESS_YET)} }} accept',
        f'ip6 saddr {own6} accept',
        'drop',
    ]


def _advertises(network: IpNetwork) -> str:
    """A neighbour advertisement for an address of the guest's own.

    The target address follows the first 8 bytes of ICMPv6 (RFC 4861,
    section 4.4).
    """
    bits = network.prefixlen
    value = int(network.network_address) >> (128 - bits)
    return (
        f'icmpv6 type nd-neighbor-advert ip6 saddr {_text(network)} '
        f'@th,64,{bits} {value:#x} accept'
    )


def _addresses(
    vif: wire.Vif,
) -> tuple[list[ipaddress.IPv4Network], list[ipaddress.IPv6Network]]:
    v4, v6 = [], []
    for ip in vif.ips:
        try:
            network = ipaddress.ip_network(ip, strict=False)
        except ValueError as error:
            raise errors.Malformed(f'port {vif.port}: {error}') from None
        if isinstance(network, ipaddress.IPv4Network):
            v4.append(network)
        else:
            v6.append(network)
    return v4, v6


def _set(addresses: Sequence[N]) -> str:
    """An nftables set; overlapping networks would be refused."""
    merged = ipaddress.collapse_addresses(addresses)
    return '{ ' + ', '.join(_text(n) for n in merged) + ' }'


def _text(network: IpNetwork) -> str:
    if network.num_addresses == 1:
        return str(network.network_address)
    return str(network)


def link_local(mac: str) -> ipaddress.IPv6Address:
    """The link-local address that a guest makes of its MAC (EUI-64)."""
    octets = bytes.fromhex(mac.replace(':', ''))
    eui = bytes([octets[0] ^ 2]) + octets[1:3] + b'\xff\xfe' + octets[3:]
    return ipaddress.IPv6Address(b'\xfe\x80' + bytes(6) + eui)


async def apply(
    vifs: Iterable[wire.Vif], nft: Sequence[str] = ('nft',)
) -> None:
    """Make the table of exactly these ports.

    :param nft: the command, in another network namespace perhaps
    :raises HypervisorFailed: nft refused or is missing; the table is as
        it was
    """
    text = render(vifs)
    try:
        with trio.fail_after(NFT_TIMEOUT_S):
            done = await trio.run_process(
                [*nft, '-f', '-'],
                stdin=text.encode(),
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                check=False,
            )
    except OSError as error:
        raise errors.HypervisorFailed(f'nft: {error}') from None
    except trio.TooSlowError:
        raise errors.HypervisorFailed('nft did not answer') from None
    if done.returncode:
        said = done.stdout.decode(errors='replace').strip()
        raise errors.HypervisorFailed(f'nft refused the filters: {said}')


class Filters:
    """The ports of this PC and the table that matches them.

    :param apply: makes the table of exactly these ports
    """

    def __init__(self, apply: Apply = apply) -> None:
        self._apply = apply
        self._lock = trio.Lock()
        self._ports: dict[str, tuple[wire.Vif, ...]] = {}

    async def restore(self, ports: Mapping[str, tuple[wire.Vif, ...]]) -> None:
        """The ports of all instances, after a start of the daemon."""
        async with self._lock:
            await self._replace(dict(ports))

    async def set(self, instance: str, vifs: tuple[wire.Vif, ...]) -> None:
        """Add the ports of an instance, before its taps exist."""
        async with self._lock:
            await self._replace({**self._ports, instance: vifs})

    async def clear(self, instance: str) -> None:
        """Remove them, when its taps are gone."""
        async with self._lock:
            left = {k: v for k, v in self._ports.items() if k != instance}
            await self._replace(left)

    async def _replace(self, ports: dict[str, tuple[wire.Vif, ...]]) -> None:
        await self._apply([vif for vifs in ports.values() for vif in vifs])
        self._ports = ports
