# SPDX-License-Identifier: Apache-2.0
"""Which physical networks this PC can plug a guest into.

The owner makes the bridge; we look whether it is there and say what is
missing.  A Wi-Fi station cannot be bridged: its frames carry one address.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

SYSFS = pathlib.Path('/sys/class/net')


def find_networks(
    bridge_mappings: Mapping[str, str], sysfs: pathlib.Path = SYSFS
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The networks that can be offered, and reasons for the others."""
    offered, reasons = [], []
    for network, bridge in sorted(bridge_mappings.items()):
        if (sysfs / bridge / 'bridge').is_dir():
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


def _is_wifi(interface: pathlib.Path) -> bool:
    return (interface / 'wireless').exists() or (
        interface / 'phy80211'
    ).exists()


def _wifi_hint(interface: pathlib.Path) -> str:
    return ', and Wi-Fi cannot be bridged' if _is_wifi(interface) else ''


def tap_name(port: str) -> str:
    """The tap of a Neutron port, named as Neutron's own agents do."""
    return f'tap{port[:11]}'
