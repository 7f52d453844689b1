# SPDX-License-Identifier: Apache-2.0
"""A slice as Placement and the resource tracker see it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2pcs_nova import wire
from p2pcs_nova.virt import inventory

AMOUNTS = st.builds(
    wire.Capacity,
    *(st.integers(min_value=0, max_value=2**41) for _ in range(3)),
)


def make_summary(**changes: Any) -> wire.SliceSummary:
    values: dict[str, Any] = {
        'name': 'gold',
        'term': wire.Counter(1, 1),
        'peers': 3,
        'unreachable': 0,
        'total': wire.Capacity(12, 12288, 102400),
        'largest': wire.Capacity(6, 4096, 51200),
        'used': wire.Capacity(2, 1024, 10240),
        'accelerators': (wire.Accelerator.TCG,),
        **changes,
    }
    return wire.SliceSummary(**values)


def test_total_is_the_sum_and_max_unit_the_largest_pc() -> None:
    found = inventory.summary_to_inventory(make_summary())
    assert {
        name: (row['total'], row['max_unit'], row['reserved'])
        for name, row in found.items()
    } == {
        'VCPU': (12, 6, 0),
        'MEMORY_MB': (12288, 4096, 0),
        'DISK_GB': (100, 50, 0),
    }


def test_node_says_what_is_free_on_one_pc() -> None:
    free = wire.Capacity(3, 2048, 20480)
    found = inventory.summary_to_resources(
        make_summary(largest_free=free), 'gold'
    )
    assert found['stats'] == {
        'p2pcs_peers': 3,
        'p2pcs_largest_free_vcpus': 3,
        'p2pcs_largest_free_memory_mb': 2048,
        'p2pcs_largest_free_disk_mb': 20480,
    }


def test_empty_slice_is_all_reserved() -> None:
    nothing = wire.Capacity()
    found = inventory.summary_to_inventory(
        make_summary(total=nothing, largest=nothing)
    )
    for row in found.values():
        assert (row['total'], row['reserved'], row['max_unit']) == (1, 1, 1)


def test_slice_with_no_pc_within_reach_takes_nothing_new() -> None:
    found = inventory.summary_to_inventory(
        make_summary(
            total=wire.Capacity(2, 1024, 10240), largest=wire.Capacity()
        )
    )
    assert found['VCPU']['total'] == found['VCPU']['reserved'] == 2


@given(AMOUNTS, AMOUNTS)
def test_placement_takes_every_inventory(
    total: wire.Capacity, largest: wire.Capacity
) -> None:
    found = inventory.summary_to_inventory(
        make_summary(total=total, largest=largest)
    )
    for row in found.values():
        assert 1 <= row['total'] < 2**31
        assert row['max_unit'] < 2**31
        assert row['max_unit'] >= row['min_unit'] >= 1
        assert 0 <= row['reserved'] <= row['total']
        assert row['allocation_ratio'] == 1.0


@example(wire.Capacity(2**31, 2**31, 2**41), wire.Capacity())
@given(AMOUNTS, AMOUNTS)
def test_nova_takes_every_node(
    total: wire.Capacity, used: wire.Capacity
) -> None:
    found = inventory.summary_to_resources(
        make_summary(total=total, used=used), 'gold'
    )
    for name in ('vcpus', 'memory_mb', 'local_gb'):
        assert 0 <= found[name] < 2**31
        assert 0 <= found[f'{name}_used'] < 2**31


@pytest.mark.parametrize(
    ('accelerators', 'kind', 'supported'),
    [
        ((), 'qemu', ['qemu']),
        ((wire.Accelerator.TCG,), 'qemu', ['qemu']),
        ((wire.Accelerator.KVM,), 'kvm', ['kvm']),
        (
            (wire.Accelerator.TCG, wire.Accelerator.KVM),
            'qemu',
            ['kvm', 'qemu'],
        ),
    ],
)
def test_node_runs_what_its_pcs_run(
    accelerators: tuple[wire.Accelerator, ...],
    kind: str,
    supported: list[str],
) -> None:
    found = inventory.summary_to_resources(
        make_summary(accelerators=accelerators, cpu_model='x'), 'gold'
    )
    assert found['hypervisor_type'] == kind
    assert found['supported_instances'] == [
        ('x86_64', one, 'hvm') for one in supported
    ]
    assert json.loads(found['cpu_info'])['model'] == 'x'
    assert found['hypervisor_hostname'] == 'gold'
    assert (found['vcpus'], found['vcpus_used']) == (12, 2)
    assert (found['local_gb'], found['disk_available_least']) == (100, 90)
