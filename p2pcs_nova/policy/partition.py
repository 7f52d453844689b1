# SPDX-License-Identifier: Apache-2.0
"""The slices as they are now: the policy, as the slice map divides it.

A slice whose share of its site's slots is more than its maximum is divided
into parts of equal shares, ``name``, ``name-2``, ``name-3``…; one whose
share is less than its minimum is merged into its neighbour of the same site.
How many slots its own PCs have does not count: they change with its edges.
A slice that is there no more is drained: it takes nothing new, and is closed
when its last instance is gone and Nova sends it none any more: what was on
its way would wait for ever for a nova-compute.  Its row goes when its host
has gone from Nova, and keeps until then the zone that the host is in,
whatever becomes of the policy.

A slice is a host of Nova, so no PC's word makes one: it keeps alive what the
policy or the map before has named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence

from p2pcs_nova import wire
from p2pcs_nova.names import PARTS_MAX, part_of
from p2pcs_nova.policy.document import NOTHING, WHOLE, Policy, Site, Slice

NO_MAP = wire.SliceMap(0, 0)


@dataclasses.dataclass(frozen=True)
class Cut:
    """What is a slice's of the PCs of its site, in order of rank."""

    name: str
    begin: int
    end: int
    """In millionths; ``begin`` belongs to it, ``end`` does not."""


class Partition:
    """A policy and its slice map.

    A map of another version, or one that does not cut a site into whole
    shares, says which slices are drained, and nothing of the policy's own:
    those are open.
    """

    def __init__(
        self, policy: Policy = NOTHING, slices: wire.SliceMap = NO_MAP
    ) -> None:
        self.policy = policy
        self.map = slices
        rows = list(slices.rows)
        if slices.policy != policy.version or not _is_whole(policy, rows):
            rows = list(_undivided(policy, rows))
        self.rows = tuple(rows)
        """All slices, the open ones in the policy's order."""
        self._rows = {row.name: row for row in rows}
        self._slices = {one.name: one for one in policy.slices}

    @property
    def names(self) -> tuple[str, ...]:
        """The slices that are open or drained, in order."""
        return tuple(
            row.name
            for row in self.rows
            if row.state is not wire.SliceState.CLOSED
        )

    @property
    def open(self) -> tuple[str, ...]:
        """The slices that take instances, in order."""
        return tuple(
            row.name for row in self.rows if row.state is wire.SliceState.OPEN
        )

    @property
    def shut(self) -> tuple[str, ...]:
        """The others: drained, or closed and not yet gone from Nova."""
        return tuple(
            row.name
            for row in self.rows
            if row.state is not wire.SliceState.OPEN
        )

    def state(self, name: str) -> wire.SliceState:
        """What becomes of a slice; one that nobody knows is closed."""
        row = self._rows.get(name)
        return wire.SliceState.CLOSED if row is None else row.state

    def options(self, name: str) -> Slice | None:
        """What the policy says of a slice; None if nothing any more."""
        row = self._rows.get(name)
        return None if row is None else self._slices.get(row.of)

    def tier(self, name: str) -> int | None:
        """1 for the best slice of its site; None if that is not ranked."""
        row = self._rows.get(name)
        if row is None:
            return None
        for site in self.policy.sites:
            names = [one.name for one in site.slices]
            if site.rank and row.of in names:
                return names.index(row.of) + 1
        return None

    def cuts(self, site: Site) -> tuple[Cut, ...]:
        """How a site's PCs are cut, the best first."""
        names = {one.name for one in site.slices}
        found: list[Cut] = []
        begin = 0
        for row in self.rows:
            if row.of in names and row.share:
                found.append(Cut(row.name, begin, begin + row.share))
                begin += row.share
        return tuple(found)


def _is_whole(policy: Policy, rows: Sequence[wire.SliceRow]) -> bool:
    shares: dict[str, int] = {}
    for row in rows:
        shares[row.of] = shares.get(row.of, 0) + row.share
    return len({row.name for row in rows}) == len(rows) and all(
        sum(shares.get(one.name, 0) for one in site.slices) == WHOLE
        for site in policy.sites
    )


