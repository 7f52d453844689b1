# SPDX-License-Identifier: Apache-2.0
"""Which of Nova's hosts a request is tried on.  Pure.

The rules:

1. wishes are limits: a slice without a PC that they allow is out, and so
   is every host that is no slice; a server group's policy is one for
   slices alone, which keep it by PC; a slice that is drained or closed is
   out, though Nova may not know it yet;
2. of the slices that are left and have room by their PCs' records a few
   are tried first; they are drawn at random, weighted by their room, so
   that schedulers who see the same do not all choose the same;
3. records may be late by seconds: when none of those takes it, or none
   has room, all that rule 1 leaves are tried;
4. hosts that are no slices are as they are without us.
"""

from __future__ import annotations

import collections
import random
from collections.abc import Iterable

from p2pcs_nova import texts, wire

FIRST = 5
"""Slices that are tried first: Nova's own path costs by the host, and
most requests need one host and two alternates."""
REASON_LIMIT = 200
"""Characters of a reason: a server's fault holds 255 with Nova's own words."""


class Choice:
    """What the overlay says to one request.

    :param fits: None: the overlay is out of reach
    """

    def __init__(
        self, request: wire.FitRequest, fits: wire.Fits | None
    ) -> None:
        self._wishes = request.wishes
        self._has_group = request.group is not None
        self._known = fits is not None
        self._fits = {one.slice: one for one in fits.slices} if fits else {}
        self._shut = frozenset(fits.shut if fits else ())

    @property
    def is_limited(self) -> bool:
        """Whether the request wishes anything."""
        return self._wishes != wire.Wishes()

    @property
    def is_hopeless(self) -> bool:
        """Whether no PC at all is allowed by the wishes."""
        return (
            self._known
            and self.is_limited
            and not any(one.matching for one in self._fits.values())
        )

    def allows(self, host: str) -> bool:
        """Rule 1."""
        if host in self._shut:
            return False
        fit = self._fits.get(host)
        if fit is not None and (self.is_limited or self._has_group):
            return fit.matching > 0
        if self._known:
            return not self.is_limited
        return self._wishes in (wire.Wishes(), wire.Wishes(slice=host))

    def slots(self, host: str) -> int | None:
        """How many such instances a slice has room for; None: no slice."""
        fit = self._fits.get(host)
        return None if fit is None else fit.slots

    def first(
        self, hosts: Iterable[str], count: int, rng: random.Random
    ) -> set[str]:
        """Those of these allowed hosts that are tried first: rules 2 to 4.

        :param count: instances; more slices are taken if the first few
            have not room for so many
        """
        rest: set[str] = set()
        drawn: list[tuple[float, str, int]] = []
        for host in hosts:
            slots = self.slots(host)
            if slots is None:
                rest.add(host)
            elif slots:
                drawn.append((rng.random() ** (1 / slots), host, slots))
        taken: set[str] = set()
        room = 0
        for _, host, slots in sorted(drawn, reverse=True):
            if len(taken) >= FIRST and room >= count:
                break
            taken.add(host)
            room += slots
        return taken | rest

    def seen(self) -> str:
        """The slices with room, in words."""
        if not self._known:
            return 'the overlay is out of reach'
        there = [
            (-one.slots, one.slice) for one in self._fits.values() if one.slots
        ]
        some = [f'{name} ({-room})' for room, name in sorted(there)[:FIRST]]
        if len(there) > len(some):
            some.append(f'{len(there) - len(some)} more')
        return f'room in {", ".join(some)}' if some else 'room in no slice'

    @property
    def explains(self) -> bool:
        """Whether what the overlay sees is why there is no host.

        Where it sees room, Nova's own words are the reason, if it has any:
        it has none for a zone, a trait or a host that is disabled.
        """
        return self.is_limited or (
            self._known and not any(one.slots for one in self._fits.values())
        )

    def reason(self) -> str:
        """How many PCs do not serve the request for which reason."""
        if not self._known:
            return 'The overlay is out of reach' if self.is_limited else ''
        counts = collections.Counter[str]()
        for one in self._fits.values():
            counts.update(one.refused)
            counts['with room in slices that Nova passes over'] += one.peers
        return texts.counts_to_text(counts, REASON_LIMIT)
