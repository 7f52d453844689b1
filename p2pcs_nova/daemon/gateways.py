# SPDX-License-Identifier: Apache-2.0
"""The gateways that this daemon has seen, remembered over its restarts.

Who was off while the overlay's keys were renewed hears nobody and is heard
by nobody when it is back: it can still ask a gateway that it knows.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from gossip import events as news
from gossip.descriptor import Member, Role
from p2pcs_nova.endpoint import endpoint_to_text
from p2pcs_nova.identity.store import KnownGateway

LOG = logging.getLogger(__name__)

KEPT = 16

Keep = Callable[[tuple[KnownGateway, ...]], Awaitable[None]]


class Gateways:
    """Those of one daemon.

    :param known: that were stored, newest first
    :param me: our own peer id, as text
    :param keep: stores them; durable at return
    """

    def __init__(
        self, known: tuple[KnownGateway, ...], me: str, keep: Keep
    ) -> None:
        self._known = known
        self._me = me
        self._keep = keep

    def listed(self) -> tuple[KnownGateway, ...]:
        """All, newest first."""
        return self._known

    async def on_event(self, event: news.Event) -> None:
        """Remember a gateway that is here, or that has moved."""
        match event:
            case (
                news.PeerJoined(member)
                | news.PeerChanged(member)
                | news.PeerRecovered(member)
            ) if member.role is Role.GATEWAY:
                await self._see(member)

    async def _see(self, member: Member) -> None:
        seen = KnownGateway(
            member.peer.hex(),
            endpoint_to_text(member.address.host, member.request_port),
        )
        if seen.peer_id == self._me or seen in self._known:
            return
        others = [one for one in self._known if one.peer_id != seen.peer_id]
        self._known = (seen, *others[: KEPT - 1])
        try:
            await self._keep(self._known)
        except OSError as error:
            # It is seen again after the next start, if nothing else fails.
            LOG.warning('gateway %s is not stored: %s', seen.peer_id, error)
