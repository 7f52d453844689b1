# SPDX-License-Identifier: Apache-2.0
"""Which slices can take an instance now, by the records of their PCs.

The scheduler asks this before every decision, mostly for the same few
flavors.  So for each kind of request that was asked lately the verdict on
every PC is kept, with the sums over each slice, and only PCs that have
changed are judged again: the answer costs the same for ten PCs as for ten
thousand, but for the first of its kind.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping

from p2pcs_nova import wire
from p2pcs_nova.gateway import candidates, facts, wanting
from p2pcs_nova.gateway import view as views

KINDS = 32
"""Kinds of requests that are kept; the one unused longest goes first."""
FULL = 'full'


@dataclasses.dataclass(frozen=True)
class _Verdict:
    """What one PC says to one kind of request."""

    fact: facts.Fact
    matches: bool
    slots: int
    reason: str
    """Why there is no slot; '' if there is one."""


class _Tally:
    """The sum over one slice."""

    def __init__(self) -> None:
        self.matching = 0
        self.peers = 0
        self.slots = 0
        self.refused: collections.Counter[str] = collections.Counter()

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
        self._verdicts: dict[str, _Verdict] = {}
        self._tallies: dict[str, _Tally] = collections.defaultdict(_Tally)

    def follow(self, known: Mapping[str, facts.Fact]) -> None:
        """Judge again what has changed since the last call."""
        verdicts = self._verdicts
        if self._matcher.refresh():
            verdicts.clear()
            self._tallies.clear()
        for peer, fact in known.items():
            old = verdicts.get(peer)
            if old is None or old.fact is not fact:
                self._drop(old)
                verdicts[peer] = new = self._judge(fact)
                self._tallies[fact.slice].count(new, 1)
        if len(verdicts) > len(known):
            for peer in verdicts.keys() - known.keys():
                self._drop(verdicts.pop(peer))

    def _drop(self, verdict: _Verdict | None) -> None:
        if verdict is not None:
            self._tallies[verdict.fact.slice].count(verdict, -1)

    def _judge(self, fact: facts.Fact) -> _Verdict:
        need = self._request.need
        one = fact.one
        mismatch = self._matcher.mismatch(one, fact.slice)
        reason = mismatch or candidates.refusal(
            one, need, self._request.networks
        )
        if reason or one.record is None:
            return _Verdict(fact, not mismatch, 0, reason)
        slots = candidates.count_slots(
            one.record.offer.total, one.used(fact.holding), need
        )
        return _Verdict(fact, True, slots, '' if slots else FULL)

    def fit(self, name: str) -> wire.SliceFit:
        """What a slice can take; nothing if no PC is in it."""
        tally = self._tallies.get(name)
        if tally is None:
            return wire.SliceFit(name, 0, 0)
        return wire.SliceFit(
            name,
            tally.peers,
            tally.slots,
            {reason: n for reason, n in tally.refused.items() if n},
            tally.matching,
        )


class Fitting:
    """Answers the scheduler, from memory."""

    def __init__(self, view: views.View) -> None:
        self._view = view
        self._facts = facts.Facts(view)
        self._kinds: collections.OrderedDict[wire.FitRequest, _Kind]
        self._kinds = collections.OrderedDict()

    def answer(self, request: wire.FitRequest, rows: facts.Rows) -> wire.Fits:
        """All slices that take anything new, in the policy's order.

        :param rows: the instances of this gateway, by id
        :raises Malformed: the wishes are none
        """
        kind = self._kinds.get(request)
        if kind is None:
            kind = self._kinds[request] = _Kind(request, self._view)
        self._kinds.move_to_end(request)
        if len(self._kinds) > KINDS:
            self._kinds.popitem(last=False)
        kind.follow(self._facts.refresh(rows))
        return wire.Fits(
            tuple(kind.fit(name) for name in self._view.partition.open)
        )
