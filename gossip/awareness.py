# SPDX-License-Identifier: Apache-2.0
"""Local health: how far we trust our own eyes.

Dadgar, Phillips, Currey 2018, Lifeguard, 4.1: a score from 0 (healthy) to a
maximum. A peer that was asked to probe and says nothing, having to refute,
and waking up late raise it; a probe that succeeds lowers it. A probe that
fails does not by itself: if those who were asked say so too, we are well.
Probe period and timeout are multiplied by one more than the score, so a peer
that is short of CPU or has a bad link accuses more slowly.

A departure: having to refute counts once in ten seconds, for any peer may
accuse us as often as it likes.
"""


class Awareness:
    """The local health score."""

    def __init__(self, highest: int) -> None:
        self._highest = highest
        self.score = 0

    def add(self, change: int) -> None:
        """Raise or lower the score within its bounds."""
        self.score = min(max(self.score + change, 0), self._highest)

    def scale(self, seconds: float) -> float:
        """A duration, the longer the worse we are."""
        return seconds * (1 + self.score)
