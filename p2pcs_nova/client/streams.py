# SPDX-License-Identifier: Apache-2.0
"""Bodies that httpx reads, and nothing left behind when one is given up."""

from __future__ import annotations

import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
)
from typing import Any

import httpx
import trio

from p2pcs_nova import errors

_CLEAR_S = 1.0


@contextlib.asynccontextmanager
async def pieces(
    answer: httpx.Response,
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The body as it comes; it need not be read to its end.

    httpx reads through a row of generators. One that is dropped half-way
    is finished by the garbage collector, some time; here all are finished
    before this returns: the connection is closed, and so each ends.
    """
    body = answer.aiter_raw()
    try:
        yield body
    finally:
        with trio.CancelScope(
            shield=True, deadline=trio.current_time() + _CLEAR_S
        ):
            await answer.aclose()
            with contextlib.suppress(httpx.TransportError, httpx.StreamError):
                async for _ in body:
                    continue


async def bounded(
    answer: httpx.Response, limit: int, too_long: errors.P2PcsError
) -> bytes:
    """The whole body, if it is not longer than this.

    :param limit: bytes
    :raises too_long: it is; the connection is closed
    """
    whole = bytearray()
    async with pieces(answer) as body:
        async for piece in body:
            whole += piece
            if len(whole) > limit:
                raise too_long
    return bytes(whole)


async def steady(
    chunks: AsyncIterator[bytes], silence_s: float
) -> AsyncGenerator[bytes, None]:
    """The same bytes.

    :raises TooSlowError: a pause longer than ``silence_s``
    """
    while True:
        with trio.fail_after(silence_s):
            try:
                chunk = await anext(chunks)
            except StopAsyncIteration:
                return
        yield chunk


def close_if_cancelled() -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    """For one request's ``trace`` extension.

    httpcore leaves the socket open of a TLS handshake that is cancelled.
    """
    stream: Any = None

    async def trace(event: str, info: dict[str, Any]) -> None:
        nonlocal stream
        if event == 'connection.connect_tcp.complete':
            stream = info['return_value']
        elif event == 'connection.start_tls.failed' and stream is not None:
            stream.get_extra_info('socket').close()

    return trace
