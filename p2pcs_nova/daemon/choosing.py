# SPDX-License-Identifier: Apache-2.0
"""A PC's word: which slice it is in, by the policy and all PCs' records.

Every PC reckons where all belong, and goes where it belongs itself; its
record says so, and gateways go by that word.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping

import trio

from p2pcs_nova import wire
from p2pcs_nova.policy.assignment import Pc, assign
from p2pcs_nova.policy.document import ALL_ONCE, Ratios
from p2pcs_nova.policy.partition import Partition

LOOK_S = 2.0
"""How often at most all PCs are ranked anew."""
SETTLE_S = 4.0
"""After the start; a PC that has not heard of the others is the best, and
the worst."""

Choose = Callable[[str, frozenset[str], Ratios], Awaitable[None]]


class Choosing:
    """The choice of one PC.

    :param peer: its id
    :param records: what all PCs say, itself among them, by id
    :param bound: the slice that it holds anything for; '' for none
    :param choose: told of the slice, of those that take nothing new, and
        of how much is given of what this PC offers
    """

    def __init__(
        self,
        peer: str,
        *,
        records: Callable[[], Mapping[str, wire.PeerRecord]],
        bound: Callable[[], str],
        choose: Choose,
    ) -> None:
        self._peer = peer
        self._records = records
        self._bound = bound
        self._choose = choose
        self._partition = Partition()
        self._changed = trio.Event()

    def follow(self, partition: Partition) -> None:
        """Choose by this from now on."""
        self._partition = partition
        self._changed.set()

    def look_again(self) -> None:
        """Somebody's record, or what is here, may have changed."""
        self._changed.set()

    async def run(self) -> None:
        """Choose whenever something has changed, until cancelled."""
        settled = trio.current_time() + SETTLE_S
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            chosen = self.choice(trio.current_time() >= settled)
            if chosen is None:
                self._changed.set()
            else:
                options = self._partition.options(self._bound() or chosen)
                await self._choose(
                    chosen,
                    drained(self._partition),
                    options.ratios if options else ALL_ONCE,
                )
            await trio.sleep(LOOK_S)

    def choice(self, settled: bool) -> str | None:
        """The slice that this PC belongs to, '' for none; None: not yet.

        :param settled: whether the others are known
        """
        records = self._records()
        mine = records.get(self._peer)
        if mine is None:
            return None
        site = self._partition.policy.site_of(mine.attributes)
        if site is None:
            return ''
        cuts = self._partition.cuts(site)
        if not (settled or len(cuts) == 1 or mine.slice):
            return None
        found = assign(self._partition, self._pcs(records))
        return found.slices.get(self._peer, '')

    def _pcs(self, records: Mapping[str, wire.PeerRecord]) -> Iterator[Pc]:
        for peer, record in records.items():
            yield record_to_pc(
                peer,
                record,
                self._bound() if peer == self._peer else None,
            )


def record_to_pc(
    peer: str, record: wire.PeerRecord, bound: str | None = None
) -> Pc:
    """A PC as it is cut.

    :param bound: the slice that it holds anything for, if that is known
        better than its record says
    """
    if bound is None:
        holds = record.used != wire.Capacity()
        return Pc(peer, record.attributes, record.slice, holds)
    return Pc(
        peer, record.attributes, bound or record.slice, bound=bool(bound)
    )


def drained(partition: Partition) -> frozenset[str]:
    """The slices that take nothing new."""
    return frozenset(partition.names) - set(partition.open)
