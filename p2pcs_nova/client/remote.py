# SPDX-License-Identifier: Apache-2.0
"""Another daemon of the overlay, asked over mutual TLS; on trio.

Every call has a hard deadline and ends with an answer or an error of
:mod:`p2pcs_nova.errors`: what the daemon answered, or ``Unreachable`` when
it did not (then the outcome is not known).  Cancelling a call closes its
connection and nothing else.
"""

from __future__ import annotations

import base64
import contextlib
import ssl
import types
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, TypeVar

import httpx
import msgspec
import trio

from p2pcs_nova import bodies, errors, names, wire
from p2pcs_nova.client import answers
from p2pcs_nova.client.paths import path_of
from p2pcs_nova.client.pool import ConnectionPool, Target
from p2pcs_nova.client.streams import (
    bounded,
    close_if_cancelled,
    pieces,
    steady,
)

T = TypeVar('T')

ANSWER_LIMIT = 8 * 2**20
"""Bytes; the largest answer is a console or a long list of instances."""


class RemoteClient:
    """Speaks to one daemon; an asynchronous context manager.

    :param address: host (a literal address) and TCP port
    :param peer_id: the daemon's peer id; nobody else is believed
    :param role: its role, in the name that its certificate must carry
    :param tls: of :func:`p2pcs_nova.identity.tls.mutual_client`
    :param command: by which authority we speak; a PC asks for it
    :param timeout_s: deadline of calls that do not say their own
    :param pool: shares connections with other clients; without it they
        are closed with this one
    """

    def __init__(
        self,
        address: tuple[str, int],
        peer_id: str,
        role: str,
        overlay: str,
        tls: ssl.SSLContext,
        command: wire.Command | None = None,
        timeout_s: float = 10.0,
        *,
        pool: ConnectionPool | None = None,
        request_id: str = '',
    ) -> None:
        self.target = Target(
            names.MemberName(peer_id, role, overlay), *address
        )
        self.timeout_s = timeout_s
        self._shared = pool is not None
        self._pool = ConnectionPool(tls) if pool is None else pool
        self._headers: dict[str, str] = {}
        if command is not None:
            self._headers[wire.COMMAND_HEADER] = msgspec.json.encode(
                command
            ).decode()
        if request_id:
            self._headers[wire.REQUEST_ID_HEADER] = request_id

    async def __aenter__(self) -> RemoteClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close connections that are not shared."""
        if not self._shared:
            await self._pool.aclose()

    # -- any daemon ---------------------------------------------------------

    async def status(self) -> wire.DaemonStatus:
        """What the daemon says of itself."""
        return await self._ask('GET', '/v1/status', wire.DaemonStatus)

    async def ring(self) -> wire.Ring:
        """A gateway's ring keys.

        :raises Forbidden: it is no gateway
        """
        return await self._ask('GET', '/v1/ring', wire.Ring)

    async def policy(self) -> wire.PolicyBundle:
        """The policy and the slice map that are in force there."""
        return await self._ask('GET', '/v1/policy', wire.PolicyBundle)

    # -- a PC ---------------------------------------------------------------

    async def claim(
        self, claim: wire.Claim, timeout_s: float | None = None
    ) -> wire.Reservation:
        """Ask for capacity; it is held until the reservation expires."""
        return await self._ask(
            'POST',
            '/v1/reservations',
            wire.Reservation,
            value=claim,
            timeout_s=timeout_s,
        )

    async def release(self, reservation: str) -> None:
        """Give a reservation back; it may be gone already."""
        await self._call('DELETE', path_of('reservations', reservation))

    async def build(
        self,
        instance: str,
        request: wire.BuildRequest,
        timeout_s: float | None = None,
    ) -> wire.InstanceStatus:
        """Confirm the reservation and build; answers when PLUGGED."""
        return await self._ask(
            'PUT',
            path_of('instances', instance),
            wire.InstanceStatus,
            value=request,
            timeout_s=timeout_s,
        )

    async def action(
        self,
        instance: str,
        request: wire.ActionRequest,
        timeout_s: float | None = None,
    ) -> wire.InstanceStatus:
        """Start, stop, reboot, pause, suspend; answers when it is done.

        :param timeout_s: beside the time that the action itself is given
        """
        margin = self.timeout_s if timeout_s is None else timeout_s
        return await self._ask(
            'POST',
            path_of('instances', instance, 'action'),
            wire.InstanceStatus,
            value=request,
            timeout_s=margin + request.timeout_s,
        )

    async def filter(self, instance: str, request: wire.FilterRequest) -> None:
        """From now on this may pass at its ports."""
        await self._call(
            'PUT', path_of('instances', instance, 'filters'), value=request
        )

    @contextlib.asynccontextmanager
    async def snapshot(
        self, instance: str, request: wire.SnapshotRequest
    ) -> AsyncIterator[bodies.Body]:
        """A copy of its disk, which its PC makes and sends meanwhile.

        The PC drops the copy when the context ends, however it ends.
        """
        path = path_of('instances', instance, 'snapshot')
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self._translated('POST', path))
            client = await stack.enter_async_context(self._lease())
            with trio.fail_after(request.timeout_s + self.timeout_s):
                answer = await stack.enter_async_context(
                    client.stream(
                        'POST',
                        path,
                        content=msgspec.json.encode(request),
                        headers={
                            **self._headers,
                            'content-type': 'application/json',
                        },
                        timeout=None,
                        extensions=self._extensions(),
                    )
                )
                if not answer.is_success:
                    raise answers.failure_to_error(
                        answer.status_code, await _read(answer)
                    )
            size = answers.length_to_size(
                answer.headers.get('content-length', '')
            )
            chunks = await stack.enter_async_context(pieces(answer))
            body = await stack.enter_async_context(
                contextlib.aclosing(steady(chunks, self.timeout_s))
            )
            yield bodies.Body(size, body)

    async def tombstone(
        self, tombstone: wire.Tombstone, timeout_s: float | None = None
    ) -> None:
        """Destroy this epoch and every lower one, now and for good."""
        await self._call(
            'POST',
            path_of('instances', tombstone.instance, 'tombstone'),
            value=tombstone,
            timeout_s=timeout_s,
        )

    async def instances(self) -> wire.InstanceList:
        """All instances that the PC holds."""
        return await self._ask('GET', '/v1/instances', wire.InstanceList)

    async def instance(
        self, instance: str, timeout_s: float | None = None
    ) -> wire.InstanceStatus:
        """One instance, as its PC sees it now."""
        return await self._ask(
            'GET',
            path_of('instances', instance),
            wire.InstanceStatus,
            timeout_s=timeout_s,
        )

    async def right(self, instance: str) -> wire.HeldRight:
        """The run right by which the PC has an instance."""
        return await self._ask(
            'GET', path_of('instances', instance, 'right'), wire.HeldRight
        )

    async def console(self, instance: str, length: int) -> wire.Console:
        """The last ``length`` bytes of the serial console."""
        return await self._ask(
            'GET',
            path_of('instances', instance, 'console'),
            wire.Console,
            query={'bytes': str(length)},
        )

    async def diagnostics(self, instance: str) -> wire.Diagnostics:
        """Counters of the running domain."""
        return await self._ask(
            'GET',
            path_of('instances', instance, 'diagnostics'),
            wire.Diagnostics,
        )

    async def story(self, instance: str) -> wire.Chapter:
        """What the PC has logged of an instance, be it gone or not."""
        return await self._ask(
            'GET', path_of('instances', instance, 'story'), wire.Chapter
        )

    # -- a gateway ----------------------------------------------------------

    async def fetch_image(
        self, digest: str, run_right: wire.Signed
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of an image, in pieces; the caller verifies them.

        The deadline holds for each piece.  Close the iterator
        (:func:`contextlib.aclosing`) if it is not read to its end.

        :param run_right: names the digest
        """
        right = base64.b64encode(msgspec.json.encode(run_right)).decode()
        async with self._lease() as client:
            with self._translated('GET', 'image'):
                async with client.stream(
                    'GET',
                    path_of('images', digest),
                    headers=self._headers | {wire.RUN_RIGHT_HEADER: right},
                    timeout=self.timeout_s,
                    extensions=self._extensions(),
                ) as answer:
                    if not answer.is_success:
                        raise answers.failure_to_error(
                            answer.status_code, await _read(answer)
                        )
                    async with pieces(answer) as body:
                        async for piece in body:
                            yield piece

    async def relay_join(
        self, request: wire.JoinRequest, timeout_s: float | None = None
    ) -> wire.JoinAnswer:
        """Hand a PC's wish to join to the issuer of its token."""
        return await self._ask(
            'POST',
            '/v1/relay/join',
            wire.JoinAnswer,
            value=request,
            timeout_s=timeout_s,
        )

    # -- how ----------------------------------------------------------------

    async def _ask(
        self, method: str, path: str, kind: type[T], **how: Any
    ) -> T:
        return answers.body_to_value(
            await self._call(method, path, **how), kind
        )

    async def _call(
        self,
        method: str,
        path: str,
        *,
        value: msgspec.Struct | None = None,
        query: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> bytes:
        headers, content = self._headers, b''
        if value is not None:
            content = msgspec.json.encode(value)
            headers = headers | {'content-type': 'application/json'}
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        with self._translated(method, path):
            with trio.fail_after(limit_s):
                async with (
                    self._lease() as client,
                    client.stream(
                        method,
                        path,
                        params=query,
                        content=content,
                        headers=headers,
                        timeout=None,
                        extensions=self._extensions(),
                    ) as answer,
                ):
                    body = await _read(answer)
        if not answer.is_success:
            raise answers.failure_to_error(answer.status_code, body)
        return body

    def _lease(
        self,
    ) -> contextlib.AbstractAsyncContextManager[httpx.AsyncClient]:
        return self._pool.lease(self.target)

    def _extensions(self) -> dict[str, Any]:
        return {
            'sni_hostname': str(self.target.name),
            'trace': close_if_cancelled(),
        }

    @contextlib.contextmanager
    def _translated(self, method: str, what: str) -> Iterator[None]:
        where = f'{self.target.name.peer_id} at {self.target.url}'
        try:
            yield
        except (trio.TooSlowError, httpx.TimeoutException):
            raise errors.Unreachable(
                f'{where} did not answer {method} {what} in time'
            ) from None
        except httpx.TransportError as error:
            raise errors.Unreachable(
                f'{where}: {method} {what}: {answers.failure_to_reason(error)}'
            ) from None


async def _read(answer: httpx.Response) -> bytes:
    """The whole body, if it is not too long to be one of ours.

    :raises P2PcsError: it is; the connection is closed
    """
    return await bounded(
        answer,
        ANSWER_LIMIT,
        errors.P2PcsError(f'the answer has more than {ANSWER_LIMIT} bytes'),
    )
