# SPDX-License-Identifier: Apache-2.0
"""Between Nova's objects and the types of the wire.  Pure.

How Nova's ``_sync_instance_power_state`` acts on what we report (its
``vm_state`` from the database to the left; "–" is nothing):

==========  =======  ========  ===========  =========
vm_state    RUNNING  PAUSED    SHUTDOWN     NOSTATE
==========  =======  ========  ===========  =========
active      –        warning   stop API     warning
stopped     stop     stop      –            –
paused      –        –         force stop   –
suspended   –        –         –            –
building    –        –         –            –
==========  =======  ========  ===========  =========

Hence: a PC out of reach is NOSTATE, never SHUTDOWN; a VM that is being
built or whose fate is unknown is NOSTATE too.  SUSPENDED is reported of a
server that Nova suspends, and of no other (Nova would stop an active one):
that one is PAUSED.  A crash is SHUTDOWN: Nova handles both alike, but only
SHUTDOWN matches a lifecycle event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from nova.compute import power_state, task_states, vm_states
from nova.virt import event

from p2pcs_nova import wire

PHYSICAL_NETWORK = 'physical_network'
"""Key in a port's ``binding:vif_details``; our mechanism driver sets it."""

_POWER: Mapping[wire.InstanceState, int] = {
    wire.InstanceState.BUILDING: power_state.NOSTATE,
    wire.InstanceState.PLUGGED: power_state.NOSTATE,
    wire.InstanceState.RUNNING: power_state.RUNNING,
    wire.InstanceState.PAUSED: power_state.PAUSED,
    wire.InstanceState.SUSPENDED: power_state.SUSPENDED,
    wire.InstanceState.STOPPED: power_state.SHUTDOWN,
    wire.InstanceState.CRASHED: power_state.SHUTDOWN,
    wire.InstanceState.FAILED: power_state.NOSTATE,
    wire.InstanceState.WAITING: power_state.NOSTATE,
    wire.InstanceState.QUARANTINED: power_state.NOSTATE,
    wire.InstanceState.UNKNOWN: power_state.NOSTATE,
}


_SUSPENDING = (task_states.SUSPENDING, task_states.RESUMING)


class NotPluggable(Exception):
    """A port that no PC can plug; the message says which and why."""


def placed_to_power_state(placed: wire.Placed) -> int:
    """What Nova is told of an instance."""
    if not placed.reachable:
        return int(power_state.NOSTATE)
    return state_to_power_state(placed.status.state)


def state_to_power_state(state: wire.InstanceState) -> int:
    """What Nova is told of an instance on a PC within reach."""
    return _POWER[state]


def told_to_nova(instance: Any, found: int) -> int:
    """The power state that Nova may hear of this server of its."""
    suspends = (
        instance.vm_state == vm_states.SUSPENDED
        or instance.task_state in _SUSPENDING
    )
    if found == power_state.SUSPENDED and not suspends:
        return int(power_state.PAUSED)
    return found


def change_to_event(before: int, after: int) -> int | None:
    """The lifecycle transition between two power states, if Nova has one.

    Losing sight of an instance is no transition.
    """
    if before == after:
        return None
    if after == power_state.RUNNING:
        if before in (power_state.PAUSED, power_state.SUSPENDED):
            return int(event.EVENT_LIFECYCLE_RESUMED)
        return int(event.EVENT_LIFECYCLE_STARTED)
    if after == power_state.PAUSED:
        return int(event.EVENT_LIFECYCLE_PAUSED)
    if after == power_state.SHUTDOWN:
        return int(event.EVENT_LIFECYCLE_STOPPED)
    return None


def flavor_to_capacity(flavor: Any) -> wire.Capacity:
    """What a server of this flavor needs of a PC."""
    return wire.Capacity(
        vcpus=flavor.vcpus,
        memory_mb=flavor.memory_mb,
        disk_mb=flavor.root_gb * 1024,
    )


def vif_to_wire(vif: Any) -> wire.Vif:
    """One of Nova's VIFs as a PC plugs it.

    :raises NotPluggable: it is not bound by our mechanism driver, or not
        an ordinary port
    """
    port = vif['id']
    if vif['vnic_type'] != 'normal':
        raise NotPluggable(
            f'port {port}: vnic_type {vif["vnic_type"]} is not supported'
        )
    network = vif['details'].get(PHYSICAL_NETWORK)
    if not network:
        raise NotPluggable(
            f'port {port}: network {vif["network"]["label"]} is not a flat '
            'network bound by the p2pcs mechanism driver '
            f'(binding:vif_type is {vif["type"]})'
        )
    found = wire.Vif(
        port=port,
        mac=vif['address'].lower(),
        network=network,
        ips=tuple(ip['address'] for ip in vif.fixed_ips()),
    )
    mtu = vif['network'].get_meta('mtu')
    return msgspec.structs.replace(found, mtu=int(mtu)) if mtu else found


def instance_to_spec(
    instance: Any,
    image: wire.Image,
    machine: wire.Machine,
    vifs: tuple[wire.Vif, ...],
    config_drive: tuple[wire.ConfigFile, ...],
    group: wire.ServerGroup | None,
) -> wire.InstanceSpec:
    """All that a PC needs to build this server."""
    need = flavor_to_capacity(instance.flavor)
    return wire.InstanceSpec(
        instance=instance.uuid,
        name=instance.display_name or instance.uuid,
        need=need,
        image=image,
        root_mb=need.disk_mb,
        config_drive=config_drive,
        vifs=vifs,
        machine=machine,
        group=group,
    )


def spec_to_claim(spec: wire.InstanceSpec) -> wire.Claim:
    """What to ask the PCs of the slice for."""
    networks = dict.fromkeys(vif.network for vif in spec.vifs)
    return wire.Claim(
        instance=spec.instance,
        need=spec.need,
        networks=tuple(networks),
        image=spec.image.digest,
    )


def files_to_config_drive(
    files: Iterable[tuple[str, str | bytes]],
) -> tuple[wire.ConfigFile, ...]:
    """Nova's metadata files; text is UTF-8."""
    return tuple(
        wire.ConfigFile(
            path=path,
            content=data.encode() if isinstance(data, str) else data,
        )
        for path, data in files
    )


def diagnostics_to_legacy(found: wire.Diagnostics) -> dict[str, int]:
    """Diagnostics as API versions before 2.48 show them."""
    shown = {f'cpu{n}_time': time for n, time in enumerate(found.cpu_time_ns)}
    shown['memory'] = found.memory_mb * 1024
    shown['memory-actual'] = found.memory_used_mb * 1024
    for n, disk in enumerate(found.disks):
        name = f'disk{n}'
        shown[f'{name}_read'] = disk.read_bytes
        shown[f'{name}_read_req'] = disk.read_requests
        shown[f'{name}_write'] = disk.write_bytes
        shown[f'{name}_write_req'] = disk.write_requests
        shown[f'{name}_errors'] = disk.errors_count
    for n, nic in enumerate(found.nics):
        for way in ('rx', 'tx'):
            name = f'vnet{n}_{way}'
            shown[name] = getattr(nic, f'{way}_octets')
            for counter in ('packets', 'errors', 'drop'):
                shown[f'{name}_{counter}'] = getattr(nic, f'{way}_{counter}')
    return shown
