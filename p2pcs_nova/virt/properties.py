# SPDX-License-Identifier: Apache-2.0
"""Which wishes of flavor and image are honoured, and which refused by name.

Nothing that would change the machine is ignored.  Image properties arrive
as Nova's ``ImageMetaProps`` knows them (others mean nothing to Nova).  Of
a flavor's extra specs those in the namespaces below address the machine;
the rest (``trait:``, ``resources:``, ``capabilities:``, aggregate keys…)
address the scheduler, which has answered them before we are asked.

Pure: mappings in, a :class:`~p2pcs_nova.wire.Machine` or
:class:`Refused` out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from p2pcs_nova import wire

Values = frozenset[str]

MACHINE_NAMESPACES = frozenset(
    {
        'accel',
        'hide_hypervisor_id',
        'hw',
        'hw_rng',
        'hw_video',
        'os',
        'pci_passthrough',
        'quota',
    }
)

NO = frozenset({'false', '0', 'no', 'off', 'disabled', ''})
"""Spellings of "I do not want it": the machine is as without the word."""

ANY: Values = frozenset()
"""The property says nothing about the machine, or Nova itself acts on it."""

EXTRA_SPECS: Mapping[str, Values] = {
    'hide_hypervisor_id': NO,
    'hw:boot_menu': NO,
    'hw:cpu_policy': frozenset({'shared'}),
    'hw:hide_hypervisor_id': NO,
    'hw:locked_memory': NO,
    'hw:mem_encryption': NO,
    'hw:ephemeral_encryption': NO,
    'hw:vif_multiqueue_enabled': NO,
    'hw:virtio_packed_ring': NO,
    'hw:watchdog_action': frozenset({'disabled'}),
    'hw_rng:allowed': NO | {'true', '1', 'yes', 'on'},
    'os:secure_boot': frozenset({'disabled', 'optional'}),
}

IMAGE_PROPERTIES: Mapping[str, Values] = {
    'hw_architecture': frozenset({'x86_64'}),
    'hw_auto_disk_config': ANY,
    'hw_boot_menu': NO,
    'hw_cpu_policy': frozenset({'shared'}),
    'hw_disk_bus': frozenset({'virtio', 'scsi', 'ide', 'sata'}),
    'hw_ephemeral_encryption': NO,
    'hw_firmware_type': frozenset({'bios'}),
    'hw_firmware_stateless': NO,
    'hw_ipxe_boot': NO,
    'hw_locked_memory': NO,
    'hw_machine_type': frozenset({'pc', 'q35'}),
    'hw_mem_encryption': NO,
    'hw_qemu_guest_agent': NO,
    'hw_rng_model': frozenset({'virtio'}),
    'hw_time_hpet': NO,
    'hw_vif_model': frozenset({'virtio', 'e1000', 'e1000e', 'rtl8139'}),
    'hw_vif_multiqueue_enabled': NO,
    'hw_virtio_packed_ring': NO,
    'hw_vm_mode': frozenset({'hvm'}),
    'hw_watchdog_action': frozenset({'disabled'}),
    'img_bdm_v2': ANY,
    'img_block_device_mapping': ANY,
    'img_cache_in_nova': ANY,
    'img_config_drive': ANY,
    'img_hide_hypervisor_id': NO,
    'img_hv_requested_version': ANY,
    'img_hv_type': frozenset({'qemu'}),
    'img_mappings': ANY,
    'img_owner_id': ANY,
    'img_root_device_name': ANY,
    'img_signature': ANY,
    'img_signature_certificate_uuid': ANY,
    'img_signature_hash_method': ANY,
    'img_signature_key_type': ANY,
    'img_version': ANY,
    'os_admin_user': ANY,
    'os_distro': ANY,
    'os_require_quiesce': NO,
    'os_secure_boot': frozenset({'disabled', 'optional'}),
    'os_shutdown_timeout': ANY,
    'os_skip_agent_inject_files_at_boot': ANY,
    'os_skip_agent_inject_ssh': ANY,
    'os_type': frozenset({'linux'}),
    'traits_required': ANY,
}

DISK_FORMATS = frozenset({'qcow2', 'raw'})


class Refused(Exception):
    """A wish that we would have to ignore; the message names it."""


def machine(
    extra_specs: Mapping[str, str], image_properties: Mapping[str, Any]
) -> wire.Machine:
    """The machine that flavor and image ask for.

    :raises Refused: for the first wish, in alphabetical order, that we
        cannot honour
    """
    for key in sorted(extra_specs):
        if key.partition(':')[0] in MACHINE_NAMESPACES:
            _check('flavor extra spec', key, extra_specs[key], EXTRA_SPECS)
    for key in sorted(image_properties):
        _check('image property', key, image_properties[key], IMAGE_PROPERTIES)
    standard = wire.Machine()
    wished = image_properties.get
    return wire.Machine(
        disk_bus=wished('hw_disk_bus', standard.disk_bus),
        vif_model=wished('hw_vif_model', standard.vif_model),
        machine_type=wished('hw_machine_type', standard.machine_type),
        rng=_text(extra_specs.get('hw_rng:allowed', 'true')) not in NO,
    )


def check_shape(flavor: Any, instance: Any, disk_format: str | None) -> None:
    """Refuse what is not a property but changes the machine all the same.

    :param flavor: Nova's, or anything with its attributes
    :param instance: Nova's
    :param disk_format: of the image, as Glance says
    :raises Refused: names what is not supported
    """
    wishes: tuple[tuple[str, Any], ...] = (
        ('swap disk of the flavor', flavor.swap),
        ('ephemeral disk of the flavor', flavor.ephemeral_gb),
        ('kernel_id of the image', instance.kernel_id),
        ('ramdisk_id of the image', instance.ramdisk_id),
    )
    for name, wish in wishes:
        if wish:
            raise Refused(f'{name} ({wish}) is not supported')
    if not flavor.root_gb:
        raise Refused(
            'root disk of 0 GB in the flavor is not supported: a PC '
            'promises the disk by its size'
        )
    if disk_format not in DISK_FORMATS:
        raise Refused(f'disk_format {disk_format} is not qcow2 or raw')


def check_disks(block_device_info: Mapping[str, Any] | None) -> None:
    """Refuse every disk but the root disk from the image.

    :param block_device_info: as Nova gives it to ``spawn``
    :raises Refused: names the disk
    """
    info = block_device_info or {}
    swap = info.get('swap') or {}
    tests: tuple[tuple[str, Callable[[], bool]], ...] = (
        ('volume', lambda: bool(info.get('block_device_mapping'))),
        ('ephemeral disk', lambda: bool(info.get('ephemerals'))),
        ('swap disk', lambda: bool(swap.get('swap_size'))),
    )
    for name, present in tests:
        if present():
            raise Refused(f'{name} in block_device_mapping is not supported')


def _text(value: object) -> str:
    return str(value).strip().lower()


def _check(
    what: str, key: str, value: object, table: Mapping[str, Values]
) -> None:
    if value is None:
        return
    allowed = table.get(key)
    if allowed is None or (allowed and _text(value) not in allowed):
        hint = ''
        if allowed and allowed is not NO:
            hint = f': only {", ".join(sorted(allowed))}'
        raise Refused(f'{what} {key}={value} is not supported{hint}')
