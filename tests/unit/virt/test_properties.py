# SPDX-License-Identifier: Apache-2.0
"""Wishes of flavor and image: honoured or refused by name."""

from __future__ import annotations

import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import wire
from p2pcs_nova.virt import properties


def test_no_wish_gives_the_standard_machine() -> None:
    assert properties.machine({}, {}) == wire.Machine()


def test_wishes_that_we_know_are_honoured() -> None:
    machine = properties.machine(
        {'hw_rng:allowed': 'False'},
        {
            'hw_disk_bus': 'sata',
            'hw_vif_model': 'e1000e',
            'hw_machine_type': 'q35',
        },
    )
    assert machine == wire.Machine('sata', 'e1000e', 'q35', rng=False)


@pytest.mark.parametrize(
    'extra_specs',
    [
        {'trait:HW_CPU_X86_AVX2': 'required'},
        {'trait1:CUSTOM_X': 'required'},
        {'resources:VCPU': '2'},
        {'capabilities:cpu_arch': 'x86_64'},
        {'aggregate_instance_extra_specs:ssd': 'true'},
        {'group_policy': 'none'},
        {'hw:cpu_policy': 'shared'},
        {'hw:boot_menu': 'False'},
        {'os:secure_boot': 'disabled'},
    ],
)
def test_what_changes_no_machine_is_let_through(
    extra_specs: dict[str, str],
) -> None:
    assert properties.machine(extra_specs, {}) == wire.Machine()


@pytest.mark.parametrize(
    'key_and_value',
    [
        'accel:device_profile=gpu',
        'hide_hypervisor_id=true',
        'hw:cpu_policy=dedicated',
        'hw:cpu_realtime=yes',
        'hw:cpu_sockets=2',
        'hw:mem_page_size=large',
        'hw:numa_nodes=2',
        'hw:pmem=4GB',
        'hw:tpm_version=2.0',
        'hw:watchdog_action=reset',
        'hw:what_comes_next=1',
        'hw_rng:rate_bytes=100',
        'hw_video:ram_max_mb=64',
        'os:secure_boot=required',
        'pci_passthrough:alias=gpu:1',
        'quota:cpu_shares=10',
    ],
)
def test_extra_spec_that_we_cannot_honour_is_named(
    key_and_value: str,
) -> None:
    key, _, value = key_and_value.partition('=')
    with pytest.raises(properties.Refused) as refused:
        properties.machine({key: value}, {})
    assert f'flavor extra spec {key_and_value} is not' in str(refused.value)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('hw_architecture', 'aarch64'),
        ('hw_disk_bus', 'usb'),
        ('hw_firmware_type', 'uefi'),
        ('hw_machine_type', 'pc-i440fx-7.2'),
        ('hw_numa_nodes', 2),
        ('hw_qemu_guest_agent', True),
        ('hw_tpm_model', 'tpm-crb'),
        ('hw_vif_model', 'ne2k_pci'),
        ('hw_video_model', 'qxl'),
        ('img_hv_type', 'xen'),
        ('os_command_line', 'quiet'),
        ('os_require_quiesce', True),
        ('os_secure_boot', 'required'),
        ('os_type', 'windows'),
    ],
)
def test_image_property_that_we_cannot_honour_is_named(
    key: str, value: object
) -> None:
    with pytest.raises(properties.Refused) as refused:
        properties.machine({}, {key: value})
    assert f'image property {key}={value} is not' in str(refused.value)


def test_refusal_says_what_would_be_taken() -> None:
    with pytest.raises(properties.Refused, match='only pc, q35'):
        properties.machine({}, {'hw_machine_type': 'virt'})


@given(st.text(), st.text())
def test_no_word_on_the_machine_is_ignored(key: str, value: str) -> None:
    spec = {f'hw:{key}': value}
    known = properties.EXTRA_SPECS.get(f'hw:{key}')
    if known is None:
        with pytest.raises(properties.Refused):
            properties.machine(spec, {})


def make_shape(**changes: Any) -> tuple[Any, Any]:
    values: dict[str, Any] = {
        'swap': 0,
        'ephemeral_gb': 0,
        'root_gb': 1,
        'kernel_id': '',
        'ramdisk_id': '',
        **changes,
    }
    shape = types.SimpleNamespace(**values)
    return shape, shape


def test_one_root_disk_from_an_image_is_taken() -> None:
    properties.check_shape(*make_shape(), 'qcow2')
    properties.check_disks(None)
    properties.check_disks(
        {'swap': None, 'ephemerals': [], 'block_device_mapping': []}
    )


@pytest.mark.parametrize(
    ('changes', 'disk_format', 'name'),
    [
        ({'swap': 512}, 'raw', 'swap disk'),
        ({'ephemeral_gb': 1}, 'raw', 'ephemeral disk'),
        ({'kernel_id': 'k'}, 'raw', 'kernel_id'),
        ({'ramdisk_id': 'r'}, 'raw', 'ramdisk_id'),
        ({'root_gb': 0}, 'raw', 'root disk of 0 GB'),
        ({}, 'iso', 'disk_format iso'),
        ({}, None, 'disk_format None'),
    ],
)
def test_other_shapes_are_named(
    changes: dict[str, Any], disk_format: str | None, name: str
) -> None:
    with pytest.raises(properties.Refused, match=name):
        properties.check_shape(*make_shape(**changes), disk_format)


@pytest.mark.parametrize(
    ('info', 'name'),
    [
        ({'block_device_mapping': [{}]}, 'volume'),
        ({'ephemerals': [{}]}, 'ephemeral disk'),
        ({'swap': {'swap_size': 1}}, 'swap disk'),
    ],
)
def test_other_disks_are_named(info: dict[str, Any], name: str) -> None:
    with pytest.raises(properties.Refused, match=name):
        properties.check_disks(info)
