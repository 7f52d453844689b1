# SPDX-License-Identifier: Apache-2.0
"""Carrying out tombstones: every grave's PC is told until it obeys.

A PC that is out of reach is not asked; when it is back it is asked at
once.  Nor is one asked whose slice we do not command.  Each grave is a task
of its own, so that a frozen PC delays only its own.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import book as books
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import peers as asking
from p2pcs_nova.gateway import signals, store
from p2pcs_nova.gateway import view as views

LOG = logging.getLogger(__name__)

PER_PEER = 4
"""Tombstones that one PC carries out at once."""

GraveKey = tuple[str, wire.Counter]


class Reaper:
    """Tells PCs which epochs must not run.

    :param clock: seconds of CLOCK_BOOTTIME; pauses are measured by it
    :param reaped: notified when a tombstone was carried out
    """

    def __init__(
        self,
        book: books.Book,
        view: views.View,
        peers: asking.Peers,
        options: config.Options,
        clock: Callable[[], float],
        reaped: signals.Signal,
    ) -> None:
        self._book = book
        self._view = view
        self._peers = peers
        self._options = options
        self._clock = clock
        self._backoff = signals.Backoff(
            options.retry_first_s, options.retry_last_s
        )
        self._reaped = reaped
        self._busy: dict[GraveKey, str] = {}
        """Graves whose PC is being told, and that PC."""
        self._failures: dict[GraveKey, int] = {}
        self._not_before: dict[GraveKey, float] = {}
        self.wake = signals.Signal()
        """To notify when there is a grave more, a PC back, or a new term."""

    def peer_is_back(self, peer: str) -> None:
        """Ask this PC at once, whatever failed before."""
        for grave in self._book.graves.on(peer):
            self._failures.pop(_key(grave), None)
            self._not_before.pop(_key(grave), None)
        self.wake.notify()

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                pause_s = math.inf
                now = self._clock()
                for grave in self._pending():
                    due = self._not_before.get(_key(grave), now)
                    if due > now:
                        pause_s = min(pause_s, due - now)
                    elif self._has_room(grave.peer):
                        self._busy[_key(grave)] = grave.peer
                        nursery.start_soon(self._tell, grave)
                with trio.move_on_after(pause_s):
                    await self.wake.wait()

    def _pending(self) -> list[store.Grave]:
        graves = self._book.graves
        return [
            grave
            for peer in graves.peers()
            if self._view.peer(peer).reachable
            for grave in graves.on(peer)
            if _key(grave) not in self._busy
            and self._peers.may_ask(grave.slice)
        ]

    def _has_room(self, peer: str) -> bool:
        return list(self._busy.values()).count(peer) < PER_PEER

    async def _tell(self, grave: store.Grave) -> None:
        """One try; its outcome decides when the next one is due."""
        key = _key(grave)
        try:
            await self._peers.ask(
                grave.peer,
                grave.slice,
                self._options.destroy_timeout_s,
                lambda remote: remote.tombstone(grave.tombstone),
            )
            await self._book.forget(grave)
        except errors.P2PcsError as error:
            self._postpone(grave, error)
        else:
            self._failures.pop(key, None)
            self._not_before.pop(key, None)
            LOG.info(
                'instance %s: epoch %s is buried on %s',
                grave.instance,
                grave.epoch,
                grave.peer_name,
            )
            self._reaped.notify()
        finally:
            self._busy.pop(key, None)
            self.wake.notify()

    def _postpone(self, grave: store.Grave, error: errors.P2PcsError) -> None:
        key = _key(grave)
        self._failures[key] = self._failures.get(key, 0) + 1
        pause_s = self._backoff.pause_s(self._failures[key])
        self._not_before[key] = self._clock() + pause_s
        LOG.warning(
            'instance %s: the tombstone of epoch %s is not settled with %s '
            '(%s: %s); again in %g s',
            grave.instance,
            grave.epoch,
            grave.peer_name,
            error.code,
            error,
            pause_s,
        )


def _key(grave: store.Grave) -> GraveKey:
    return grave.instance, grave.epoch
