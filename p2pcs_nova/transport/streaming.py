# SPDX-License-Identifier: Apache-2.0
"""Answers that are longer than memory should hold."""

from __future__ import annotations

import pathlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import trio
from starlette.responses import Response

from p2pcs_nova import bodies, errors

PIECE = 256 * 1024
"""Bytes of a file that are read at once."""

Message = dict[str, Any]


async def read_file(path: pathlib.Path) -> AsyncGenerator[bytes, None]:
    """A file in pieces."""
    async with await trio.open_file(path, 'rb') as file:
        while piece := await file.read(PIECE):
            yield piece


class Handed(Response):
    """An answer that is made for its caller, and ends with him.

    What is opened is closed when the last byte has gone, or the caller.
    An error before the first byte is answered as any other; a later one
    breaks the answer off, so that nobody takes a part for the whole.

    :param open_: makes the body
    """

    def __init__(self, open_: Callable[[], bodies.Opened]) -> None:
        super().__init__(media_type='application/octet-stream')
        self._open = open_

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        failed: errors.P2PcsError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                _wait_gone, receive, nursery.cancel_scope.cancel
            )
            try:
                await self._hand_over(send)
            except errors.P2PcsError as error:
                failed = error
            nursery.cancel_scope.cancel()
        if failed is not None:
            raise failed

    async def _hand_over(
        self, send: Callable[[Message], Awaitable[None]]
    ) -> None:
        async with self._open() as body:
            self.headers['content-length'] = str(body.size_bytes)
            await send(
                {
                    'type': 'http.response.start',
                    'status': self.status_code,
                    'headers': self.raw_headers,
                }
            )
            async for piece in body.chunks:
                await send(
                    {
                        'type': 'http.response.body',
                        'body': piece,
                        'more_body': True,
                    }
                )
        await send({'type': 'http.response.body', 'body': b''})


async def _wait_gone(
    receive: Callable[[], Awaitable[Any]], then: Callable[[], None]
) -> None:
    while (await receive())['type'] != 'http.disconnect':
        continue
    then()
