# SPDX-License-Identifier: Apache-2.0
"""What this PC says of itself by measuring, while it runs."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable

import msgspec
import trio

from p2pcs_nova import files, wall, wire
from p2pcs_nova.peer import benchmark, machine, presence

LOG = logging.getLogger(__name__)

LOOK_S = 60.0
"""Between two looks."""
KEEP_S = 600.0
"""So often what was seen is stored; a power cut forgets no more."""


class Kept(msgspec.Struct, frozen=True):
    """What is stored."""

    presence: presence.Presence
    cpu_name: str = ''
    """Another one is measured anew."""
    cpu_score: int = 0


class Measuring:
    """Looks at this PC, and tells when something has changed.

    :param state: folder on the disk that instances are on
    :param path: file for what outlives the daemon
    :param clock: the wall clock
    :param on_change: called in the trio thread
    """

    def __init__(
        self,
        state: pathlib.Path,
        path: pathlib.Path,
        clock: wall.Wall,
        on_change: Callable[[], None],
        *,
        places: machine.Places = machine.Places(),  # noqa: B008
        score: Callable[[], int] = benchmark.cpu_score,
    ) -> None:
        self._state = state
        self._path = path
        self._clock = clock
        self._on_change = on_change
        self._places = places
        self._score = score
        self._kept = Kept(presence.Presence(self._now()))
        self._stored_s = 0.0
        self._said: wire.Attributes = {}

    def said(self) -> wire.Attributes:
        """What is known until now; nothing before the first look."""
        return self._said

    async def run(self) -> None:
        """Look until cancelled."""
        await trio.to_thread.run_sync(self._load)
        while True:
            found = await trio.to_thread.run_sync(self.look)
            if found != self._said:
                self._said = found
                self._on_change()
            await trio.sleep(LOOK_S)

    def look(self) -> wire.Attributes:
        """Measure once. Blocks."""
        now = self._now()
        seen = self._kept.presence.look(now)
        self._kept = msgspec.structs.replace(self._kept, presence=seen)
        if not 0 <= now - self._stored_s < KEEP_S:
            self._store(now)
        found: dict[str, wire.Attribute] = {
            **machine.look(self._state, self._places),
            'reliability': seen.reliability,
        }
        if self._kept.cpu_score:
            found['cpu_score'] = self._kept.cpu_score
        return found

    def _now(self) -> float:
        return self._clock().timestamp()

    def _load(self) -> None:
        """What an earlier daemon has stored; the benchmark if none has."""
        try:
            self._kept = msgspec.json.decode(
                self._path.read_bytes(), type=Kept
            )
        except FileNotFoundError:
            pass
        except (OSError, *wire.UNDECODABLE) as error:
            LOG.warning('%s is begun anew: %s', self._path, error)
        try:
            cpuinfo = (self._places.proc / 'cpuinfo').read_text()
        except OSError:
            cpuinfo = ''
        name = machine.cpu_name(cpuinfo)
        if not self._kept.cpu_score or self._kept.cpu_name != name:
            score = self._score()
            LOG.info('one core compresses %d MiB in a second', score)
            self._kept = Kept(self._kept.presence, name, score)

    def _store(self, now: float) -> None:
        try:
            files.replace(self._path, msgspec.json.encode(self._kept))
        except OSError as error:
            LOG.warning('%s is not stored: %s', self._path, error)
        else:
            self._stored_s = now
