# SPDX-License-Identifier: Apache-2.0
"""What is done to our domains.  Every function blocks."""

from __future__ import annotations

import pathlib

import libvirt
from lxml import etree

from p2pcs_nova.peer.libvirt_host import reading


def _ours(connection: libvirt.virConnect, instance: str) -> libvirt.virDomain:
    """The domain of this instance, if it is ours.

    :raises libvirtError: there is none
    """
    found = reading.find(connection, instance)
    if found is None:
        raise libvirt.libvirtError(f'no domain of instance {instance}')
    return found


def define(connection: libvirt.virConnect, instance: str, xml: str) -> None:
    """Define; never over a domain that is not ours."""
    if reading.find(connection, instance) is None:
        try:
            connection.lookupByUUIDString(instance)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
        else:
            raise libvirt.libvirtError(
                f'domain {instance} exists and is not ours'
            )
    connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)


def start_paused(connection: libvirt.virConnect, instance: str) -> None:
    """Create its process and taps; the guest does not run yet."""
    _ours(connection, instance).createWithFlags(
        libvirt.VIR_DOMAIN_START_PAUSED
    )


def resume(connection: libvirt.virConnect, instance: str) -> None:
    """Let the guest run."""
    _ours(connection, instance).resume()


def suspend(connection: libvirt.virConnect, instance: str) -> None:
    """Stop the guest's processors."""
    _ours(connection, instance).suspend()


def save(
    connection: libvirt.virConnect, instance: str, memory: pathlib.Path
) -> None:
    """Write the guest's memory to a file, and end its process."""
    _ours(connection, instance).saveFlags(
        str(memory), None, libvirt.VIR_DOMAIN_SAVE_RUNNING
    )


def abort_save(connection: libvirt.virConnect, instance: str) -> None:
    """The guest runs on."""
    _ours(connection, instance).abortJob()


def restore_paused(
    connection: libvirt.virConnect, instance: str, memory: pathlib.Path
) -> None:
    """Create its process with this memory; the guest does not run yet."""
    _ours(connection, instance)
    connection.restoreFlags(str(memory), None, libvirt.VIR_DOMAIN_SAVE_PAUSED)


def begin_copy(
    connection: libvirt.virConnect,
    instance: str,
    disk: pathlib.Path,
    copy: pathlib.Path,
) -> None:
    """Mirror a disk, with all below it, into a new file."""
    target = etree.Element('disk', type='file')
    etree.SubElement(target, 'driver', name='qemu', type='qcow2')
    etree.SubElement(target, 'source', file=str(copy))
    _ours(connection, instance).blockCopy(
        str(disk),
        etree.tostring(target).decode(),
        # libvirt asks for it: no definition could carry the job on.
        flags=libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB,
    )


def end_copy(
    connection: libvirt.virConnect, instance: str, disk: pathlib.Path
) -> bool:
    """Leave the mirror as it is; whether there is one."""
    found = reading.find(connection, instance)
    if found is None or not found.isActive():
        return False
    if not found.blockJobInfo(str(disk)):
        return False
    found.blockJobAbort(str(disk))
    return True


def press_power_button(connection: libvirt.virConnect, instance: str) -> None:
    """The ACPI power button."""
    _ours(connection, instance).shutdownFlags(
        libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
    )


def ask_reboot(connection: libvirt.virConnect, instance: str) -> None:
    """The power button, and a reset when the guest has shut down."""
    _ours(connection, instance).reboot(
        libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN
    )


def cut_power(connection: libvirt.virConnect, instance: str) -> None:
    """End the process; nothing if there is none."""
    found = reading.find(connection, instance)
    if found is None or not found.isActive():
        return
    try:
        found.destroy()
    except libvirt.libvirtError as error:
        # It stopped by itself meanwhile.
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


def undefine(connection: libvirt.virConnect, instance: str) -> None:
    """Forget the definition; nothing if there is none."""
    found = reading.find(connection, instance)
    if found is not None:
        found.undefineFlags(
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        )
