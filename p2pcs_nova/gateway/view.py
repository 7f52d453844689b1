# SPDX-License-Identifier: Apache-2.0
"""What a gateway knows of the PCs, from the overlay alone.

Slow facts: attributes, offers, who is alive.  They may be stale by some
seconds; a stale one costs a refused claim, never a double booking.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import operator
from collections.abc import Collection, Iterable, Iterator

from p2pcs_nova import attributes, traits, wire
from p2pcs_nova.endpoint import endpoint_to_text
from p2pcs_nova.gateway import changes
from p2pcs_nova.gateway.holdings import Holding, Holdings
from p2pcs_nova.policy.document import Slice
from p2pcs_nova.policy.partition import Partition

NOTHING = wire.Capacity()


class Liveness(enum.StrEnum):
    """How the overlay's failure detector sees a peer."""

    ALIVE = 'alive'
    SUSPECT = 'suspect'
    """Did not answer; it is still asked, after the others."""
    FAILED = 'failed'
    LEFT = 'left'
    REVOKED = 'revoked'
    """Put out of the overlay for ever."""
    CONTESTED = 'contested'
    """Two machines use its identity."""
    UNKNOWN = 'unknown'
    """Not in the overlay: forgotten, or not heard of yet."""


REACHABLE = (Liveness.ALIVE, Liveness.SUSPECT)


@dataclasses.dataclass(frozen=True)
class PeerSeen:
    """A member of the overlay, as the failure detector sees it."""

    peer: str
    role: str
    host: str
    port: int
    """Where it takes requests."""
    liveness: Liveness
    boot: str = ''
    """Changes when its daemon restarts."""


@dataclasses.dataclass(frozen=True)
class Bar:
    """A PC takes no part, whatever the failure detector says."""

    liveness: Liveness
    reason: str
    name: str = ''
    """Its host name when it was barred."""


@dataclasses.dataclass(frozen=True)
class PeerView:
    """All that is known of one PC."""

    peer: str
    seen: PeerSeen | None = None
    record: wire.PeerRecord | None = None
    bar: Bar | None = None

    @property
    def liveness(self) -> Liveness:
        """Alive, suspect, failed, unknown, or why it is barred."""
        if self.bar is not None:
            return self.bar.liveness
        return Liveness.UNKNOWN if self.seen is None else self.seen.liveness

    @property
    def reachable(self) -> bool:
        """Whether it makes sense to ask it."""
        return self.liveness in REACHABLE

    @property
    def is_no_pc(self) -> bool:
        """Whether it is a gateway."""
        return self.seen is not None and self.seen.role != 'peer'

    @property
    def name(self) -> str:
        """Its host name; its id as long as that is not known."""
        if self.record is not None:
            return self.record.name
        return (self.bar and self.bar.name) or self.peer

    @property
    def offer(self) -> wire.Offer | None:
        """What it gives; None if it takes nothing new."""
        if not self.reachable or self.record is None or self.record.draining:
            return None
        return self.record.offer

    def used(self, held: Holding | None) -> wire.Capacity:
        """Held by run rights: by its own word, or ours if that is newer."""
        said = NOTHING if self.record is None else self.record.used
        ours = NOTHING if held is None else held.need
        return _larger(said, ours)