def _undivided(
    policy: Policy, old: Sequence[wire.SliceRow]
) -> Iterator[wire.SliceRow]:
    for one in policy.slices:
        yield wire.SliceRow(
            one.name, of=one.name, share=one.share, zone=one.zone
        )
    for row in old:
        if row.name in policy.names:
            continue
        if row.state is wire.SliceState.CLOSED:
            yield row
        else:
            yield wire.SliceRow(
                row.name, wire.SliceState.DRAINING, zone=row.zone
            )


def next_map(
    policy: Policy,
    old: wire.SliceMap,
    slots: Mapping[str, int],
    occupied: Collection[str] | None,
    bound: Collection[str] = (),
    gone: Collection[str] = (),
    idle: Collection[str] = (),
) -> wire.SliceMap:
    """The map that follows; the same one if nothing is to change.

    :param slots: of all PCs of a site, by its name
    :param occupied: the slices that gateways have written anything of; None:
        that is not known now, and nothing is closed
    :param bound: the slices that PCs say they hold anything for, or that
        Nova has servers of
    :param gone: of the closed slices of ``old`` those that Nova has no host
        of; their rows are dropped, but for the policy's own
    :param idle: of the drained slices of ``old`` those that Nova has no
        server of, and sends none to
    """
    before = {row.name: row for row in old.rows}
    rows: list[wire.SliceRow] = []
    for site in policy.sites:
        rows += _Divided(site, slots.get(site.name, 0), before).rows()
    there = {row.name for row in rows}
    closed = {
        row.name for row in old.rows if row.state is wire.SliceState.CLOSED
    }
    alive = set(bound) & {*before, *policy.names}
    if occupied is None:
        alive |= before.keys() - closed
        dropped = set[str]()
    else:
        alive |= set(occupied)
        dropped = closed & set(gone) - {*alive, *policy.names}
    drained = {
        row.name for row in old.rows if row.state is wire.SliceState.DRAINING
    }
    ended = (closed | (drained & set(idle))) - alive
    for name in (*before, *sorted(alive - before.keys())):
        if name not in there | dropped:
            rows.append(
                wire.SliceRow(
                    name,
                    wire.SliceState.CLOSED
                    if name in ended
                    else wire.SliceState.DRAINING,
                    zone=before[name].zone if name in before else None,
                )
            )
    found = wire.SliceMap(policy.version, old.generation, tuple(rows))
    if found == old:
        return old
    return wire.SliceMap(policy.version, old.generation + 1, tuple(rows))


class _Divided:
    """One site: its slices merged and divided as its slots want it.

    What was done is undone only when there is a quarter to spare.
    """

    def __init__(
        self, site: Site, slots: int, before: Mapping[str, wire.SliceRow]
    ) -> None:
        self._site = site
        self._slots = slots
        self._before = before

    def rows(self) -> Iterator[wire.SliceRow]:
        for one, share in self._merged():
            count = self._parts(one, share)
            for number in range(1, count + 1):
                name = part_of(one.name, number)
                part = share * number // count - share * (number - 1) // count
                yield wire.SliceRow(
                    name, of=one.name, share=part, zone=one.zone
                )

    def _slots_of(self, share: int) -> float:
        return self._slots * share / WHOLE

    def _merged(self) -> list[tuple[Slice, int]]:
        """The slices that stay, with what they take of their neighbours."""
        found: list[tuple[Slice, int]] = []
        carried = 0
        for one in self._site.slices:
            if self._is_too_small(one):
                carried += one.share
            else:
                found.append((one, one.share + carried))
                carried = 0
        if not found:
            largest = max(self._site.slices, key=lambda one: one.share)
            return [(largest, carried)]
        if carried:
            last, share = found[-1]
            found[-1] = (last, share + carried)
        return found

    def _is_too_small(self, one: Slice) -> bool:
        row = self._before.get(one.name)
        was_open = row is None or row.state is wire.SliceState.OPEN
        needed = one.minimum if was_open else one.minimum * 1.25
        return self._slots > 0 and self._slots_of(one.share) < needed

    def _parts(self, one: Slice, share: int) -> int:
        was = sum(
            row.of == one.name and row.state is wire.SliceState.OPEN
            for row in self._before.values()
        )
        slots = self._slots_of(share)
        if not slots:
            return max(was, 1)
        least = max(1, -int(-slots // one.maximum))
        most = max(1, -int(-slots * 1.25 // one.maximum))
        return min(max(was, least), most, PARTS_MAX)
