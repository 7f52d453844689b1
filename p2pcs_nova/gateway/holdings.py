# SPDX-License-Identifier: Apache-2.0
"""What PCs hold by a gateway's run rights."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Sequence

from p2pcs_nova import wire
from p2pcs_nova.gateway import changes, indexed, store


@dataclasses.dataclass(frozen=True)
class Holding:
    """What this gateway has given to one PC by run rights."""

    slice: str
    need: wire.Capacity
    count: int


class Holdings(indexed.Indexed[str, Holding]):
    """By PC; one that holds nothing is not there."""

    def __init__(self) -> None:
        self._by_slice = indexed.Shelves[str, Holding](lambda one: one.slice)
        self.changes = changes.Changes[str]()
        super().__init__(self._by_slice)

    def __setitem__(self, peer: str, held: Holding) -> None:
        super().__setitem__(peer, held)
        self.changes.note(peer)

    def __delitem__(self, peer: str) -> None:
        super().__delitem__(peer)
        self.changes.note(peer)

    def on(self, peer: str) -> Holding | None:
        """What a PC holds, if anything."""
        return self._values.get(peer)

    def bound_to(self, slice_: str) -> list[str]:
        """The PCs that what they hold binds to a slice."""
        return self._by_slice.keys(slice_)


def sum_up(rows: Sequence[store.InstanceRow]) -> Holding:
    """The slice that one PC's instances bind it to, and their sum.

    :param rows: at least one
    """
    need = functools.reduce(operator.add, (row.spec.need for row in rows))
    return Holding(rows[-1].slice, need, len(rows))
