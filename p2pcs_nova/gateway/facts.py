# SPDX-License-Identifier: Apache-2.0
"""What decides whether a PC can take something, kept up to date.

A request for thousands of PCs must not cost a look at each: those are
looked at of which the overlay has told something, or whose instances are
others, since the last time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from p2pcs_nova.gateway import changes
from p2pcs_nova.gateway import view as views
from p2pcs_nova.gateway.holdings import Holding, Holdings


@dataclasses.dataclass(frozen=True, eq=False)
class Fact:
    """A PC, the slice that it is in and what it holds; never changes."""

    one: views.PeerView
    slice: str
    holding: Holding | None


class Facts(Mapping[str, Fact]):
    """One for each PC that the overlay tells of, or that holds something."""

    def __init__(self, view: views.View) -> None:
        self.changes = changes.Changes[str]()
        self._view = view
        self._partition = view.partition
        self._holdings = Holdings()
        self._told = self._held = changes.NEVER
        self._facts: dict[str, Fact] = {}

    def __getitem__(self, peer: str) -> Fact:
        return self._facts[peer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def refresh(self, holdings: Holdings) -> None:
        """Look at what has changed since the last call."""
        for peer in self._news(holdings):
            fact = self._look(peer, holdings)
            if fact is None:
                self._facts.pop(peer, None)
            else:
                self._facts[peer] = fact
            self.changes.note(peer)

    def _news(self, holdings: Holdings) -> Iterable[str]:
        """The PCs to look at again: all of them, if that is not known."""
        told = self._view.changes.since(self._told)
        held = holdings.changes.since(self._held)
        same = (
            self._view.partition is self._partition
            and holdings is self._holdings
        )
        self._told = self._view.changes.number
        self._held = holdings.changes.number
        self._partition, self._holdings = self._view.partition, holdings
        if told is None or held is None or not same:
            return {*self._view.ids(), *holdings, *self._facts}
        return told | held

    def _look(self, peer: str, holdings: Holdings) -> Fact | None:
        if peer not in self._view.ids() and peer not in holdings:
            return None
        return Fact(
            self._view.peer(peer),
            self._view.slice_of(peer, holdings),
            holdings.on(peer),
        )
