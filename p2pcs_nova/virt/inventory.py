# SPDX-License-Identifier: Apache-2.0
"""A slice as Placement and the scheduler see it.  Pure.

A slice is inventoried as a cluster: ``total`` is the sum over its PCs,
``max_unit`` the largest single PC now, so that Placement refuses at once
what no PC could ever hold.  What it cannot see (no *single* PC has the
rest free) the claims find out.

Allocation ratios are 1.0 whatever Nova's options say: what a PC offers is
a promise of exactly so much (the policy's ratios are in it), and it refuses
more.  Placement wants a
total of at least 1: where there is nothing, one unit is shown, reserved.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from p2pcs_nova import wire

VCPU = 'VCPU'
MEMORY_MB = 'MEMORY_MB'
DISK_GB = 'DISK_GB'
ARCH = 'x86_64'
LARGEST_FREE = (
    'p2pcs_largest_free_vcpus',
    'p2pcs_largest_free_memory_mb',
    'p2pcs_largest_free_disk_mb',
)
"""In a node's statistics: the most that is free on one PC, which the
scheduler's filter and weigher read."""
LARGEST = 2**31 - 1
"""Nova's and Placement's databases keep amounts in 32 bits."""


def summary_to_inventory(
    summary: wire.SliceSummary,
) -> dict[str, dict[str, Any]]:
    """The slice's resource classes, as a provider tree takes them."""
    total, largest = summary.total, summary.largest
    return {
        VCPU: _resource_class(total.vcpus, largest.vcpus),
        MEMORY_MB: _resource_class(total.memory_mb, largest.memory_mb),
        DISK_GB: _resource_class(
            total.disk_mb // 1024, largest.disk_mb // 1024
        ),
    }


def _resource_class(total: int, largest: int) -> dict[str, Any]:
    shown = min(max(total, 1), LARGEST)
    return {
        'total': shown,
        'reserved': 0 if largest else shown,
        'min_unit': 1,
        'max_unit': min(max(largest, 1), LARGEST),
        'step_size': 1,
        'allocation_ratio': 1.0,
    }


def _amounts(capacity: wire.Capacity, ending: str) -> dict[str, int]:
    """By Nova's names for them."""
    return {
        f'vcpus{ending}': min(capacity.vcpus, LARGEST),
        f'memory_mb{ending}': min(capacity.memory_mb, LARGEST),
        f'local_gb{ending}': min(capacity.disk_mb // 1024, LARGEST),
    }


def summary_to_resources(
    summary: wire.SliceSummary, node: str
) -> dict[str, Any]:
    """The node as Nova's resource tracker wants it."""
    total, used = summary.total, summary.used
    kinds = [str(kind) for kind in _accelerators(summary)]
    hypervisors = ['kvm' if kind == 'kvm' else 'qemu' for kind in kinds]
    return {
        **_amounts(total, ''),
        **_amounts(used, '_used'),
        'disk_available_least': min(
            max(total.disk_mb - used.disk_mb, 0) // 1024, LARGEST
        ),
        'hypervisor_type': 'kvm' if hypervisors == ['kvm'] else 'qemu',
        'hypervisor_version': summary.hypervisor_version,
        'hypervisor_hostname': node,
        'cpu_info': json.dumps({'arch': ARCH, 'model': summary.cpu_model}),
        'supported_instances': [
            (ARCH, hypervisor, 'hvm') for hypervisor in hypervisors
        ],
        'numa_topology': None,
        'stats': {
            'p2pcs_peers': summary.peers,
            **dict(
                zip(
                    LARGEST_FREE,
                    msgspec.structs.astuple(summary.largest_free),
                    strict=True,
                )
            ),
        },
    }


def _accelerators(summary: wire.SliceSummary) -> list[wire.Accelerator]:
    """Sorted; a slice without live PCs counts as the humblest."""
    found = sorted(set(summary.accelerators))
    return found or [wire.Accelerator.TCG]
