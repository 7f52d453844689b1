# SPDX-License-Identifier: Apache-2.0
"""What the driver last heard of its slice, answered at once.

Two writers: the thread that long-polls the gateway (:meth:`take`) and the
driver after each of its own requests (:meth:`put`, :meth:`forget`).  A
poll may have been answered before a request and arrive after it; so a
poll says which state it began from, and does not touch what the driver
has written since.

No clock of its own: time is an argument, in seconds of one clock.
"""

from __future__ import annotations

import dataclasses
import threading

from p2pcs_nova import wire


@dataclasses.dataclass(frozen=True)
class Change:
    """An instance that both the last and this poll know."""

    uuid: str
    before: wire.Placed
    after: wire.Placed


class View:
    """The slice's instances and its summary; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._placed: dict[str, wire.Placed] = {}
        self._summary: wire.SliceSummary | None = None
        self._heard_at: float | None = None
        self._writes = 0
        self._written: dict[str, int] = {}

    def mark(self) -> int:
        """Grows with each write of the driver; a poll begins with it."""
        with self._lock:
            return self._writes

    def take(
        self,
        mark: int,
        summary: wire.SliceSummary,
        placements: wire.Placements,
        now: float,
    ) -> tuple[Change, ...]:
        """Take a poll's answer.

        :param mark: what :meth:`mark` said before the poll was sent
        :returns: instances whose entry is another than before
        """
        with self._lock:
            later = {uuid for uuid, at in self._written.items() if at > mark}
            new = {
                placed.status.instance: placed
                for placed in placements.instances
                if placed.status.instance not in later
            }
            kept = {u: p for u, p in self._placed.items() if u in later}
            changes = tuple(
                Change(uuid, self._placed[uuid], placed)
                for uuid, placed in new.items()
                if uuid in self._placed and self._placed[uuid] != placed
            )
            self._placed = new | kept
            self._written = {u: self._written[u] for u in later}
            self._summary = summary
            self._heard_at = now
            return changes

    def put(self, placed: wire.Placed) -> None:
        """Take the answer to a request of the driver."""
        with self._lock:
            uuid = placed.status.instance
            self._placed[uuid] = placed
            self._note(uuid)

    def forget(self, uuid: str) -> None:
        """Drop an instance that the driver has destroyed."""
        with self._lock:
            self._placed.pop(uuid, None)
            self._note(uuid)

    def get(self, uuid: str) -> wire.Placed | None:
        """The last that was heard of an instance."""
        with self._lock:
            return self._placed.get(uuid)

    def known(self) -> tuple[str, ...]:
        """Every instance that was heard of."""
        with self._lock:
            return tuple(self._placed)

    def summary(self) -> wire.SliceSummary | None:
        """The slice; None if the gateway has never answered."""
        with self._lock:
            return self._summary

    def is_fresh(self, now: float, age_s: float) -> bool:
        """Whether a poll was answered in the last ``age_s`` seconds."""
        with self._lock:
            return self._heard_at is not None and now - self._heard_at < age_s

    def _note(self, uuid: str) -> None:
        self._writes += 1
        self._written[uuid] = self._writes
