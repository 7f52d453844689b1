# SPDX-License-Identifier: Apache-2.0
"""The threads that keep the view fresh and tell Nova of changes.

One long-polls the gateway daemon, the other hands lifecycle events to
Nova: its handler asks the conductor and may take as long as RabbitMQ
does, which must not make the view stale.  Both are daemon threads and die
with the process.  A daemon that stops, or starts anew with lower
revisions, costs one round.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from p2pcs_nova import errors
from p2pcs_nova.client import local
from p2pcs_nova.virt import translate, view

LOG = logging.getLogger(__name__)

WAIT_S = 5.0
"""How long the gateway may hold a poll.  Bound: a change of capacity alone
ends no poll, so this is the age of the inventory."""
RETRY_S = 1.0
"""Between two attempts while the daemon does not answer."""
GONE_RETRY_S = 30.0
"""The same, while it says that there is no such slice: it is closed, and
this process is about to be ended."""
FRESH_S = 3 * WAIT_S
"""A view older than this is not trusted."""

Emit = Callable[[str, int], None]
"""Takes an instance's uuid and one of Nova's lifecycle transitions."""


class Watcher:
    """Keeps one slice's view.

    :param client: the local daemon
    :param slice_name: the slice
    :param into: the view to keep
    :param emit: called on a thread of its own, one event at a time
    """

    def __init__(
        self,
        client: local.LocalClient,
        slice_name: str,
        into: view.View,
        emit: Emit,
    ) -> None:
        self._client = client
        self._slice = slice_name
        self._view = into
        self._emit = emit
        self._events: queue.SimpleQueue[tuple[str, int] | None] = (
            queue.SimpleQueue()
        )
        self._stopping = threading.Event()
        self._after: int | None = None
        self._silent = False

    def start(self) -> None:
        """Start both threads."""
        for name, run in (('poll', self._poll), ('emit', self._hand_over)):
            threading.Thread(
                target=run, name=f'p2pcs-{name}', daemon=True
            ).start()

    def stop(self) -> None:
        """Ask both threads to end; the poll ends with its answer."""
        self._stopping.set()
        self._events.put(None)

    def look(self, wait_s: float = 0.0) -> None:
        """One round: ask, take into the view, queue the events.

        :raises P2PcsError: the daemon did not answer; the next round asks
            for everything, and the view is as it was
        """
        mark = self._view.mark()
        after, self._after = self._after, None
        summary = self._client.slice(self._slice)
        placements = self._client.placements(
            self._slice, after=after, wait_s=wait_s
        )
        changes = self._view.take(mark, summary, placements, time.monotonic())
        if self._view.mark() == mark:
            self._after = placements.revision
        for change in changes:
            transition = translate.change_to_event(
                translate.placed_to_power_state(change.before),
                translate.placed_to_power_state(change.after),
            )
            if transition is not None:
                self._events.put((change.uuid, transition))

    def _poll(self) -> None:
        while not self._stopping.is_set():
            pause_s = RETRY_S
            try:
                self.look(WAIT_S)
            except errors.P2PcsError as error:
                pause_s = retry_s(error)
                if not self._silent:
                    LOG.warning(
                        'Lost sight of slice %s: %s', self._slice, error
                    )
                self._silent = True
            except Exception:
                LOG.exception('Watching slice %s failed', self._slice)
            else:
                if self._silent:
                    LOG.info('Slice %s is in sight again', self._slice)
                self._silent = False
                continue
            self._stopping.wait(pause_s)

    def _hand_over(self) -> None:
        while True:
            event = self._events.get()
            if event is None:
                return
            self._emit(*event)


def retry_s(error: errors.P2PcsError) -> float:
    """How long to wait before the daemon is asked again."""
    return GONE_RETRY_S if isinstance(error, errors.NotFound) else RETRY_S
