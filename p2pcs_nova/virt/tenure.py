# SPDX-License-Identifier: Apache-2.0
"""The term by which this nova-compute acts: the process ends with it.

Its supervisor renews a file.  Once the file's time is over another gateway
may serve the slice: whatever this process would still do, to a PC, to
Nova's database, is then for the other one to do.  So it ends at once, and
raises nothing: an error would be Nova's word on a server that the other
one is about.  What it was about is settled when the next nova-compute of
the slice starts.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import threading
from collections.abc import Callable

import msgspec

from p2pcs_nova import wire

LOG = logging.getLogger(__name__)

LOOK_S = 0.5
"""Between two looks at the file, while there is time."""
EXIT_CODE = 75
"""As sysexits.h has it: a temporary failure, try again."""
BEAT = 'beat'
"""Beside the file of the term: touched at each look, a sign of life."""


class NoTerm(Exception):
    """The file has no term of this slice whose time is not over."""


def read_term(path: pathlib.Path) -> wire.HeldTerm | None:
    """What the supervisor says; None if it says nothing."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=wire.HeldTerm)
    except (OSError, *wire.UNDECODABLE):
        return None


class Tenure:
    """A term, for the life of this process.

    :param path: the file that is renewed
    :param clock: seconds of CLOCK_BOOTTIME
    :param end: ends the process with this exit code, at once
    :raises NoTerm: there is none to begin with
    """

    def __init__(
        self,
        path: pathlib.Path,
        slice_name: str,
        clock: Callable[[], float],
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._path = path
        self._clock = clock
        self._end = end
        held = read_term(path)
        if held is None or held.slice != slice_name:
            raise NoTerm(f'{path} has no term of slice {slice_name}')
        if clock() >= held.until_s:
            raise NoTerm(f'the term in {path} is over')
        self._held = held

    def start(self) -> None:
        """Start the thread that watches; it dies with the process."""
        threading.Thread(
            target=self._run, name='p2pcs-tenure', daemon=True
        ).start()

    def command(self) -> wire.Command:
        """By which authority we ask now."""
        if self._clock() >= self._held.until_s:
            self.look()
        return wire.Command(self._held.slice, self._held.term)

    def look(self) -> None:
        """Take a renewal; end the process if the term is over."""
        new = read_term(self._path)
        if new is not None and new.term > self._held.term:
            self.is_over(f'{new.term} has begun')
        elif new is not None and new.term == self._held.term:
            self._held = new
        if self._clock() >= self._held.until_s:
            self.is_over('it was not renewed in time')

    def is_over(self, why: str) -> None:
        """End the process: nothing that it still does may count."""
        LOG.error(
            'Term %s of slice %s is over: %s',
            self._held.term,
            self._held.slice,
            why,
        )
        self._end(EXIT_CODE)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self.look()
            with contextlib.suppress(OSError):
                self._path.with_name(BEAT).touch()
            left_s = self._held.until_s - self._clock()
            pause.wait(min(max(left_s, 0.0), LOOK_S))
