# SPDX-License-Identifier: Apache-2.0
"""Promises of room, which end by themselves at their deadlines."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Callable

import trio

from p2pcs_nova import wire
from p2pcs_nova.peer.reservations import Grant, Reservations


class Grants:
    """Of one PC.

    :param clock: seconds of CLOCK_BOOTTIME
    :param on_change: what is free is another
    """

    def __init__(
        self,
        reservations: Reservations,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self._reservations = reservations
        self._clock = clock
        self._on_change = on_change
        self._changed = trio.Event()

    def give(self, slice_: str, claim: wire.Claim) -> tuple[Grant, float]:
        """Promise it, if there is room; with the seconds that it lasts.

        :raises P2PcsError: see :meth:`Reservations.claim`
        """
        now = self._clock()
        grant = self._reservations.claim(
            slice_, claim, str(uuids.uuid4()), now
        )
        self._changed.set()
        self._changed = trio.Event()
        self._on_change()
        return grant, grant.deadline - now

    def take_back(self, reservation: str) -> None:
        """One that is gone is no error."""
        self._reservations.release(reservation)
        self._on_change()

    async def run(self) -> None:
        """End them in time, until cancelled."""
        while True:
            deadline = self._reservations.deadline()
            changed = self._changed
            with trio.move_on_after(
                float('inf')
                if deadline is None
                else max(deadline - self._clock(), 0)
            ):
                await changed.wait()
            if self._reservations.expire(self._clock()):
                self._on_change()
            await trio.lowlevel.checkpoint()
