# SPDX-License-Identifier: Apache-2.0
"""Instances, from the run right to the tombstone: gateway and PC."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from p2pcs_nova.wire.basics import (
    Counter,
    Digest,
    PeerId,
    Positive,
    SliceName,
    Uuid,
)
from p2pcs_nova.wire.capacity import (
    Capacity,
)
from p2pcs_nova.wire.ports import (
    Vif,
)


class RunRight(msgspec.Struct, frozen=True):
    """The gateway's word that ``peer`` runs ``epoch`` of ``instance``."""

    instance: Uuid
    epoch: Counter
    peer: PeerId
    slice: SliceName
    image: Digest


class Signed(msgspec.Struct, frozen=True):
    """Bytes and who signed them (Ed25519, with a domain prefix)."""

    payload: bytes
    signer: PeerId
    signature: bytes


class Image(msgspec.Struct, frozen=True):
    """An image as Glance describes it; its digest names its bytes."""

    digest: Digest
    format: Annotated[str, msgspec.Meta(pattern=r'^(qcow2|raw)\Z')]
    size_bytes: Positive
    name: str = ''


class ConfigFile(msgspec.Struct, frozen=True):
    """One file of the config drive; path is relative, with '/'."""

    path: Annotated[
        str,
        msgspec.Meta(
            pattern='^[A-Za-z0-9_-][A-Za-z0-9._-]*'
            r'(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*\Z',
            max_length=255,
        ),
    ]
    content: bytes


class Machine(msgspec.Struct, frozen=True):
    """What flavor and image say about the virtual machine."""

    disk_bus: Annotated[
        str, msgspec.Meta(pattern=r'^(virtio|scsi|ide|sata)\Z')
    ] = 'virtio'
    vif_model: Annotated[
        str, msgspec.Meta(pattern=r'^(virtio|e1000|e1000e|rtl8139)\Z')
    ] = 'virtio'
    machine_type: Annotated[str, msgspec.Meta(pattern=r'^(pc|q35)\Z')] = 'pc'
    rng: bool = True


class GroupPolicy(enum.StrEnum):
    """What a server group wants of its servers; Nova's own words."""

    AFFINITY = 'affinity'
    """All on one PC."""
    ANTI_AFFINITY = 'anti-affinity'
    """Not more than ``limit`` on one PC."""
    SOFT_AFFINITY = 'soft-affinity'
    SOFT_ANTI_AFFINITY = 'soft-anti-affinity'


class ServerGroup(msgspec.Struct, frozen=True):
    """Servers that are to be together, or apart."""

    id: Uuid
    policy: GroupPolicy
    limit: Positive = 1


class InstanceSpec(msgspec.Struct, frozen=True):
    """All that a PC needs to build an instance."""

    instance: Uuid
    name: str
    """Nova's display name: for people; the domain is named by uuid."""
    need: Capacity
    image: Image
    root_mb: Positive
    config_drive: tuple[ConfigFile, ...] = ()
    vifs: tuple[Vif, ...] = ()
    machine: Machine = Machine()
    group: ServerGroup | None = None
    """For who chooses its PC; to the PC that builds it, nothing."""


class BuildRequest(msgspec.Struct, frozen=True):
    """Gateway to PC: confirm the reservation and build, paused."""

    reservation: Uuid
    run_right: Signed
    spec: InstanceSpec


class HeldRight(msgspec.Struct, frozen=True):
    """PC to gateway: the run right by which it has an instance."""

    run_right: Signed
    spec: InstanceSpec
    """Without the config drive, which holds the user's secrets."""


class InstanceState(enum.StrEnum):
    """The state of an instance on its PC."""

    BUILDING = 'building'
    PLUGGED = 'plugged'
    """Built, tap and filters in place, guest not yet started."""
    RUNNING = 'running'
    PAUSED = 'paused'
    SUSPENDED = 'suspended'
    """Off, its memory on the disk of its PC."""
    STOPPED = 'stopped'
    CRASHED = 'crashed'
    FAILED = 'failed'
    """The build failed and is undone; ``detail`` says why."""
    WAITING = 'waiting'
    """It should run, and is off since its PC lost power: the PC starts
    nothing before its gateway has confirmed this epoch."""
    QUARANTINED = 'quarantined'
    """Its gateway does not know it: it is kept for some days, frozen."""
    UNKNOWN = 'unknown'


class InstanceStatus(msgspec.Struct, frozen=True):
    """What a PC says of one instance."""

    instance: Uuid
    epoch: Counter
    slice: SliceName
    state: InstanceState
    need: Capacity
    detail: str = ''


class Action(enum.StrEnum):
    """What may be done to a built instance."""

    START = 'start'
    """From PLUGGED or STOPPED to RUNNING."""
    STOP = 'stop'
    """ACPI first, then power cut after ``timeout_s``."""
    REBOOT_SOFT = 'reboot-soft'
    REBOOT_HARD = 'reboot-hard'
    PAUSE = 'pause'
    UNPAUSE = 'unpause'
    SUSPEND = 'suspend'
    """From RUNNING to SUSPENDED; it runs on if that takes longer than
    ``timeout_s``."""
    RESUME = 'resume'
    """From SUSPENDED to RUNNING, as it was."""
    RESTORE = 'restore'
    """The gateway's word, by itself, that this epoch is still wanted: it
    leaves quarantine, and one that WAITS runs again.  Else nothing."""
    QUARANTINE = 'quarantine'
    """The gateway's word, by itself, that it does not know this epoch."""


GATEWAYS_OWN = frozenset({Action.RESTORE, Action.QUARANTINE})
"""Actions that no driver asks for."""


class ActionRequest(msgspec.Struct, frozen=True):
    """Driver to gateway, which adds the epoch, to PC."""

    action: Action
    timeout_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    epoch: Counter | None = None
    """None only from the driver; a PC refuses any but the one it runs."""


class SnapshotRequest(msgspec.Struct, frozen=True):
    """Driver to gateway, which adds the epoch, to PC: a copy of the disk.

    The answer is the copy itself: a qcow2 image that names no other file.
    """

    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=86400)]
    """Until the copy is whole and the first byte of it comes."""
    epoch: Counter | None = None
    """None only from the driver; a PC refuses any but the one it has."""


class Tombstone(msgspec.Struct, frozen=True):
    """Gateway to PC: this epoch, and every lower one, must not run."""

    instance: Uuid
    epoch: Counter


class InstanceList(msgspec.Struct, frozen=True):
    """Every instance that a PC holds."""

    peer: PeerId
    boot_id: str
    instances: tuple[InstanceStatus, ...]
