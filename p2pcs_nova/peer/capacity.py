# SPDX-License-Identifier: Apache-2.0
"""What a PC offers: what it has, less what its owner keeps.

Pure: the caller measures the hardware.  Whatever makes the offer smaller
than one would expect is said in words, for the owner and the operator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from p2pcs_nova import wire


@dataclasses.dataclass(frozen=True)
class OwnerRules:
    """Section ``[owner]`` of p2pcs.conf: None means what the PC has."""

    vcpus: int | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    keep_vcpus: int = 1
    keep_memory_mb: int = 2048
    keep_disk_mb: int = 10240
    attributes: wire.Attributes = dataclasses.field(default_factory=dict)
    bridge_mappings: Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )
    """Physical network to bridge."""


@dataclasses.dataclass(frozen=True)
class Hardware:
    """What libvirt, the kernel and the file system say of this PC."""

    cpus: int
    memory_mb: int
    memory_left_mb: int
    """Not in use by anybody else: free, or held by our guests."""
    disk_mb: int
    """Free on the file system of the state folder, plus what we hold."""
    arch: str = 'x86_64'
    cpu_model: str = ''
    hypervisor_version: int = 0


@dataclasses.dataclass(frozen=True)
class Finding:
    """An offer, and every reason why it is not more."""

    offer: wire.Offer
    reasons: tuple[str, ...] = ()


def nothing(reason: str) -> wire.Offer:
    """The offer of a PC that cannot run anything now."""
    return wire.Offer(total=wire.Capacity(), reason=reason)


def find_offer(
    rules: OwnerRules,
    hardware: Hardware,
    accelerator: wire.Accelerator,
    networks: tuple[str, ...],
    reasons: tuple[str, ...] = (),
) -> Finding:
    """The offer of a PC in order.

    An owner's own number of vCPUs is taken as it is (cores can be
    shared); memory and disk that are not there are never offered.

    :param reasons: what is already known to limit this PC
    """
    found = list(reasons)
    vcpus = _part(rules.vcpus, hardware.cpus, rules.keep_vcpus)
    if vcpus > hardware.cpus:
        found.append(
            f'the owner offers {vcpus} vCPUs on {hardware.cpus} processors: '
            'guests share them'
        )
    memory = _part(rules.memory_mb, hardware.memory_mb, rules.keep_memory_mb)
    if memory > hardware.memory_mb:
        memory = hardware.memory_mb
        found.append(
            f'memory_mb is {rules.memory_mb}, but the PC has {memory} MiB'
        )
    if memory > hardware.memory_left_mb:
        memory = hardware.memory_left_mb
        found.append(f'other programs leave only {memory} MiB of memory')
    disk = _part(rules.disk_mb, hardware.disk_mb, rules.keep_disk_mb)
    if disk > hardware.disk_mb:
        disk = hardware.disk_mb
        found.append(
            f'disk_mb is {rules.disk_mb}, but only {disk} MiB are there'
        )
    for amount, word in ((vcpus, 'vCPU'), (memory, 'memory'), (disk, 'disk')):
        if amount == 0:
            found.append(f'no {word} is left')
    total = wire.Capacity(vcpus, memory, disk)
    offer = wire.Offer(
        total=total,
        accelerator=accelerator,
        arch=hardware.arch,
        networks=networks,
        cpu_model=hardware.cpu_model,
        hypervisor_version=hardware.hypervisor_version,
        reason='; '.join(found),
    )
    return Finding(offer, tuple(found))


def _part(explicit: int | None, has: int, keep: int) -> int:
    return max(has - keep, 0) if explicit is None else explicit
