# SPDX-License-Identifier: Apache-2.0
"""By which term a gateway commands a slice, and until when."""

from __future__ import annotations

import msgspec

from p2pcs_nova.wire.basics import Counter, SliceName


class HeldTerm(msgspec.Struct, frozen=True):
    """A gateway commands a slice; its programs on one machine say so.

    It does not outlive the machine: no clock of another one counts.
    """

    slice: SliceName
    term: Counter
    until_s: float
    """Of CLOCK_BOOTTIME, which goes on while a machine sleeps; who acts by
    the term looks at it before each step."""


class TermRequest(msgspec.Struct, frozen=True):
    """Supervisor to daemon: begin with a term, or go on with it."""

    until_s: float
    term: Counter | None = None
    """None: a new one of the daemon's own counter; for the only gateway."""
