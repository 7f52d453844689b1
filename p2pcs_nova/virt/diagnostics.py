# SPDX-License-Identifier: Apache-2.0
"""A PC's counters as Nova's versioned object."""

from __future__ import annotations

from typing import Any

import msgspec
from nova.objects import diagnostics

from p2pcs_nova import wire
from p2pcs_nova.virt import translate

DRIVER = 'libvirt'
"""Nova's enumeration knows no other that fits."""


def to_object(found: wire.Diagnostics, config_drive: bool) -> Any:
    """Nova's object; it takes rates that we do not have as None.

    :param config_drive: whether the server has one
    """
    shown = diagnostics.Diagnostics(
        state=translate.state_to_power_state(found.state),
        driver=DRIVER,
        hypervisor='qemu',
        hypervisor_os='linux',
        uptime=found.uptime_s,
        config_drive=config_drive,
    )
    for number, time_ns in enumerate(found.cpu_time_ns):
        shown.add_cpu(id=number, time=time_ns)
    for nic in found.nics:
        counters = msgspec.structs.asdict(nic)
        shown.add_nic(mac_address=counters.pop('mac'), **counters)
    for disk in found.disks:
        shown.add_disk(**msgspec.structs.asdict(disk))
    shown.memory_details = diagnostics.MemoryDiagnostics(
        maximum=found.memory_mb, used=found.memory_used_mb
    )
    return shown
