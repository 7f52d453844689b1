# SPDX-License-Identifier: Apache-2.0
"""Before the application: who calls, may he, and how much does he send?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.transport import handling
from p2pcs_nova.transport.limits import Limits
from p2pcs_nova.transport.refusals import Refusals

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

Gate = Callable[[], None]
"""Raises an error of :mod:`p2pcs_nova.errors` to refuse a request."""

_DRAINED = 64 * 1024
_DRAIN_S = 2.0


class Gated:
    """The application behind the gate, in anycorn's form."""

    def __init__(
        self,
        app: App,
        caller: handling.Caller,
        gate: Gate,
        limits: Limits,
        refusals: Refusals,
    ) -> None:
        self._app = app
        self._caller = caller
        self._gate = gate
        self._limits = limits
        self._refusals = refusals

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
            self._refusals.count(error.code)
            await _drain(body)
            await _refuse(send, error)
            return
        scope[handling.CALLER_SCOPE] = self._caller
        scope[handling.REFUSALS_SCOPE] = self._refusals
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
        :raises Malformed: it does not arrive, or not in time
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
        if message['type'] == 'http.disconnect':
            self.whole = True
            raise errors.Malformed('the body ended too early')
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