class View:
    """The PCs of all slices; fed with what the overlay tells."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.changes = changes.Changes[str]()
        """PCs of which anything is told anew."""
        self._peers: dict[str, PeerView] = {}
        self._bars: dict[str, Bar] = {}
        self._chosen: dict[str, set[str]] = {}
        """The PCs that say so, by slice."""

    # -- feeding ------------------------------------------------------------

    def see(self, seen: PeerSeen) -> None:
        """Take what the failure detector says."""
        old = self.peer(seen.peer)
        self._put(dataclasses.replace(old, seen=seen))

    def take_record(self, peer: str, record: wire.PeerRecord | None) -> None:
        """Take what a PC says of itself; None: it says nothing more."""
        old = self.peer(peer)
        self._put(dataclasses.replace(old, record=record))

    def drop(self, peer: str) -> None:
        """It left the overlay."""
        self._unchoose(peer)
        self._peers.pop(peer, None)
        self.changes.note(peer)

    def _put(self, one: PeerView) -> None:
        self._unchoose(one.peer)
        self._peers[one.peer] = one
        self.changes.note(one.peer)
        if chosen := _slice_said(one):
            self._chosen.setdefault(chosen, set()).add(one.peer)

    def _unchoose(self, peer: str) -> None:
        old = self._peers.get(peer)
        if old is not None and (chosen := _slice_said(old)):
            self._chosen[chosen].discard(peer)
            if not self._chosen[chosen]:
                del self._chosen[chosen]

    def bar(self, peer: str, bar: Bar | None) -> None:
        """Let a PC take no part; None: let it take part again."""
        self.changes.note(peer)
        if bar is None:
            self._bars.pop(peer, None)
            return
        one = self.peer(peer)
        name = '' if one.name == peer else one.name
        self._bars[peer] = dataclasses.replace(bar, name=name)

    # -- asking -------------------------------------------------------------

    def peer(self, peer: str) -> PeerView:
        """One PC; nothing is known of it if it was never heard of.

        The same object as long as nothing changes of a PC that the overlay
        tells of, and that takes part.
        """
        one = self._peers.get(peer) or PeerView(peer)
        bar = self._bars.get(peer)
        return one if one.bar is bar else dataclasses.replace(one, bar=bar)

    def ids(self) -> Collection[str]:
        """All that the overlay tells of, in no order."""
        return self._peers.keys()

    def peers(self) -> Iterator[PeerView]:
        """The same, with what is known of each."""
        return map(self.peer, self._peers)

    def said(self) -> Iterator[wire.Attributes]:
        """What the PCs of all slices say of themselves, in no order.

        Those that are off too: a query means the same by night and by day.
        One that was put out has no say.
        """
        for peer, one in self._peers.items():
            if one.record is not None and peer not in self._bars:
                yield one.record.attributes

    def vocabulary(self) -> wire.Vocabulary:
        """All attributes that a query can ask of."""
        return attributes.merge(attributes.KNOWN, self.said())

    def slice_of(self, peer: str, holdings: Holdings) -> str:
        """The slice that a PC is in; '' if none that there is.

        What it holds decides before its word: a PC that holds a claim does
        not change slice.
        """
        one = self.peer(peer)
        if one.is_no_pc:
            return ''
        if peer in holdings:
            return holdings[peer].slice
        said = _slice_said(one)
        return said if self._takes(said) else ''

    def _takes(self, name: str) -> bool:
        """Whether a PC that holds nothing of ours can be in it."""
        return self.partition.state(name) is not wire.SliceState.CLOSED

    def members(self, name: str, holdings: Holdings) -> list[PeerView]:
        """The PCs of a slice, by id; unreachable ones too.

        A claim asks for them: how many PCs others have is not to matter.
        """
        found = {
            peer
            for peer in holdings.bound_to(name)
            if not self.peer(peer).is_no_pc
        }
        if self._takes(name):
            chosen = self._chosen.get(name, ())
            found.update(peer for peer in chosen if peer not in holdings)
        return [self.peer(peer) for peer in sorted(found)]

    def summarize(
        self, name: str, term: wire.Counter | None, holdings: Holdings
    ) -> wire.SliceSummary:
        """A slice as Placement sees it.

        A PC that takes nothing new, because it is out of reach or closed,
        counts as what it holds: its allocations stay covered, and nothing
        more is promised.  All PCs of a slice that is drained do.
        """
        members = self.members(name, holdings)
        is_open = self.partition.state(name) is wire.SliceState.OPEN
        offers = [
            one.offer for one in members if is_open and one.offer is not None
        ]
        options = self.partition.options(name) or Slice(name)
        return wire.SliceSummary(
            name=name,
            term=term,
            peers=len(members),
            unreachable=sum(not one.reachable for one in members),
            total=_sum(_counted(members, holdings, is_open)),
            largest=functools.reduce(
                _larger, (offer.total for offer in offers), NOTHING
            ),
            used=_sum(one.used(holdings.on(one.peer)) for one in members),
            largest_free=functools.reduce(
                _larger, _free(members if is_open else (), holdings), NOTHING
            ),
            accelerators=tuple(
                sorted({offer.accelerator for offer in offers})
            ),
            networks=tuple(
                sorted({net for offer in offers for net in offer.networks})
            ),
            state=self.partition.state(name),
            zone=options.zone,
            traits=tuple(sorted(self._traits(name, options, members))),
            cpu_model=_common(offer.cpu_model for offer in offers),
            hypervisor_version=min(
                (offer.hypervisor_version for offer in offers), default=0
            ),
        )

    def _traits(
        self, name: str, options: Slice, members: Iterable[PeerView]
    ) -> frozenset[str]:
        """What the policy says, and what is true of all PCs of a slice.

        One that was put out has no say.
        """
        tier = self.partition.tier(name)
        said = (*options.traits, *([traits.of_tier(tier)] if tier else ()))
        return traits.common(
            one.record
            for one in members
            if one.record is not None and one.bar is None
        ).union(said)

    def rows(self, holdings: Holdings) -> Iterator[wire.PeerRow]:
        """A line for each peer, by name."""
        for one in sorted(
            (
                self.peer(peer)
                for peer in {*self._peers, *self._bars, *holdings}
            ),
            key=lambda one: (one.name, one.peer),
        ):
            yield self._row(one, holdings)

    def _row(self, one: PeerView, holdings: Holdings) -> wire.PeerRow:
        slice_ = self.slice_of(one.peer, holdings)
        held = holdings.on(one.peer)
        state = one.liveness.value
        if one.liveness is Liveness.ALIVE and _draining(one):
            state = 'draining'
        return wire.PeerRow(
            peer=one.peer,
            name=one.name,
            role=_role(one),
            address=_address(one.seen),
            state=state,
            slice=slice_,
            offer=NOTHING if one.record is None else one.record.offer.total,
            used=one.used(held),
            instances=0 if held is None else held.count,
            reason=_reason(one, slice_),
        )


def _counted(
    members: Iterable[PeerView], holdings: Holdings, is_open: bool
) -> Iterator[wire.Capacity]:
    for one in members:
        held = holdings.on(one.peer)
        need = NOTHING if held is None else held.need
        if is_open and one.offer is not None:
            # What it holds beyond its offer is no one else's to give.
            yield _larger(one.offer.total, need)
        else:
            yield need


def _slice_said(one: PeerView) -> str:
    """The slice that a PC has chosen, whatever there is; '' if none."""
    if one.is_no_pc or one.record is None:
        return ''
    return one.record.slice


def _free(
    members: Iterable[PeerView], holdings: Holdings
) -> Iterator[wire.Capacity]:
    """What is free on each PC that takes something new."""
    for one in members:
        if one.offer is not None:
            yield one.offer.total.less(one.used(holdings.on(one.peer)))


def _draining(one: PeerView) -> bool:
    return one.record is not None and one.record.draining


def _role(one: PeerView) -> str:
    """Its role; '' if it has none any more."""
    if one.seen is not None:
        return one.seen.role
    return 'peer' if one.bar is None else ''


def _address(seen: PeerSeen | None) -> str:
    return '' if seen is None else endpoint_to_text(seen.host, seen.port)


def _reason(one: PeerView, slice_: str) -> str:
    """Why a PC gives less than one would expect, in words."""
    if one.bar is not None:
        return one.bar.reason
    if one.is_no_pc:
        return ''
    if one.record is None:
        return 'it has not yet said what it offers'
    if not slice_ and one.record.slice:
        return f'in slice {one.record.slice}, which the policy does not have'
    if not slice_:
        return 'it is in no slice of the policy'
    return one.record.offer.reason


def _larger(a: wire.Capacity, b: wire.Capacity) -> wire.Capacity:
    """The larger of both, part by part."""
    return wire.Capacity(
        max(a.vcpus, b.vcpus),
        max(a.memory_mb, b.memory_mb),
        max(a.disk_mb, b.disk_mb),
    )


def _sum(parts: Iterable[wire.Capacity]) -> wire.Capacity:
    return functools.reduce(operator.add, parts, NOTHING)


def _common(values: Iterable[str]) -> str:
    found = set(values)
    return found.pop() if len(found) == 1 else ''
