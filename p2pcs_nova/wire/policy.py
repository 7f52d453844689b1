# SPDX-License-Identifier: Apache-2.0
"""The policy on its way, and the slices that follow from it."""

from __future__ import annotations

import enum

import msgspec

from p2pcs_nova.wire.basics import BoundSlice, Count, SliceName, ZoneName
from p2pcs_nova.wire.era import SignedEra
from p2pcs_nova.wire.instances import Signed


class SliceState(enum.StrEnum):
    """What becomes of a slice's host."""

    OPEN = 'open'
    DRAINING = 'draining'
    """It takes nothing new, and ends with its last instance."""
    CLOSED = 'closed'
    """Nothing is in it: its host may go."""


class SliceRow(msgspec.Struct, frozen=True):
    """One slice of the slice map."""

    name: SliceName
    state: SliceState = SliceState.OPEN
    of: BoundSlice = ''
    """The slice of the policy that this is, or is a part of; '' if the
    policy has it no more."""
    share: Count = 0
    """Of the PCs of its site, in millionths; 0 if it is not open."""
    zone: ZoneName | None = None
    """Of its host, '' for Nova's default: what the policy said of it last;
    None if that is not known."""


class SliceMap(msgspec.Struct, frozen=True):
    """Which slices there are: written by a gateway, from the policy."""

    policy: Count
    """The version of the policy that it follows from."""
    generation: Count
    """Grows with every change."""
    rows: tuple[SliceRow, ...] = ()


class HostsReport(msgspec.Struct, frozen=True):
    """What Nova has left of the slices of one slice map."""

    policy: Count
    generation: Count
    gone: tuple[SliceName, ...] = ()
    """Closed, and Nova has no host of it."""
    idle: tuple[SliceName, ...] = ()
    """Drained; it has no server, and gets none."""
    busy: tuple[SliceName, ...] = ()
    """Closed, and yet a server is on its way to it."""


class SignedPolicy(msgspec.Struct, frozen=True):
    """The YAML text of a policy, and the root's signature."""

    text: str
    signature: bytes


class PolicyBundle(msgspec.Struct, frozen=True):
    """All that a daemon has of the policy."""

    policy: SignedPolicy | None = None
    slices: Signed | None = None
    """The slice map, signed by a gateway."""
    era: SignedEra | None = None


class PolicyNews(msgspec.Struct, frozen=True):
    """Record part 'policy': what its writer has, for who has less."""

    version: Count = 0
    digest: bytes = b''
    """Of the policy's text; decides between two of one version."""
    map_policy: Count = 0
    """The version of the policy that the slice map follows from."""
    generation: Count = 0
    map_digest: bytes = b''
    era: Count = 0
    era_digest: bytes = b''


class PolicyText(msgspec.Struct, frozen=True):
    """A policy that nobody has signed yet, to be tried."""

    text: str


class PolicyMove(msgspec.Struct, frozen=True):
    """A PC that would change its slice."""

    pc: str
    before: str
    after: str


class PolicyPlan(msgspec.Struct, frozen=True):
    """What would become of the PCs by another policy."""

    version: Count
    """Of the policy that is in force; 0 for none."""
    faults: tuple[str, ...] = ()
    """Why it would be refused."""
    moves: tuple[PolicyMove, ...] = ()
    opened: tuple[str, ...] = ()
    """The slices that would be new."""
    drained: tuple[str, ...] = ()
    """The slices that would be open no more."""
    merged: tuple[str, ...] = ()
    """Those of the policy whose PCs a neighbour would have."""
