# SPDX-License-Identifier: Apache-2.0
"""What a PC really holds, asked when it comes, or comes back.

Records tell what is there; only a PC's own full list tells what is not.
It decides about attempts that the gateway's restart interrupted: an epoch
that its PC has built is adopted, one that it has not is buried.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import book as books
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import peers as asking
from p2pcs_nova.gateway import signals, states, store
from p2pcs_nova.gateway import view as views

LOG = logging.getLogger(__name__)

LOST = 'its PC does not know it any more'


class Reconciler:
    """Compares what PCs hold with what was signed.

    :param in_hand: whether a spawn of this instance is going on, which
        then decides about its row itself
    :param buried: notified when there is a grave more
    """

    def __init__(
        self,
        book: books.Book,
        view: views.View,
        peers: asking.Peers,
        heard: states.States,
        options: config.Options,
        clock: Callable[[], float],
        in_hand: Callable[[str], bool],
        buried: signals.Signal,
    ) -> None:
        self._book = book
        self._view = view
        self._peers = peers
        self._heard = heard
        self._options = options
        self._clock = clock
        self._in_hand = in_hand
        self._backoff = signals.Backoff(
            options.retry_first_s, options.retry_last_s
        )
        self._waiting: set[str] = set()
        self._wake = signals.Signal()
        self._buried = buried

    def ask_soon(self, peer: str) -> None:
        """This PC came, came back, or restarted."""
        self._waiting.add(peer)
        self._wake.notify()

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                for peer in self._waiting:
                    nursery.start_soon(self._visit, peer)
                self._waiting = set()
                await self._wake.wait()

    async def _visit(self, peer: str) -> None:
        """Ask and compare until that works, as long as it is within reach."""
        failures = 0
        while self._view.peer(peer).reachable:
            rows = self._rows_on(peer)
            if not rows:
                return
            try:
                listed = await self._peers.ask(
                    peer,
                    rows[0].slice,
                    self._options.list_timeout_s,
                    lambda remote: remote.instances(),
                )
                await self._compare(rows, listed)
            except errors.P2PcsError as error:
                failures += 1
                LOG.info('%s is not yet compared: %s', peer, error)
                await trio.sleep(self._backoff.pause_s(failures))
            else:
                return

    def _rows_on(self, peer: str) -> list[store.InstanceRow]:
        return [row for row in self._book.rows.values() if row.peer == peer]

    async def _compare(
        self, rows: list[store.InstanceRow], listed: wire.InstanceList
    ) -> None:
        """Judge the rows that were there before the PC was asked."""
        statuses = {one.instance: one for one in listed.instances}
        for row in rows:
            if self._book.rows.get(row.instance) != row:
                continue
            if self._in_hand(row.instance):
                continue
            status = statuses.get(row.instance)
            if status is None or status.epoch != row.epoch:
                await self._miss(row)
            else:
                await self._find(row, status)

    async def _find(
        self, row: store.InstanceRow, status: wire.InstanceStatus
    ) -> None:
        if row.state is store.RowState.PLACING:
            if status.state is wire.InstanceState.FAILED:
                await self._bury(row)
                return
            if status.state is not wire.InstanceState.BUILDING:
                await self._book.set_placed(row)
        self._heard.answered(row, status, self._clock())

    async def _miss(self, row: store.InstanceRow) -> None:
        if row.state is store.RowState.PLACING:
            await self._bury(row)
            return
        LOG.warning('instance %s: %s has lost it', row.instance, row.peer_name)
        self._heard.answered(row, lost_status(row), self._clock())

    async def _bury(self, row: store.InstanceRow) -> None:
        """An attempt that the PC never heard of, or that has failed."""
        await self._book.bury(row.instance)
        self._heard.forget(row.instance)
        self._heard.touch(row.slice)
        self._buried.notify()


def lost_status(row: store.InstanceRow) -> wire.InstanceStatus:
    """What is said of an instance that its PC does not know."""
    return wire.InstanceStatus(
        instance=row.instance,
        epoch=row.epoch,
        slice=row.slice,
        state=wire.InstanceState.UNKNOWN,
        need=row.spec.need,
        detail=LOST,
    )
