# SPDX-License-Identifier: Apache-2.0
"""What is done to our domains.  Every function blocks."""

from __future__ import annotations

import libvirt

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
