# SPDX-License-Identifier: Apache-2.0
"""From the policy and all PCs' records to the slice of each PC.

Of a site's ``n`` PCs in order of rank the one at place ``i``, from 0, is at
``(i + 1/2) / n``; a slice's share are those that its cut holds: so each has
its share within one.  Rules:

1. a PC that holds a claim stays, and counts for the slice that it is in;
2. the others, in order of rank, fill what is left of the shares;
3. who is beyond the edge of its slice by at most ``TOLERANCE``, or by at
   most one place, stays;
4. where 3 leaves a slice with more than its share, the one that is furthest
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

TOLERANCE = 0.05
"""Of those of the site's PCs that may move."""


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
    """One site's PCs, in order of rank."""

    def __init__(self, cuts: Sequence[Cut], pcs: Sequence[Pc]) -> None:
        self._found = {pc.peer: pc.slice for pc in pcs if pc.bound}
        self._free = [pc for pc in pcs if not pc.bound]
        self._shares = _left(
            _shares(cuts, len(pcs)),
            collections.Counter(pc.slice for pc in pcs if pc.bound),
            len(self._free),
        )
        self._edges: dict[str, tuple[int, int]] = {}
        """The places of each slice, from the first to before the last."""
        self._exact: list[str] = []
        for cut in cuts:
            begin = len(self._exact)
            self._exact += [cut.name] * self._shares[cut.name]
            self._edges[cut.name] = (begin, len(self._exact))

    def assign(self) -> dict[str, str]:
        """The slice of each PC."""
        limit = max(TOLERANCE * len(self._free), 1)
        tolerated = []
        for number, pc in enumerate(self._free):
            exact = self._exact[number]
            stays = pc.slice in self._edges and self._beyond(number) <= limit
            self._found[pc.peer] = pc.slice if stays else exact
            if stays and pc.slice != exact:
                tolerated.append(number)
        counts = collections.Counter(self._found[pc.peer] for pc in self._free)
        tolerated.sort(key=self._beyond, reverse=True)
        while (over := self._first_over(tolerated, counts)) >= 0:
            number = tolerated.pop(over)
            pc, exact = self._free[number], self._exact[number]
            counts[pc.slice] -= 1
            counts[exact] += 1
            self._found[pc.peer] = exact
        return self._found

    def _beyond(self, number: int) -> float:
        """By how many places a PC is beyond the edges of its slice."""
        begin, end = self._edges[self._free[number].slice]
        place = number + 0.5
        return max(begin - place, place - end)

    def _first_over(
        self, tolerated: Sequence[int], counts: Mapping[str, int]
    ) -> int:
        """Which of them is in a slice with more than its share; or -1."""
        for index, number in enumerate(tolerated):
            name = self._free[number].slice
            if counts[name] > self._shares[name]:
                return index
        return -1


def _shares(cuts: Sequence[Cut], count: int) -> dict[str, int]:
    """How many PCs belong to each slice."""

    def before(edge: int) -> int:
        # Of the places (i + 1/2) / count, those below the edge.
        return -(-(2 * edge * count - WHOLE) // (2 * WHOLE))

    return {cut.name: before(cut.end) - before(cut.begin) for cut in cuts}


def _left(
    shares: Mapping[str, int], bound: Mapping[str, int], free: int
) -> dict[str, int]:
    """What is left of the shares for so many PCs that are free.

    What some slices have too much, or is still in a slice that is drained,
    those lack that have the most left; of equals the lowest, so that the
    best PCs are not taken from above.
    """
    left = {
        name: max(share - bound.get(name, 0), 0)
        for name, share in shares.items()
    }
    for _ in range(sum(left.values()) - free):
        left[max(reversed(left), key=lambda name: left[name])] -= 1
    return left
