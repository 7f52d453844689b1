# SPDX-License-Identifier: Apache-2.0
"""Who is connected, so that who is put out can be shown the door."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import trio


class Presence:
    """The open connections of one listener, by who is at the other end."""

    def __init__(self) -> None:
        self._inside: dict[str, set[trio.socket.SocketType]] = {}

    @contextlib.contextmanager
    def enter(
        self, peer_id: str, sock: trio.socket.SocketType
    ) -> Iterator[None]:
        """A connection is open while this is entered."""
        theirs = self._inside.setdefault(peer_id, set())
        theirs.add(sock)
        try:
            yield
        finally:
            theirs.discard(sock)
            if not theirs and self._inside.get(peer_id) is theirs:
                del self._inside[peer_id]

    def is_inside(self, peer_id: str) -> bool:
        """Whether a member has a connection open."""
        return peer_id in self._inside

    def turn_out(self, peer_id: str) -> None:
        """Close what a member has open, whatever is being sent over it.

        A handler that runs for it runs to its end.
        """
        for sock in tuple(self._inside.get(peer_id, ())):
            sock.close()
