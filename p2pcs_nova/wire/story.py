# SPDX-License-Identifier: Apache-2.0
"""What became of an instance."""

from __future__ import annotations

import msgspec

from p2pcs_nova.wire.basics import (
    Uuid,
)
from p2pcs_nova.wire.wishes import PeerFit


class StoryLine(msgspec.Struct, frozen=True):
    """What a machine has logged."""

    at_s: float
    """Seconds of a wall clock."""
    machine: str
    text: str


class Chapter(msgspec.Struct, frozen=True):
    """What one machine has logged of an instance, in order."""

    machine: str
    wall_clock_s: float
    """When it was asked: two machines' clocks may differ."""
    lines: tuple[StoryLine, ...]


class Story(msgspec.Struct, frozen=True):
    """What gateway and PCs have logged of an instance, in order of time."""

    instance: Uuid
    now: str
    """Where it is, in words."""
    remarks: tuple[StoryLine, ...]
    """What one should know of the lines: whose are missing, whose clock
    differs."""
    lines: tuple[StoryLine, ...]
    """By the gateway's clock."""
    fits: tuple[PeerFit, ...] = ()
    """What the PCs say now to what was asked for an instance that is on
    none; nothing if that is forgotten."""
