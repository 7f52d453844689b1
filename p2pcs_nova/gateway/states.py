# SPDX-License-Identifier: Apache-2.0
"""How the instances are, as last heard: what ``get_info`` answers from.

Two sources speak of one epoch: a PC's own answer to a request, and the
records that it publishes.  Rules:

* a word of another epoch, or of another PC than the row's, counts nothing;
* the later word wins, but a record that arrives within ``settle_s`` of an
  answer may have been written before it: it counts only after that time,
  if no later one has come;
* an instance that no record names is not gone: only its PC's own answer
  says so.

Every change raises the revision of its slice; revisions start above all
those of earlier starts, because the number of the start is part of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from p2pcs_nova import texts, wire
from p2pcs_nova.gateway import store

REVISIONS_PER_START = 2**32


@dataclasses.dataclass(frozen=True)
class Word:
    """One word on an instance's state, and when it came."""

    epoch: wire.Counter
    state: wire.InstanceState
    at: float
    detail: str = ''


class States:
    """The last word on every instance, and the revision of every slice.

    :param settle_s: how long a PC's answer outweighs later records
    :param notify: called after every change
    """

    def __init__(self, settle_s: float, notify: Callable[[], None]) -> None:
        self._settle_s = settle_s
        self._notify = notify
        self._last = 0
        self._first = 0
        self._revisions: dict[str, int] = {}
        self._answers: dict[str, Word] = {}
        self._records: dict[str, dict[str, Mapping[str, Word]]] = {}
        """By peer, then by part of its record."""
        self._due: dict[str, float] = {}
        """By slice: when a record that waits begins to count."""

    # -- revisions ----------------------------------------------------------

    def begin(self, number: wire.Counter) -> None:
        """Count from here on; before the first question.

        :param number: higher than those of all earlier starts
        """
        self._last = self._first = number.n * REVISIONS_PER_START

    def touch(self, slice_: str) -> None:
        """Something about the slice's instances changed."""
        self._last += 1
        self._revisions[slice_] = self._last
        self._notify()

    def revision(self, slice_: str, now: float) -> int:
        """The slice's revision; it only grows."""
        due = self._due.get(slice_)
        if due is not None and due <= now:
            del self._due[slice_]
            self.touch(slice_)
        return self._revisions.get(slice_, self._first)

    def deadline(self, slice_: str) -> float | None:
        """When to look at the revision again, changes aside."""
        return self._due.get(slice_)

    # -- hearing ------------------------------------------------------------

    def answered(
        self, row: store.InstanceRow, status: wire.InstanceStatus, now: float
    ) -> None:
        """Take a PC's own answer about a row's instance."""
        if status.epoch != row.epoch:
            return
        before = self.word(row, now)
        detail = texts.printable(status.detail)
        word = Word(row.epoch, status.state, now, detail)
        self._answers[row.instance] = word
        if (before.state, before.detail) != (word.state, word.detail):
            self.touch(row.slice)

    def recorded(
        self,
        peer: str,
        part: str,
        record: wire.InstancesRecord | None,
        rows: Mapping[str, store.InstanceRow],
        now: float,
    ) -> None:
        """Take one part of a PC's record; None: it is gone."""
        words = {
            instance: Word(epoch, state, now)
            for instance, epoch, state in (record.rows if record else ())
        }
        concerned = [
            rows[instance]
            for instance in words
            if instance in rows and rows[instance].peer == peer
        ]
        before = [self.word(row, now).state for row in concerned]
        missing = self._still_of_use(peer, part, rows)
        self._records.setdefault(peer, {})[part] = missing | words
        for row, state in zip(concerned, before, strict=True):
            if self.word(row, now).state is not state:
                self.touch(row.slice)
            elif words[row.instance].state is not state:
                self._wait_for(row, now)

    def _still_of_use(
        self, peer: str, part: str, rows: Mapping[str, store.InstanceRow]
    ) -> dict[str, Word]:
        """What a part of a record last said of instances that exist."""
        return {
            instance: word
            for instance, word in self._parts(peer).get(part, {}).items()
            if instance in rows and rows[instance].epoch == word.epoch
        }

    def _wait_for(self, row: store.InstanceRow, now: float) -> None:
        """A record within an answer's time: look again after it."""
        answer = self._answers.get(row.instance)
        if answer is not None and answer.at + self._settle_s > now:
            due = answer.at + self._settle_s
            self._due[row.slice] = min(due, self._due.get(row.slice, due))
            self._notify()

    def forget(self, instance: str) -> None:
        """The instance is deleted."""
        self._answers.pop(instance, None)

    def drop_peer(
        self, peer: str, rows: Mapping[str, store.InstanceRow]
    ) -> None:
        """A PC left the overlay; the last word on what it holds stays."""
        kept = {
            part: words
            for part in self._parts(peer)
            if (words := self._still_of_use(peer, part, rows))
        }
        self._records.pop(peer, None)
        if kept:
            self._records[peer] = dict(kept)

    def _parts(self, peer: str) -> Mapping[str, Mapping[str, Word]]:
        return self._records.get(peer, {})

    # -- asking -------------------------------------------------------------

    def word(self, row: store.InstanceRow, now: float) -> Word:
        """The last word on the row's instance."""
        answer = self._answers.get(row.instance)
        if answer is not None and answer.epoch != row.epoch:
            answer = None
        record = self._record_of(row)
        if record is None:
            return answer or self._unheard(row)
        if answer is None:
            return record
        counts_from = answer.at + self._settle_s
        fresh = record.at > answer.at and now >= counts_from
        return record if fresh else answer

    def quarantined(self) -> list[tuple[str, str, wire.Counter]]:
        """Peer, instance and epoch of what the records call so."""
        return sorted(
            (peer, instance, word.epoch)
            for peer, parts in self._records.items()
            for words in parts.values()
            for instance, word in words.items()
            if word.state is wire.InstanceState.QUARANTINED
        )

    def _record_of(self, row: store.InstanceRow) -> Word | None:
        """The latest record of its PC that names the row's epoch."""
        words = [
            words[row.instance]
            for words in self._parts(row.peer).values()
            if row.instance in words
        ]
        mine = [word for word in words if word.epoch == row.epoch]
        return max(mine, key=lambda word: word.at, default=None)

    @staticmethod
    def _unheard(row: store.InstanceRow) -> Word:
        state = (
            wire.InstanceState.BUILDING
            if row.state is store.RowState.PLACING
            else wire.InstanceState.UNKNOWN
        )
        return Word(row.epoch, state, 0.0)
