# SPDX-License-Identifier: Apache-2.0
"""Tell the user what is going on, and how long each step took."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TextIO

TICK_S = 1.0
#: Without a terminal, a step that lasts is named again this often.
REMIND_S = 20.0


class Progress:
    """Steps, several at once, each named with its seconds.

    A terminal shows the running steps in its last line; elsewhere a step
    is a line when it ends, and long ones are named in between.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._lock = threading.Lock()
        self._running: dict[str, float] = {}
        self._begin = time.monotonic()
        self._reminded = self._begin
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()

    @property
    def seconds(self) -> float:
        """Since the beginning of everything."""
        return time.monotonic() - self._begin

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Name the step while the body runs, and its seconds after."""
        begin = time.monotonic()
        with self._lock:
            self._running[name] = begin
            self._draw()
        note = 'FAILED: '
        try:
            yield
            note = ''
        finally:
            with self._lock:
                del self._running[name]
                took = time.monotonic() - begin
                self._print(f'{took:6.1f} s  {note}{name}')

    def say(self, text: str) -> None:
        """Print lines of their own."""
        with self._lock:
            self._print(text)

    def close(self) -> None:
        """Stop redrawing; the last line is cleared."""
        self._over.set()
        self._ticker.join()
        with self._lock:
            self._clear()

    def _tick(self) -> None:
        while not self._over.wait(TICK_S):
            with self._lock:
                if self._terminal:
                    self._draw()
                else:
                    self._remind()

    def _status(self) -> str:
        now = time.monotonic()
        return ', '.join(
            f'{name} ({now - begin:.0f} s)'
            for name, begin in self._running.items()
        )

    def _remind(self) -> None:
        now = time.monotonic()
        oldest = min(self._running.values(), default=now)
        if now - max(oldest, self._reminded) >= REMIND_S:
            self._reminded = now
            self._out.write(f'          ... {self._status()}\n')
            self._out.flush()

    def _draw(self) -> None:
        if self._terminal and self._running:
            self._clear()
            self._out.write(f'... {self._status()}'[:78])
            self._out.flush()

    def _clear(self) -> None:
        if self._terminal:
            self._out.write('\r\x1b[K')

    def _print(self, text: str) -> None:
        self._clear()
        self._out.write(text + '\n')
        self._out.flush()
        self._draw()
