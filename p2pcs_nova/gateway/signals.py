# SPDX-License-Identifier: Apache-2.0
"""Waking those who wait for something to change."""

from __future__ import annotations

import dataclasses

import trio


class Signal:
    """Something changed: look again.  Waiting needs a deadline."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def notify(self) -> None:
        """Wake everybody who waits now."""
        self._event.set()
        self._event = trio.Event()

    async def wait(self) -> None:
        """Until the next :meth:`notify`."""
        await self._event.wait()


@dataclasses.dataclass(frozen=True)
class Backoff:
    """Pauses of something that is repeated until it works."""

    first_s: float
    last_s: float

    def pause_s(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        doublings = min(max(failures - 1, 0), 32)
        return float(min(self.first_s * 2**doublings, self.last_s))
