# SPDX-License-Identifier: Apache-2.0
"""Which slices can take an instance now, by the records of their PCs.

The scheduler asks this before every decision, mostly for the same few
flavors.  So for each kind of request that was asked lately the verdict on
every PC is kept, with the sums over each slice, and only PCs that have
changed are judged again: the answer costs the same for ten PCs as for ten
thousand, but for the first of its kind.  Where the others of a server group
are is looked at anew each time: they are few.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import msgspec
import trio

from p2pcs_nova import errors, texts, wire
from p2pcs_nova.gateway import (
    candidates,
    changes,
    entries,
    facts,
    groups,
    wanting,
)
from p2pcs_nova.gateway import view as views

KINDS = 32
"""Kinds of requests that are kept; the one unused longest goes first."""
ASKED = 1000
"""Instances whose requests are remembered, to explain them."""
AT_ONCE = 500
"""PCs that are judged before others have their turn: a user's queries may
be many, and take long, and terms are to be renewed meanwhile."""
FULL = 'full'


@dataclasses.dataclass(frozen=True)
class _Verdict:
    """What one PC says to one kind of request."""

    fact: facts.Fact
    matches: bool
    slots: int
    reason: str
    """Why there is no slot; '' if there is one."""

    def among(self, company: groups.Company) -> _Verdict:
        """The same where the others of its group are."""
        if self.reason not in ('', FULL):
            return self
        peer = self.fact.one.peer
        if refusal := company.refusal(peer):
            return _Verdict(self.fact, False, 0, refusal)
        slots = company.room(peer, self.slots)
        return dataclasses.replace(self, slots=slots)


@dataclasses.dataclass
class _Tally:
    """The sum over one slice."""

    matching: int = 0
    peers: int = 0
    slots: int = 0
    refused: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )

    def count(self, verdict: _Verdict, sign: int) -> None:
        """Add a verdict, or with ``sign`` -1 take it away again."""
        self.matching += sign * verdict.matches
        self.peers += sign * bool(verdict.slots)
        self.slots += sign * verdict.slots
        if verdict.reason:
            self.refused[verdict.reason] += sign


class _Kind:
    """All verdicts on one kind of request."""

    def __init__(self, request: wire.FitRequest, view: views.View) -> None:
        self._request = request
        self._matcher = wanting.Matcher(request.wishes, view)
        self._looked = changes.NEVER
        self._lock = trio.Lock()
        """Of who looks."""
        self._verdicts: dict[str, _Verdict] = {}
        self._tallies: dict[str, _Tally] = collections.defaultdict(_Tally)

    async def follow(self, known: facts.Facts) -> None:
        """Judge again what has changed since the last call."""
        async with self._lock:
            while (changed := known.changes.since(self._looked)) != set():
                number = known.changes.number
                if self._matcher.refresh() or changed is None:
                    self._looked = changes.NEVER
                    self._verdicts.clear()
                    self._tallies.clear()
                    changed = set(known)
                for count, peer in enumerate(changed, 1):
                    self._judge_anew(peer, known.get(peer))
                    if count % AT_ONCE == 0:
                        await trio.lowlevel.checkpoint()
                self._looked = number

    def _judge_anew(self, peer: str, fact: facts.Fact | None) -> None:
        """Let the verdict on a PC be of what it is now; None: gone."""
        old = self._verdicts.pop(peer, None)
        if old is not None:
            self._tallies[old.fact.slice].count(old, -1)
        if fact is not None:
            self._verdicts[peer] = new = self._judge(fact)
            self._tallies[fact.slice].count(new, 1)

    def _judge(self, fact: facts.Fact) -> _Verdict:
        need = self._request.need
        one = fact.one
        mismatch = self._matcher.mismatch(one, fact.slice)
        reason = mismatch or candidates.refusal(
            one, need, self._request.networks
        )
        if reason or one.record is None:
            return _Verdict(fact, not mismatch, 0, reason)
        free = one.record.offer.total.less(one.used(fact.holding))
        slots = free.slots(need)
        return _Verdict(fact, True, slots, '' if slots else FULL)

    def fits(
        self, names: Iterable[str], company: groups.Company
    ) -> tuple[wire.SliceFit, ...]:
        """What these slices can take; nothing where no PC is in one."""
        tallies = self._tallies
        if changed := company.changes(self._verdicts.keys()):
            tallies = copy.deepcopy(tallies)
            for peer in changed:
                if verdict := self._verdicts.get(peer):
                    tally = tallies[verdict.fact.slice]
                    tally.count(verdict, -1)
                    tally.count(verdict.among(company), 1)
        return tuple(
            _fit(name, tallies.get(name, _NOBODY), company) for name in names
        )

    def by_peer(
        self, names: Iterable[str], company: groups.Company
    ) -> Iterator[wire.PeerFit]:
        """What each PC says, by slice and name; last those of no slice.

        A gateway is no PC.
        """
        order = {name: number for number, name in enumerate(names)}
        for verdict in sorted(
            self._verdicts.values(),
            key=lambda one: (
                order.get(one.fact.slice, len(order)),
                one.fact.slice,
                one.fact.one.name,
                one.fact.one.peer,
            ),
        ):
            if verdict.fact.one.is_no_pc:
                continue
            found, slice_ = verdict.among(company), verdict.fact.slice
            reason = found.reason
            if slice_ not in order:
                reason = 'its slice is drained' if slice_ else 'in no slice'
            yield wire.PeerFit(
                slice_,
                verdict.fact.one.name,
                0 if reason else found.slots,
                reason,
            )


_NOBODY = _Tally()


def _fit(name: str, tally: _Tally, company: groups.Company) -> wire.SliceFit:
    return wire.SliceFit(
        name,
        tally.peers,
        min(tally.slots, tally.peers * company.most(tally.slots)),
        {reason: n for reason, n in tally.refused.items() if n},
        tally.matching,
    )


def fits_to_text(found: wire.Fits) -> str:
    """The PCs of all slices, in one line."""
    counts = collections.Counter[str]()
    for one in found.slices:
        counts.update(one.refused)
        counts[f'with room in {one.slice}'] += one.peers
    return texts.counts_to_text(counts)


class Fitting:
    """Answers the scheduler, from memory."""

    def __init__(self, view: views.View) -> None:
        self._view = view
        self._facts = facts.Facts(view)
        self._kinds: collections.OrderedDict[wire.FitRequest, _Kind]
        self._kinds = collections.OrderedDict()
        self._asked: collections.OrderedDict[str, wire.FitRequest]
        self._asked = collections.OrderedDict()

    async def answer(
        self,
        request: wire.FitRequest,
        rows: entries.Rows,
        choices: Iterable[groups.Choice] = (),
        elsewhere: Mapping[str, str] | None = None,
    ) -> wire.Fits:
        """All slices that take anything new, in the policy's order.

        :param rows: the instances of this gateway
        :param choices: PCs that are about to get one
        :param elsewhere: PC by instance of its group, other gateways' too
        :raises Malformed: the wishes are none
        """
        for instance in request.instances:
            self._asked[instance] = request
            self._asked.move_to_end(instance)
        while len(self._asked) > ASKED:
            self._asked.popitem(last=False)
        kind, company = await self._look(request, rows, choices, elsewhere)
        partition = self._view.partition
        return wire.Fits(
            kind.fits(partition.open, company), shut=partition.shut
        )

    def asked(self, instance: str) -> wire.FitRequest | None:
        """What was asked last for an instance; None: that is forgotten."""
        return self._asked.get(instance)

    async def explain(
        self,
        request: wire.FitRequest,
        rows: entries.Rows,
        choices: Iterable[groups.Choice] = (),
        elsewhere: Mapping[str, str] | None = None,
    ) -> tuple[wire.PeerFit, ...]:
        """What each PC says now to a request; nothing if it is none."""
        try:
            kind, company = await self._look(request, rows, choices, elsewhere)
        except errors.Malformed:
            return ()
        return tuple(kind.by_peer(self._view.partition.open, company))

    async def _look(
        self,
        request: wire.FitRequest,
        rows: entries.Rows,
        choices: Iterable[groups.Choice],
        elsewhere: Mapping[str, str] | None,
    ) -> tuple[_Kind, groups.Company]:
        """The verdicts on a request, and where its group is."""
        asked = msgspec.structs.replace(request, group=None, instances=())
        kind = self._kinds.get(asked)
        if kind is None:
            kind = self._kinds[asked] = _Kind(asked, self._view)
        self._kinds.move_to_end(asked)
        if len(self._kinds) > KINDS:
            self._kinds.popitem(last=False)
        self._facts.refresh(rows.holdings)
        await kind.follow(self._facts)
        company = groups.find_company(
            request.group,
            rows.of_group(request.group),
            choices,
            request.instances,
            elsewhere,
        )
        return kind, company
