# SPDX-License-Identifier: Apache-2.0
"""Which physical networks this PC can plug a guest into.

The owner makes the bridge; we look whether it is there and say what is
missing.  A Wi-Fi station cannot be bridged: its frames carry one address.

What crosses the bridge must be shown to nftables' inet family, which knows
connections: the kernel module br_netfilter does it, for every bridge if
its sysctls say so, and for ours by two flags of the bridge itself.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Mapping

SYSFS = pathlib.Path('/sys/class/net')
NETFILTER = pathlib.Path('/proc/sys/net/bridge')
"""There if br_netfilter is loaded."""
SHOWN = {
    'nf_call_iptables': 'bridge-nf-call-iptables',
    'nf_call_ip6tables': 'bridge-nf-call-ip6tables',
}
"""Flags of a bridge, and sysctls for all bridges: IPv4, IPv6."""


def show_to_netfilter(
    bridge_mappings: Mapping[str, str], sysfs: pathlib.Path = SYSFS
) -> None:
    """Set the flags of our bridges; :func:`find_networks` looks at them."""
    for bridge in bridge_mappings.values():
        for flag in SHOWN:
            with contextlib.suppress(OSError):
                (sysfs / bridge / 'bridge' / flag).write_text('1')


def find_networks(
    bridge_mappings: Mapping[str, str], sysfs: pathlib.Path = SYSFS
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The networks that can be offered, and reasons for the others."""
    offered, reasons = [], []
    for network, bridge in sorted(bridge_mappings.items()):
        if (sysfs / bridge / 'bridge').is_dir():
            hidden = _why_hidden(sysfs / bridge / 'bridge')
            if hidden:
                reasons.append(f'network {network}: {hidden}')
            else:
                offered.append(network)
        elif (sysfs / bridge).exists():
            reasons.append(
                f'network {network}: {bridge} is not a bridge'
                + _wifi_hint(sysfs / bridge)
            )
        else:
            reasons.append(
                f'network {network}: there is no bridge {bridge} on this PC'
            )
    if not bridge_mappings:
        wifi = [p.name for p in sysfs.iterdir() if _is_wifi(p)]
        reasons.append(
            'no network is offered: bridge_mappings names no bridge'
            + (f' (Wi-Fi {wifi[0]} cannot be bridged)' if wifi else '')
        )
    return tuple(offered), tuple(reasons)


def _why_hidden(bridge: pathlib.Path) -> str:
    """Why nftables does not see the connections that cross a bridge."""
    if not NETFILTER.is_dir():
        return 'guests cannot be filtered: run `modprobe br_netfilter`'
    for flag, sysctl in SHOWN.items():
        if not (_is_on(bridge / flag) or _is_on(NETFILTER / sysctl)):
            return f'guests cannot be filtered: {bridge / flag} is not 1'
    return ''


def _is_on(switch: pathlib.Path) -> bool:
    try:
        return switch.read_text().strip() == '1'
    except OSError:
        return False


def _is_wifi(interface: pathlib.Path) -> bool:
    return (interface / 'wireless').exists() or (
        interface / 'phy80211'
    ).exists()


def _wifi_hint(interface: pathlib.Path) -> str:
    return ', and Wi-Fi cannot be bridged' if _is_wifi(interface) else ''


def tap_name(port: str) -> str:
    """The tap of a Neutron port, named as Neutron's own agents do."""
    return f'tap{port[:11]}'
