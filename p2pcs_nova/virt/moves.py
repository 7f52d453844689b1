# SPDX-License-Identifier: Apache-2.0
"""What a slice does not do yet, refused in words.

The scheduler finds a host for it as for any server; then a driver is asked.
Which error leaves the server as it is, and gives Placement back what was
claimed for the move, Nova decides by its class:

===========================  ============================================
cold migration, resize       ``InstanceFaultRollback``; any other but
                             NotImplementedError is ERROR
live migration               one of those that the conductor lists; after
                             ``MigrationPreCheckError`` it tries all other
                             hosts, after ``HypervisorUnavailable`` none
evacuation                   ``InstanceFaultRollback``, but only from a
                             driver that says it can evacuate: else Nova
                             itself ends it in ERROR
a volume                     ``InvalidBDM`` before Nova asks Cinder; later
                             the fault does not say why
===========================  ============================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nova import exception, objects

from p2pcs_nova.virt import faults, inventory

STAYS = 'it stays as it is'


def cold(instance: Any, flavor: Any) -> Exception:
    """The refusal of a migration, or resize, of a server of ours.

    :param flavor: that it would have
    """
    if flavor.flavorid == instance.flavor.flavorid:
        return _as_before(exception.MigrationError(reason=_not('migrated')))
    return _as_before(exception.ResizeError(reason=_not('resized')))


def live(source: Mapping[str, Any]) -> Exception:
    """The refusal of a live migration to this slice.

    :param source: the compute node that it would leave
    """
    if set(inventory.LARGEST_FREE) <= set(source.get('stats') or ()):
        # No other host would do either.
        refusal: Exception = exception.HypervisorUnavailable(
            f'Live migration is refused: {_not("migrated")}'
        )
        return refusal
    return faults.because(
        exception.MigrationPreCheckError,
        f'a slice of PCs takes no running server; {STAYS}',
    )


def evacuation() -> Exception:
    """The refusal of a server whose host is down."""
    return _as_before(
        exception.InstanceEvacuateNotSupported(
            f'Evacuation is refused: {_not("evacuated")}'
        )
    )


def check_volumes(context: Any, instance: Any) -> None:
    """Refuse a server with volumes, before anything is done for them.

    :raises InvalidBDM: Nova's
    """
    disks = objects.BlockDeviceMappingList.get_by_instance_uuid(
        context, instance.uuid
    )
    if any(disk.is_volume for disk in disks):
        raise exception.InvalidBDM(
            'a server of a slice of PCs can neither boot from a volume nor '
            'have one yet (block_device_mapping)'
        )


def _not(what: str) -> str:
    return f'a server of a slice of PCs cannot be {what} yet; {STAYS}'


def _as_before(error: Exception) -> Exception:
    rollback: Exception = exception.InstanceFaultRollback(error)
    return rollback
