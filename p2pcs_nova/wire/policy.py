# SPDX-License-Identifier: Apache-2.0
"""The policy on its way, and the slices that follow from it."""

from __future__ import annotations

import enum

import msgspec

from p2pcs_nova.wire.basics import BoundSlice, Count, SliceName


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


class SliceMap(msgspec.Struct, frozen=True):
    """Which slices there are: written by a gateway, from the policy."""

    policy: Count
    """The version of the policy that it follows from."""
    generation: Count
    """Grows with every change."""
    rows: tuple[SliceRow, ...] = ()
