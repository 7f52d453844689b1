# SPDX-License-Identifier: Apache-2.0
"""What a PC really holds, asked when it comes, or comes back.

Records tell what is there; only a PC's own full list tells what is not.
Rules, for each instance of a slice that we command:

1. of attempts that the gateway's restart interrupted, an epoch that its PC
   has built is adopted, one that it has not is buried, and one that it still
   builds is judged when the PC publishes that this has ended;
2. an epoch that we know, and whose PC waits for our word, is confirmed: a
   PC that lost power starts nothing without it;
3. an epoch that we neither know nor have buried is put into quarantine,
   unless what was written of its era may be lost: then it is taken into the
   book as its PC has it, if a gateway of the overlay has signed its run
   right for that PC, and no later epoch is known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from p2pcs_nova import errors, hearsay, wire
from p2pcs_nova.gateway import book as books
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import peers as asking
from p2pcs_nova.gateway import signals, states, store
from p2pcs_nova.gateway import view as views

LOG = logging.getLogger(__name__)

LOST = 'its PC does not know it any more'
_PASSING = frozenset(
    {
        wire.InstanceState.BUILDING,
        wire.InstanceState.FAILED,
        wire.InstanceState.UNKNOWN,
    }
)
"""States of which nothing follows: they end, or nothing is there."""


class Reconciler:
    """Compares what PCs hold with what was signed.

    :param in_hand: whether a spawn of this instance is going on, which
        then decides about its row itself
    :param buried: notified when there is a grave more
    :param verify: opens a run right that any gateway has signed
    :param may_be_lost: whether what was written of an epoch may be lost
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
        verify: Callable[[wire.Signed], wire.RunRight],
        may_be_lost: Callable[[wire.Counter], bool],
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
        self._visited: set[str] = set()
        """PCs that are being asked: what one publishes adds no visit."""
        self._wake = signals.Signal()
        self._buried = buried
        self._verify = verify
        self._may_be_lost = may_be_lost

    def ask_soon(self, peer: str) -> None:
        """This PC came, came back, or restarted; or its slice's term began."""
        self._waiting.add(peer)
        self._wake.notify()

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                due = self._waiting - self._visited
                self._waiting -= due
                self._visited |= due
                for peer in due:
                    nursery.start_soon(self._visit_alone, peer)
                await self._wake.wait()

    def concerns(self, peer: str, record: wire.InstancesRecord) -> bool:
        """Whether what a PC publishes is a reason to visit it."""
        return any(
            _word(state, self._is_known(peer, instance, epoch)) is not None
            or (
                state is not wire.InstanceState.BUILDING
                and self._is_undecided(peer, instance, epoch)
            )
            for instance, epoch, state in record.rows
        )

    def _is_undecided(
        self, peer: str, instance: str, epoch: wire.Counter
    ) -> bool:
        """Whether we have signed it, and nobody waits for its build."""
        row = self._row(peer, instance, epoch)
        return (
            row is not None
            and row.state is store.RowState.PLACING
            and not self._in_hand(instance)
        )

    def _is_known(self, peer: str, instance: str, epoch: wire.Counter) -> bool:
        """Whether we have signed it, or buried it."""
        return (
            (instance, epoch) in self._book.graves
            or self._in_hand(instance)
            or self._row(peer, instance, epoch) is not None
        )

    def _row(
        self, peer: str, instance: str, epoch: wire.Counter
    ) -> store.InstanceRow | None:
        """Ours of this epoch, if it is this PC's."""
        row = self._book.rows.get(instance)
        if row is None or (row.peer, row.epoch) != (peer, epoch):
            return None
        return row

    async def _visit_alone(self, peer: str) -> None:
        """One visit at a time; who became of interest meanwhile is next."""
        try:
            await self._visit(peer)
        finally:
            self._visited.discard(peer)
            self._wake.notify()

    async def _visit(self, peer: str) -> None:
        """Ask and compare until that works, as long as we may."""
        failures = 0
        while self._view.peer(peer).reachable:
            rows = self._book.rows.on(peer)
            record = self._view.peer(peer).record
            holds = record is not None and record.used != wire.Capacity()
            bound = record.slice if record is not None and holds else ''
            slice_ = rows[0].slice if rows else bound
            if not self._peers.may_ask(slice_):
                return
            try:
                listed = await self._peers.ask(
                    peer,
                    slice_,
                    self._options.list_timeout_s,
                    lambda remote: remote.instances(),
                )
                await self._compare(rows, listed)
                await self._confirm(peer, listed)
            except errors.P2PcsError as error:
                failures += 1
                LOG.info('%s is not yet compared: %s', peer, error)
                await trio.sleep(self._backoff.pause_s(failures))
            else:
                return

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

    async def _confirm(self, peer: str, listed: wire.InstanceList) -> None:
        """Tell a PC what of it is wanted, and what nobody knows.

        :raises P2PcsError: it refused some; all have been tried
        """
        failed: list[errors.P2PcsError] = []
        for status in listed.instances:
            if not self._peers.may_ask(status.slice):
                continue
            try:
                known = self._is_known(
                    peer, status.instance, status.epoch
                ) or await self._find_lost(peer, status)
                action = _word(status.state, known)
                if action is not None:
                    await self._say(peer, status, action)
            except (errors.NotFound, errors.StaleEpoch) as error:
                LOG.info('instance %s: %s', status.instance, error)
            except errors.P2PcsError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    async def _find_lost(self, peer: str, status: wire.InstanceStatus) -> bool:
        """Take an instance into the book that it once was in, perhaps."""
        row = self._book.rows.get(status.instance)
        if (
            status.state in _PASSING
            or not self._may_be_lost(status.epoch)
            or (row is not None and row.epoch >= status.epoch)
        ):
            return False
        held = await self._peers.ask(
            peer,
            status.slice,
            self._options.list_timeout_s,
            lambda remote: remote.right(status.instance),
        )
        name = self._view.peer(peer).name
        try:
            right = self._verify(held.run_right)
        except errors.BadRunRight as error:
            LOG.warning('instance %s on %s: %s', status.instance, name, error)
            return False
        found = (right.instance, right.epoch, right.peer, right.slice)
        if found != (status.instance, status.epoch, peer, status.slice):
            LOG.warning('instance %s: %s has no right', status.instance, name)
            return False
        if not hearsay.MOST.fits(held.spec.need):
            LOG.warning('instance %s: too much for %s', status.instance, name)
            return False
        if row is not None and row.slice != right.slice:
            await self._bury(row)
        await self._book.place(
            store.InstanceRow(
                right.instance,
                right.slice,
                peer,
                name,
                right.epoch,
                store.RowState.PLACED,
                held.run_right,
                held.spec,
            )
        )
        LOG.warning(
            'instance %s: epoch %s on %s was forgotten, and is known again',
            right.instance,
            right.epoch,
            name,
        )
        self._heard.touch(right.slice)
        self._buried.notify()
        return True

    async def _say(
        self, peer: str, status: wire.InstanceStatus, action: wire.Action
    ) -> None:
        LOG.info(
            'instance %s: epoch %s is %s on %s: %s',
            status.instance,
            status.epoch,
            status.state,
            self._view.peer(peer).name,
            action,
        )
        request = wire.ActionRequest(action, epoch=status.epoch)
        said = await self._peers.ask(
            peer,
            status.slice,
            self._options.action_timeout_s,
            lambda remote: remote.action(status.instance, request),
        )
        row = self._book.rows.get(status.instance)
        if row is not None and row.peer == peer:
            self._heard.answered(row, said, self._clock())

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
        await self._book.bury(row.slice, row.instance)
        self._heard.forget(row.instance)
        self._heard.touch(row.slice)
        self._buried.notify()


def _word(state: wire.InstanceState, known: bool) -> wire.Action | None:
    """What a PC is told of an epoch in this state."""
    if state in _PASSING:
        return None
    is_away = state is wire.InstanceState.QUARANTINED
    if known and (is_away or state is wire.InstanceState.WAITING):
        return wire.Action.RESTORE
    if not known and not is_away:
        return wire.Action.QUARANTINE
    return None


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
