# SPDX-License-Identifier: Apache-2.0
"""From the policy and all PCs' records to the slice of each PC.

Of a site's ``n`` PCs in order of rank the one at place ``i``, from 0, is at
``(i + 1/2) / n``, and belongs to the slice whose cut holds that: so every
slice has its share of the PCs, within one.  Rules:

1. a PC that holds a claim stays;
2. a PC that is beyond the edge of its slice by at most ``TOLERANCE``, or by
   at most one place, stays;
3. where 2 leaves a slice with more than its share, the one that is furthest
   beyond the edge moves nevertheless.

Whoever has the same records comes to the same result, and from the result
to the same again.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

from p2pcs_nova import wire
from p2pcs_nova.policy.document import WHOLE, Site
from p2pcs_nova.policy.partition import Cut, Partition

TOLERANCE = WHOLE // 20
"""Of the site's PCs, in millionths."""


@dataclasses.dataclass(frozen=True)
class Pc:
    """A PC, as it is cut."""

    peer: str
    attributes: wire.Attributes
    slice: str = ''
    """The slice that it is in; '' if it is new."""
    bound: bool = False
    """Whether it holds anything for that slice."""


@dataclasses.dataclass(frozen=True)
class Assignment:
    """Where the PCs belong; each is here or there."""

    slices: Mapping[str, str]
    """Slice by peer."""
    left_out: tuple[str, ...] = ()
    """The peers that no site takes."""


def assign(partition: Partition, pcs: Iterable[Pc]) -> Assignment:
    """The slice of each PC."""
    found: dict[str, str] = {}
    left_out: list[str] = []
    sites: dict[str, list[Pc]] = {}
    for pc in pcs:
        site = partition.policy.site_of(pc.attributes)
        if site is not None:
            sites.setdefault(site.name, []).append(pc)
        elif pc.bound:
            found[pc.peer] = pc.slice
        else:
            left_out.append(pc.peer)
    for site in partition.policy.sites:
        members = ranked(site, sites.get(site.name, ()))
        found |= _Site(partition.cuts(site), members).assign()
    return Assignment(found, tuple(sorted(left_out)))


def ranked(site: Site, pcs: Iterable[Pc]) -> list[Pc]:
    """A site's PCs, the best first.

    Ties are broken by a digest of site and PC, and so by nobody's choice;
    a PC without the attribute comes after those that have it.
    """

    def order(pc: Pc) -> tuple[float, bytes]:
        text = f'{site.name}/{pc.peer}'.encode()
        digest = hashlib.blake2b(text, digest_size=16).digest()
        return (-number_of(pc.attributes.get(site.rank)), digest)

    return sorted(pcs, key=order)


def number_of(value: wire.Attribute | None) -> float:
    """An attribute as a number; -inf if it is none."""
    if not isinstance(value, int | float | str):
        return -math.inf
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return -math.inf
    return -math.inf if math.isnan(number) else number


class _Site:
    """One site's PCs, in order of rank; places in units of 1/(2n)."""

    def __init__(self, cuts: Sequence[Cut], pcs: Sequence[Pc]) -> None:
        self._cuts = {cut.name: cut for cut in cuts}
        self._pcs = pcs
        self._scale = 2 * len(pcs)
        self._exact = self._cut_exactly(cuts)
        self._found: dict[str, str] = {}

    def _place(self, number: int) -> int:
        return (2 * number + 1) * WHOLE

    def _cut_exactly(self, cuts: Sequence[Cut]) -> list[str]:
        found = []
        rest = iter(cuts)
        cut = next(rest)
        for number in range(len(self._pcs)):
            while self._place(number) >= cut.end * self._scale:
                cut = next(rest)
            found.append(cut.name)
        return found

    def _beyond(self, number: int) -> int:
        """How far a PC is beyond the edges of the slice it says."""
        cut = self._cuts[self._pcs[number].slice]
        place = self._place(number)
        return max(
            cut.begin * self._scale - place, place - cut.end * self._scale
        )

    def _is_tolerated(self, number: int) -> bool:
        if self._pcs[number].slice not in self._cuts:
            return False
        limit = max(TOLERANCE * self._scale, 2 * WHOLE)
        return self._beyond(number) <= limit

    def assign(self) -> dict[str, str]:
        shares = collections.Counter(self._exact)
        tolerated = []
        for number, pc in enumerate(self._pcs):
            exact = self._exact[number]
            stays = pc.bound or self._is_tolerated(number)
            self._found[pc.peer] = pc.slice if stays else exact
            if stays and not pc.bound and pc.slice != exact:
                tolerated.append(number)
        counts = collections.Counter(self._found.values())
        tolerated.sort(key=self._beyond, reverse=True)
        while (over := self._first_over(tolerated, counts, shares)) >= 0:
            number = tolerated.pop(over)
            pc, exact = self._pcs[number], self._exact[number]
            counts[pc.slice] -= 1
            counts[exact] += 1
            self._found[pc.peer] = exact
        return self._found

    def _first_over(
        self,
        tolerated: Sequence[int],
        counts: Mapping[str, int],
        shares: Mapping[str, int],
    ) -> int:
        """Which of them is in a slice with more than its share; or -1."""
        for index, number in enumerate(tolerated):
            name = self._pcs[number].slice
            if counts[name] > shares[name]:
                return index
        return -1
