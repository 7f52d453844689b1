# SPDX-License-Identifier: Apache-2.0
"""Connections to other daemons, kept for the next request.

One HTTP client for each member at each address, so that a connection is
never used for another member that has taken over an address.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import ssl
from collections.abc import AsyncIterator

import httpx
import trio

from p2pcs_nova import names
from p2pcs_nova.endpoint import endpoint_to_text

KEPT_S = 15.0
"""Seconds until an idle connection is closed; a listener waits longer."""
PER_MEMBER = 16
"""Connections to one member at once; more requests than that wait."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A member, and where it takes requests."""

    name: names.MemberName
    host: str
    port: int

    @property
    def url(self) -> str:
        """The base of its addresses."""
        return f'https://{endpoint_to_text(self.host, self.port)}'


@dataclasses.dataclass
class _Entry:
    client: httpx.AsyncClient
    users: int = 0


class ConnectionPool:
    """Clients for at most ``size`` members, the longest unused go first.

    :param tls: of :func:`p2pcs_nova.identity.tls.mutual_client`
    :param size: members whose connections are kept; those in use count,
        but are never closed under their users
    """

    def __init__(self, tls: ssl.SSLContext, size: int = 128) -> None:
        self._tls = tls
        self._size = size
        self._entries: collections.OrderedDict[Target, _Entry] = (
            collections.OrderedDict()
        )

    def __len__(self) -> int:
        return len(self._entries)

    @contextlib.asynccontextmanager
    async def lease(self, target: Target) -> AsyncIterator[httpx.AsyncClient]:
        """A client for this member, not closed while it is in use."""
        entry = self._entries.get(target)
        if entry is None:
            entry = self._entries[target] = _Entry(self._new_client(target))
        self._entries.move_to_end(target)
        entry.users += 1
        try:
            yield entry.client
        finally:
            entry.users -= 1
            await self._shrink()

    async def aclose(self) -> None:
        """Close all; requests that still run fail as unreachable."""
        while self._entries:
            _, entry = self._entries.popitem()
            await _close(entry)

    async def _shrink(self) -> None:
        idle = [t for t, entry in self._entries.items() if not entry.users]
        surplus = max(len(self._entries) - self._size, 0)
        gone = [self._entries.pop(target) for target in idle[:surplus]]
        for entry in gone:
            await _close(entry)

    def _new_client(self, target: Target) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=target.url,
            transport=httpx.AsyncHTTPTransport(
                verify=self._tls,
                limits=httpx.Limits(
                    max_connections=PER_MEMBER, keepalive_expiry=KEPT_S
                ),
            ),
            trust_env=False,
        )


async def _close(entry: _Entry) -> None:
    with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
        await entry.client.aclose()
