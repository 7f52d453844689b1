# SPDX-License-Identifier: Apache-2.0
"""One connection, served as HTTP/1.1 by anycorn.

anycorn brings the protocol; here are its ends: a stream whose writes have a
deadline (anycorn shields them from cancellation), and a gate before the
application that knows the caller, limits the body and speaks plain HTTP
only.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import anyio
import anyio.abc
import trio
from anycorn import config as anycorn_config
from anycorn import tcp_server, worker_context
from anyio.streams import tls as anyio_tls

from p2pcs_nova import errors, wire
from p2pcs_nova.transport import handling
from p2pcs_nova.transport.limits import Limits

LOG = logging.getLogger(__name__)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

_PIECE = 64 * 1024
_DRAINED = 64 * 1024
_DRAIN_S = 2.0


Gate = Callable[[], None]
"""Raises an error of :mod:`p2pcs_nova.errors` to refuse a request."""


async def serve_connection(
    app: App,
    stream: trio.abc.Stream,
    sock: trio.socket.SocketType,
    *,
    caller: handling.Caller | None,
    gate: Gate,
    limits: Limits,
    encrypted: bool,
) -> None:
    """Answer the requests of one connection until it ends.

    :param stream: what to speak over, TLS or not
    :param sock: the socket below it; closed here
    :param caller: verified by the listener; None if he has no identity
    :param gate: called before every request
    """
    server = tcp_server.TCPServer(
        cast(Any, _Gated(app, caller, gate, limits)),
        _config(limits),
        worker_context.WorkerContext(None),
        cast(Any, {}),
        cast(
            anyio.abc.SocketStream,
            _AnyioStream(stream, sock, limits, encrypted),
        ),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_close_when_cancelled, sock)
        try:
            await server.run()
        finally:
            nursery.cancel_scope.cancel()


async def _close_when_cancelled(sock: trio.socket.SocketType) -> None:
    try:
        await trio.sleep_forever()
    finally:
        sock.close()


def _config(limits: Limits) -> anycorn_config.Config:
    config = anycorn_config.Config()
    config.accesslog = None
    config.errorlog = LOG
    config.include_server_header = False
    config.alpn_protocols = ['http/1.1']
    config.h11_max_incomplete_size = limits.header_bytes
    config.keep_alive_timeout = limits.idle_s
    return config


class _AnyioStream(anyio.abc.ByteStream):
    """A trio stream in the form in which anycorn wants it."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        sock: trio.socket.SocketType,
        limits: Limits,
        encrypted: bool,
    ) -> None:
        self._stream = stream
        self._sock = sock
        self._limits = limits
        self._encrypted = encrypted

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        attributes: dict[Any, Callable[[], Any]] = {
            anyio.abc.SocketAttribute.raw_socket: lambda: self._sock
        }
        if self._encrypted:
            attributes[anyio_tls.TLSAttribute.alpn_protocol] = lambda: (
                'http/1.1'
            )
        return attributes

    async def receive(self, max_bytes: int = _PIECE) -> bytes:
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.ClosedResourceError:
            raise anyio.ClosedResourceError from None
        except (trio.BrokenResourceError, trio.BusyResourceError) as error:
            raise anyio.BrokenResourceError from error
        if not data:
            raise anyio.EndOfStream
        return bytes(data)

    async def send(self, item: bytes) -> None:
        view = memoryview(item)
        try:
            while view:
                with trio.fail_after(self._limits.write_s):
                    await self._stream.send_all(view[:_PIECE])
                view = view[_PIECE:]
        except trio.ClosedResourceError:
            raise anyio.ClosedResourceError from None
        except (
            trio.BrokenResourceError,
            trio.BusyResourceError,
            trio.TooSlowError,
        ) as error:
            self._sock.close()
            raise anyio.BrokenResourceError from error

    async def send_eof(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        with trio.move_on_after(self._limits.write_s):
            await self._stream.aclose()
        self._sock.close()


class _Gated:
    """The application behind the gate, in anycorn's form."""

    def __init__(
        self,
        app: App,
        caller: handling.Caller | None,
        gate: Gate,
        limits: Limits,
    ) -> None:
        self._app = app
        self._caller = caller
        self._gate = gate
        self._limits = limits

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        _sync_spawn: object,
        _call_soon: object,
    ) -> None:
        if scope['type'] == 'websocket':
            await send({'type': 'websocket.close', 'code': 1008})
            return
        body = _Body(receive, self._limits)
        try:
            self._check(scope)
        except errors.P2PcsError as error:
            await _drain(body)
            await _refuse(send, error)
            return
        scope[handling.CALLER_SCOPE] = self._caller
        await self._app(scope, body.receive, send)

    def _check(self, scope: Scope) -> None:
        if not scope['http_version'].startswith('1.'):
            raise errors.Malformed('this daemon speaks HTTP/1.1')
        self._gate()
        for name, value in scope['headers']:
            if (
                name == b'content-length'
                and int(value) > self._limits.body_bytes
            ):
                raise _too_large(self._limits)


class _Body:
    """A request's body, with deadlines while it arrives."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self._deadline = trio.current_time() + limits.body_s
        self._bytes = 0
        self.whole = False

    async def receive(self) -> Message:
        """The next event of the request.

        :raises TooLarge: more than the listener takes
        :raises Malformed: it does not arrive in time
        """
        if self.whole:
            return await self._receive()
        deadline = min(
            self._deadline, trio.current_time() + self._limits.body_silence_s
        )
        with trio.CancelScope(deadline=deadline) as scope:
            message = await self._receive()
        if scope.cancelled_caught:
            self.whole = True
            raise errors.Malformed('the body did not arrive in time')
        self._bytes += len(message.get('body', b''))
        self.whole = not message.get('more_body', False)
        if self._bytes > self._limits.body_bytes:
            raise _too_large(self._limits)
        return message


def _too_large(limits: Limits) -> errors.TooLarge:
    return errors.TooLarge(f'a body has at most {limits.body_bytes:g} bytes')


async def _drain(body: _Body) -> None:
    """Read a little of what comes, so that the refusal is heard."""
    count = 0
    with trio.move_on_after(_DRAIN_S):
        while not body.whole and count < _DRAINED:
            try:
                message = await body.receive()
            except errors.P2PcsError:
                return
            count += len(message.get('body', b''))


async def _refuse(send: Send, error: errors.P2PcsError) -> None:
    response = handling.answer(
        wire.Problem(error.code, error.message), error.status
    )
    await send(
        {
            'type': 'http.response.start',
            'status': response.status_code,
            'headers': [*response.raw_headers, (b'connection', b'close')],
        }
    )
    await send({'type': 'http.response.body', 'body': response.body})
