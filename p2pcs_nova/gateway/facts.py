# SPDX-License-Identifier: Apache-2.0
"""What decides whether a PC can take something, kept up to date.

A request for thousands of PCs must not cost a look at each.  Views of PCs
and what they hold are values that are replaced when they change; so
comparing which object is there finds what has changed, in a millisecond
for ten thousand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from p2pcs_nova.gateway import view as views
from p2pcs_nova.gateway.holdings import Holding, Holdings


@dataclasses.dataclass(frozen=True, eq=False)
class Fact:
    """A PC, the slice that it is in and what it holds; never changes."""

    one: views.PeerView
    slice: str
    holding: Holding | None


class Facts:
    """One fact for each PC that is in a slice."""

    def __init__(self, view: views.View) -> None:
        self._view = view
        self._partition = view.partition
        self._facts: dict[str, Fact] = {}

    def refresh(self, holdings: Holdings) -> Mapping[str, Fact]:
        """By PC: another object than last time where anything changed."""
        if self._view.partition is not self._partition:
            self._partition = self._view.partition
            self._facts.clear()
        now = {one.peer: one for one in self._view.peers()}
        for peer in holdings:
            if peer not in now:
                now[peer] = self._view.peer(peer)
        for peer, one in now.items():
            old, holding = self._facts.get(peer), holdings.on(peer)
            if old is None or old.one is not one or old.holding is not holding:
                slice_ = self._view.slice_of(peer, holdings)
                self._facts[peer] = Fact(one, slice_, holding)
        if len(self._facts) > len(now):
            for peer in self._facts.keys() - now.keys():
                del self._facts[peer]
        return self._facts
