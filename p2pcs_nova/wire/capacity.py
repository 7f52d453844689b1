# SPDX-License-Identifier: Apache-2.0
"""What a PC gives, and what is asked of it."""

from __future__ import annotations

import enum

import msgspec

from p2pcs_nova.wire.basics import (
    Count,
    Digest,
    HypervisorVersion,
    NetworkName,
    Uuid,
)


class Capacity(msgspec.Struct, frozen=True):
    """An amount of what a PC has to give."""

    vcpus: Count = 0
    memory_mb: Count = 0
    disk_mb: Count = 0

    def __add__(self, other: Capacity) -> Capacity:
        return Capacity(
            self.vcpus + other.vcpus,
            self.memory_mb + other.memory_mb,
            self.disk_mb + other.disk_mb,
        )

    def fits(self, other: Capacity) -> bool:
        """Whether ``other`` is at most this in every part."""
        return (
            other.vcpus <= self.vcpus
            and other.memory_mb <= self.memory_mb
            and other.disk_mb <= self.disk_mb
        )

    def less(self, taken: Capacity) -> Capacity:
        """What is left, part by part; 0 where more is taken than there."""
        return Capacity(
            max(self.vcpus - taken.vcpus, 0),
            max(self.memory_mb - taken.memory_mb, 0),
            max(self.disk_mb - taken.disk_mb, 0),
        )

    def slots(self, need: Capacity) -> int:
        """How many of this need fit; 1 if it needs nothing at all."""
        parts = (
            (self.vcpus, need.vcpus),
            (self.memory_mb, need.memory_mb),
            (self.disk_mb, need.disk_mb),
        )
        return min((there // part for there, part in parts if part), default=1)


class Accelerator(enum.StrEnum):
    """How a PC runs guests; proved by a probe, never assumed."""

    KVM = 'kvm'
    TCG = 'tcg'


class Offer(msgspec.Struct, frozen=True):
    """What a PC gives: what it has less what its owner keeps."""

    total: Capacity
    accelerator: Accelerator = Accelerator.TCG
    arch: str = 'x86_64'
    networks: tuple[NetworkName, ...] = ()
    cpu_model: str = ''
    hypervisor_version: HypervisorVersion = 0
    reason: str = ''
    """Why less is offered than one would expect, in words; '' if not."""


class Claim(msgspec.Struct, frozen=True):
    """What an instance needs of a PC."""

    instance: Uuid
    need: Capacity
    networks: tuple[NetworkName, ...] = ()
    image: Digest | None = None
    """A PC that has it cached may be preferred."""


class Reservation(msgspec.Struct, frozen=True):
    """A PC's grant; it expires ``expires_s`` after the grant."""

    id: Uuid
    expires_s: float
    free: Capacity
    """Free on the PC after this grant: the gateway chooses by it."""
    has_image: bool = False
