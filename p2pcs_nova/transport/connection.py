# SPDX-License-Identifier: Apache-2.0
"""One connection, served as HTTP/1.1.

anycorn brings the protocol, above h11; the stream below it, its deadlines
and its end are here.  Nothing but HTTP/1.1 is spoken.  A handler that runs
when its client goes away runs to its end.
"""

from __future__ import annotations

import logging
import math
from typing import Any, cast

import trio
from anycorn import config as anycorn_config
from anycorn import events, task_group, worker_context
from anycorn.protocol import h11

from p2pcs_nova.transport import handling
from p2pcs_nova.transport.gate import App, Gate, Gated
from p2pcs_nova.transport.limits import Limits
from p2pcs_nova.transport.refusals import BAD_HTTP, Refusals

LOG = logging.getLogger(__name__)

_PIECE = 64 * 1024
_OTHER_PROTOCOLS = (h11.H2CProtocolRequiredError, h11.H2ProtocolAssumedError)


async def serve_connection(
    app: App,
    stream: trio.abc.Stream,
    sock: trio.socket.SocketType,
    *,
    caller: handling.Caller,
    gate: Gate,
    limits: Limits,
    refusals: Refusals,
    encrypted: bool,
) -> None:
    """Answer the requests of one connection until it ends.

    :param stream: what to speak over, TLS or not
    :param sock: the socket below it; closed here
    :param caller: as the listener has verified him
    :param gate: called before every request
    """
    connection = _Connection(stream, sock, limits, refusals)
    gated = Gated(app, caller, gate, limits, refusals)
    await connection.serve(gated, encrypted)


class _Protocol(h11.H11Protocol):
    """anycorn's protocol; it refuses by itself what is not HTTP."""

    refusals: Refusals

    async def _send_error_response(self, status_code: int) -> None:
        self.refusals.count(BAD_HTTP)
        await super()._send_error_response(status_code)


class _Connection:
    """What anycorn's protocol reads from and writes to."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        sock: trio.socket.SocketType,
        limits: Limits,
        refusals: Refusals,
    ) -> None:
        self._stream = stream
        self._sock = sock
        self._limits = limits
        self._refusals = refusals
        self._writing = trio.Lock()
        self._idle = trio.CancelScope()
        self._protocol: _Protocol

    async def serve(self, app: Gated, encrypted: bool) -> None:
        client, server = _addresses(self._sock)
        async with task_group.TaskGroup() as tasks:
            self._protocol = _Protocol(
                cast(Any, app),
                _config(self._limits),
                cast(Any, worker_context.WorkerContext(None)),
                cast(Any, tasks),
                cast(Any, {}),
                client,
                server,
                self._send,
                {} if encrypted else None,
            )
            self._protocol.refusals = self._refusals
            try:
                await self._read()
            finally:
                self._sock.close()
            await self._protocol.handle(events.Closed())

    async def _read(self) -> None:
        self._set_idle(True)
        with self._idle:
            while True:
                try:
                    data = await self._stream.receive_some(_PIECE)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return
                if not data:
                    return
                try:
                    await self._protocol.handle(events.RawData(bytes(data)))
                except _OTHER_PROTOCOLS:
                    LOG.info('a client wanted another protocol than HTTP/1.1')
                    return

    async def _send(self, event: events.Event) -> None:
        if isinstance(event, events.RawData):
            await self._write(event.data)
        elif isinstance(event, events.Closed):
            await self._close()
        elif isinstance(event, events.Updated):
            self._set_idle(event.idle)

    def _set_idle(self, idle: bool) -> None:
        """A request's head must come in time, or the connection ends."""
        now = trio.current_time()
        self._idle.deadline = now + self._limits.idle_s if idle else math.inf

    async def _write(self, data: bytes) -> None:
        view = memoryview(data)
        async with self._writing:
            try:
                while view:
                    with trio.fail_after(self._limits.write_s):
                        await self._stream.send_all(view[:_PIECE])
                    view = view[_PIECE:]
                return
            except (
                trio.BrokenResourceError,
                trio.ClosedResourceError,
                trio.TooSlowError,
            ):
                self._sock.close()
        await self._protocol.handle(events.Closed())

    async def _close(self) -> None:
        with trio.move_on_after(self._limits.write_s):
            async with self._writing:
                await self._stream.aclose()
        self._sock.close()
        await self._protocol.handle(events.Closed())


def _config(limits: Limits) -> anycorn_config.Config:
    config = anycorn_config.Config()
    config.accesslog = None
    config.errorlog = LOG
    config.include_server_header = False
    config.h11_max_incomplete_size = limits.header_bytes
    return config


def _addresses(
    sock: trio.socket.SocketType,
) -> tuple[tuple[str, int] | None, tuple[str, int] | None]:
    """The client's and our own address; none on a UNIX socket."""
    names = sock.getpeername(), sock.getsockname()
    if not all(isinstance(name, tuple) for name in names):
        return None, None
    client, server = ((str(name[0]), int(name[1])) for name in names)
    return client, server
