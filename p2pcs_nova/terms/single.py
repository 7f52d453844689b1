# SPDX-License-Identifier: Apache-2.0
"""The only gateway of an overlay: its terms come from its daemon's counter.

Nobody else may take them, so they last as long as who holds them runs: the
daemon may be away meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

from p2pcs_nova import wire
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.terms.holder import TTL_S, Shares


class OnlyGateway:
    """See :class:`p2pcs_nova.terms.holder.Holder`.

    :param clock: seconds of CLOCK_BOOTTIME
    """

    def __init__(
        self, name: str, client: LocalClient, clock: Callable[[], float]
    ) -> None:
        self.name = name
        self._client = client
        self._clock = clock
        self._held: set[str] = set()

    def renew(self) -> float:
        """From now on for as long as a term lasts."""
        return self._clock() + TTL_S

    def want(self, wanted: bool) -> None:
        """It is the only one anyway."""

    def shares(self) -> Shares:
        """All is its own."""
        return Shares(
            frozenset([self.name]), dict.fromkeys(self._held, self.name)
        )

    def take(self, slice_: str) -> wire.Counter | None:
        """The next number of the daemon's counter."""
        request = wire.TermRequest(self.renew())
        held = self._client.take_term(slice_, request)
        self._held.add(slice_)
        return held.term

    def give_back(self, command: wire.Command) -> None:
        """Nobody waits for it."""
        self._held.discard(command.slice)

    def close(self) -> None:
        """Nobody waits for anything."""
        self._held.clear()
