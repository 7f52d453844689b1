# SPDX-License-Identifier: Apache-2.0
"""How reliably this PC is there: the share of time that it was on.  Pure.

What is long ago counts less: a moment's weight falls with e^(-age/30 days),
so that a PC moved from a kiosk to an office becomes another one within
weeks.  A PC of which little is known yet is between good and bad: it begins
at 1/2, as if one day half on and half off had been seen (Laplace's rule of
succession, in days).
"""

from __future__ import annotations

import math

import msgspec

MEMORY_S = 30 * 86400.0
PRIOR_S = 86400.0
ON_S = 120.0
"""Two looks no further apart than this: it was on between them."""
DIGITS = 2
"""So coarse, so that the record changes seldom."""


class Presence(msgspec.Struct, frozen=True):
    """What was seen until a moment."""

    at_s: float
    """Of the wall clock: nothing else goes on while a PC is off."""
    on_s: float = 0.0
    known_s: float = 0.0

    def look(self, now_s: float) -> Presence:
        """The same with the time since then.

        A clock that was set back tells nothing; one that was set forward
        counts as off, for once and at most as all that is remembered.
        """
        gap_s = now_s - self.at_s
        if gap_s <= 0:
            return Presence(now_s, self.on_s, self.known_s)
        kept = math.exp(-gap_s / MEMORY_S)
        added = MEMORY_S * (1 - kept)
        return Presence(
            now_s,
            self.on_s * kept + (added if gap_s <= ON_S else 0.0),
            self.known_s * kept + added,
        )

    @property
    def reliability(self) -> float:
        """From 0 to 1."""
        share = (self.on_s + PRIOR_S / 2) / (self.known_s + PRIOR_S)
        return round(share, DIGITS)
