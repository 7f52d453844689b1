# SPDX-License-Identifier: Apache-2.0
"""How long a suspect has to refute.

Dadgar, Phillips, Currey 2018, Lifeguard, 4.2: with c independent accusers
besides the first, of K that suffice,

    timeout = max - (max - min) * log(c + 1) / log(K + 1)

so a single accuser, who may be the sick one, needs longest. Where fewer
than K further peers exist, those that exist suffice.

A departure: before the end there is a last call. The suspect is asked once
more directly and has a moment to answer, so that it is not given up by one
whom its refutation has just not reached.
"""

import math

from gossip import descriptor, messages


class Suspicion:
    """One suspect, at one (boot, incarnation).

    :param claim: the first accuser's, to tell the suspect
    :param suffice: how many more accusers bring the least time
    """

    def __init__(
        self,
        order: tuple[int, int],
        claim: messages.ClaimItem,
        *,
        started: float,
        shortest: float,
        longest: float,
        suffice: int,
    ) -> None:
        self.order = order
        self.claim = claim
        self.answered = False
        self._last_call: float | None = None
        self._started = started
        self._shortest = shortest
        self._longest = longest
        self._suffice = suffice
        self._accusers: dict[descriptor.PeerId, None] = {}

    def accuse(self, author: descriptor.PeerId) -> bool:
        """Count an accuser; whether it is new and still wanted."""
        if author in self._accusers:
            return False
        if len(self._accusers) > self._suffice:
            return False
        self._accusers[author] = None
        return True

    @property
    def accusers(self) -> int:
        """How many have accused."""
        return len(self._accusers)

    def has_accuser(self, author: descriptor.PeerId) -> bool:
        """Whether this peer has accused."""
        return author in self._accusers

    def lasts(self, now: float) -> bool:
        """Whether the least time is over."""
        return now >= self._started + self._shortest

    def postpone(self, seconds: float) -> None:
        """Do not count so many seconds, in which we were stopped."""
        self._started += seconds
        if self._last_call is not None:
            self._last_call += seconds

    def restart(self, now: float) -> None:
        """Count from now on again."""
        self._started = now
        self._last_call = None

    def call(self, until: float) -> bool:
        """Begin the last call; whether it had not begun."""
        if self._last_call is not None:
            return False
        self._last_call = until
        return True

    def deadline(self) -> float:
        """When the suspect's time is over."""
        if self._last_call is not None:
            return self._last_call
        if self._suffice < 1:
            return self._started + self._shortest
        share = math.log(len(self._accusers)) / math.log(self._suffice + 1)
        spread = self._longest - self._shortest
        return self._started + self._longest - spread * min(share, 1.0)
