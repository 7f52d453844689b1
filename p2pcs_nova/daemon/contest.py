# SPDX-License-Identifier: Apache-2.0
"""Identities that two live machines use, for as long as they do.

The overlay says again and again that both live; what it has not said for
``HELD_S`` is over.  So the state ends by itself when one of them stops, and
does not flap while both live.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import trio

from gossip.descriptor import Address, PeerId
from p2pcs_nova.endpoint import endpoint_to_text

HELD_S = 20.0
"""Some times as long as the two take turns in (gossip's ``overtake_s``)."""

Tell = Callable[[PeerId, str], None]
"""Takes a peer and the reason why it is out; '' when that is over."""


class Contests:
    """What was said of contested identities, and how long it counts.

    :param clock: seconds of CLOCK_BOOTTIME
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[PeerId, float] = {}
        self._changed = trio.Event()

    def note(self, peer: PeerId) -> bool:
        """Two live machines use this identity; whether that is new."""
        is_new = peer not in self._until
        self._until[peer] = self._clock() + HELD_S
        self._changed.set()
        return is_new

    def deadline(self) -> float:
        """When the next one is over, if nothing more is said."""
        return min(self._until.values(), default=math.inf)

    def take_over(self) -> list[PeerId]:
        """Those that are over by now; each is given once."""
        now = self._clock()
        over = [peer for peer, until in self._until.items() if until <= now]
        for peer in over:
            del self._until[peer]
        return over

    async def watch(self, tell: Tell) -> None:
        """Say when a contest is over, until cancelled."""
        while True:
            self._changed = trio.Event()
            with trio.move_on_after(max(self.deadline() - self._clock(), 0.0)):
                await self._changed.wait()
            for peer in self.take_over():
                tell(peer, '')


def contest_to_text(peer: PeerId, places: Sequence[Address]) -> str:
    """What is wrong, and what helps."""
    where = ' and '.join(endpoint_to_text(*place) for place in places)
    return (
        f'two machines use the identity {peer.hex()}, at {where}: a disk was '
        'cloned, and neither takes anything new.  Stop one of them, or let '
        'it join anew: `p2pcs-peer leave --force`, `p2pcs-peer join TOKEN`'
    )
