# SPDX-License-Identifier: Apache-2.0
"""From Neutron's word on a slice to what its PCs are told.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from p2pcs_nova import wire

Filters = tuple[wire.PortFilter, ...]


def port_filters(known: wire.SlicePorts) -> Mapping[str, Filters]:
    """What may pass at the ports of each instance.

    In one order, so that the same is equal.
    """
    found: dict[str, list[wire.PortFilter]] = {}
    for port in sorted(known.ports, key=lambda port: port.port):
        found.setdefault(port.instance, []).append(_filter(port, known.rules))
    return {instance: tuple(ports) for instance, ports in found.items()}


def filtered(spec: wire.InstanceSpec, filters: Filters) -> wire.InstanceSpec:
    """The same instance, with its filters from the start.

    At a port of which nothing is said nothing may pass.
    """
    said = {one.port: one for one in filters}
    vifs = tuple(
        vif.with_filter(said[vif.port]) if vif.port in said else vif
        for vif in spec.vifs
    )
    return msgspec.structs.replace(spec, vifs=vifs)


def _filter(
    port: wire.SlicePort, rules: Mapping[str, Iterable[wire.Rule]]
) -> wire.PortFilter:
    mine = {
        rule
        for group in port.groups
        for rule in rules.get(group, ())
        if port.secured
    }
    return wire.PortFilter(
        port=port.port,
        ips=port.ips,
        secured=port.secured,
        # More would be refused as a whole: what was closed would stay open.
        rules=tuple(sorted(mine, key=msgspec.json.encode)[: wire.RULES_MAX]),
    )
