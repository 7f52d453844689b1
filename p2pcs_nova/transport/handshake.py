# SPDX-License-Identifier: Apache-2.0
"""The TLS handshake of a listener, which tells the client why it failed."""

from __future__ import annotations

import ssl
from typing import cast

import trio

FAREWELL_S = 1.0
"""For an alert to be heard before the connection is closed."""
_PIECE = 4096


class _Recording:
    """A context that remembers where its TLS object writes to.

    A failed handshake leaves an alert there, which trio does not send.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.outgoing = ssl.MemoryBIO()

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
    ) -> ssl.SSLObject:
        self.outgoing = outgoing
        return self._context.wrap_bio(
            incoming, outgoing, server_side, server_hostname
        )


async def handshake(
    stream: trio.SocketStream, tls: ssl.SSLContext, timeout_s: float
) -> trio.SSLStream[trio.SocketStream]:
    """The server's side.

    :raises TooSlowError: the client takes too long
    :raises BrokenResourceError: it failed; the client has been told
    """
    recording = _Recording(tls)
    secure = trio.SSLStream(
        stream,
        cast(ssl.SSLContext, recording),
        server_side=True,
        https_compatible=True,
    )
    try:
        with trio.fail_after(timeout_s):
            await secure.do_handshake()
    except trio.BrokenResourceError:
        await _say_why(stream, recording.outgoing.read())
        raise
    return secure


async def _say_why(stream: trio.SocketStream, alert: bytes) -> None:
    with trio.move_on_after(FAREWELL_S):
        try:
            if alert:
                await stream.send_all(alert)
            await stream.send_eof()
            while await stream.receive_some(_PIECE):
                pass
        except (trio.BrokenResourceError, OSError):
            return
