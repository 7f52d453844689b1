# SPDX-License-Identifier: Apache-2.0
"""Hand TCP connections on: ``relay HOST PORT TO_PORT``.

For what listens in its own machine only: a second gateway has no other way
to the lab's message queue.
"""

from __future__ import annotations

import functools
import sys

import trio

PIECE = 65536


async def copy(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    """All that comes, to its end."""
    async for piece in source:
        await sink.send_all(piece)
    await sink.send_eof()


async def relay(to_port: int, caller: trio.SocketStream) -> None:
    """One connection, until either side has ended it."""
    try:
        async with (
            await trio.open_tcp_stream('127.0.0.1', to_port) as server,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(copy, caller, server)
            nursery.start_soon(copy, server, caller)
    except* (OSError, trio.BrokenResourceError):
        pass  # One side is gone; the other hears so.


async def main(host: str, port: int, to_port: int) -> None:
    """Until killed."""
    handler = functools.partial(relay, to_port)
    await trio.serve_tcp(handler, port, host=host)


if __name__ == '__main__':
    trio.run(main, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
