# SPDX-License-Identifier: Apache-2.0
"""The routes of a PC: gateways over mutual TLS, the owner's own socket."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from p2pcs_nova import bodies, texts, wire
from p2pcs_nova.peer.orders import Orders
from p2pcs_nova.peer.standing import Standing
from p2pcs_nova.transport import handling, streaming

LOG = logging.getLogger(__name__)


class _Handlers:
    """Each route: who may call, what comes in, what goes out."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    async def claim(self, request: Request) -> Response:
        command = self._gateway(request)
        claim = await handling.decode(request, wire.Claim)
        return handling.answer(
            await self._orders.claim(command, claim), status=201
        )

    async def release(self, request: Request) -> Response:
        command = self._gateway(request)
        await self._orders.release(command, handling.uuid(request))
        return handling.answer(None)

    async def instances(self, request: Request) -> Response:
        command = self._gateway(request)
        return handling.answer(await self._orders.instances(command))

    async def instance(self, request: Request) -> Response:
        command = self._gateway(request)
        return handling.answer(
            await self._orders.instance(command, handling.uuid(request))
        )

    async def build(self, request: Request) -> Response:
        command = self._gateway(request)
        uuid = handling.uuid(request)
        body = await handling.decode(request, wire.BuildRequest)
        return handling.answer(await self._orders.build(command, uuid, body))

    async def act(self, request: Request) -> Response:
        command = self._gateway(request)
        uuid = handling.uuid(request)
        body = await handling.decode(request, wire.ActionRequest)
        return handling.answer(await self._orders.act(command, uuid, body))

    async def filter(self, request: Request) -> Response:
        command = self._gateway(request)
        uuid = handling.uuid(request)
        body = await handling.decode(request, wire.FilterRequest)
        await self._orders.filter(command, uuid, body)
        return handling.answer(None)

    async def snapshot(self, request: Request) -> Response:
        command = self._gateway(request)
        uuid = handling.uuid(request)
        wanted = await handling.decode(request, wire.SnapshotRequest)
        return streaming.Handed(
            functools.partial(self._open_snapshot, command, uuid, wanted)
        )

    @contextlib.asynccontextmanager
    async def _open_snapshot(
        self, command: wire.Command, uuid: str, wanted: wire.SnapshotRequest
    ) -> AsyncIterator[bodies.Body]:
        async with (
            self._orders.snapshot(command, uuid, wanted) as copy,
            contextlib.aclosing(streaming.read_file(copy)) as chunks,
        ):
            yield bodies.Body(copy.stat().st_size, chunks)

    async def bury(self, request: Request) -> Response:
        command = self._gateway(request)
        uuid = handling.uuid(request)
        body = await handling.decode(request, wire.Tombstone)
        await self._orders.bury(command, uuid, body)
        return handling.answer(None)

    async def right(self, request: Request) -> Response:
        command = self._gateway(request)
        return handling.answer(
            await self._orders.right(command, handling.uuid(request))
        )

    async def console(self, request: Request) -> Response:
        command = self._gateway(request)
        length = handling.query(
            request, 'bytes', wire.Count, wire.CONSOLE_LIMIT
        )
        return handling.answer(
            await self._orders.console(command, handling.uuid(request), length)
        )

    async def diagnostics(self, request: Request) -> Response:
        command = self._gateway(request)
        return handling.answer(
            await self._orders.diagnostics(command, handling.uuid(request))
        )

    async def story(self, request: Request) -> Response:
        command = self._gateway(request)
        return handling.answer(
            await self._orders.story(command, handling.uuid(request))
        )

    @staticmethod
    def _gateway(request: Request) -> wire.Command:
        """By which authority the caller speaks; what he changes is logged.

        :raises Forbidden: he is not a gateway
        :raises Malformed: no command came along
        """
        handling.require(request, 'gateway')
        command = handling.command(request)
        if request.method != 'GET':
            LOG.info(
                '[%s] %s %s by term %s of slice %s',
                texts.or_dash(handling.request_id(request)),
                request.method,
                request.url.path,
                command.term,
                command.slice,
            )
        return command


def routes(orders: Orders) -> list[Route]:
    """What gateways may ask of a PC."""
    do = _Handlers(orders)
    one = '/v1/instances/{uuid}'
    return [
        Route('/v1/reservations', do.claim, methods=['POST']),
        Route('/v1/reservations/{uuid}', do.release, methods=['DELETE']),
        Route('/v1/instances', do.instances, methods=['GET']),
        Route(one, do.instance, methods=['GET']),
        Route(one, do.build, methods=['PUT']),
        Route(f'{one}/action', do.act, methods=['POST']),
        Route(f'{one}/filters', do.filter, methods=['PUT']),
        Route(f'{one}/snapshot', do.snapshot, methods=['POST']),
        Route(f'{one}/tombstone', do.bury, methods=['POST']),
        Route(f'{one}/right', do.right, methods=['GET']),
        Route(f'{one}/console', do.console, methods=['GET']),
        Route(f'{one}/diagnostics', do.diagnostics, methods=['GET']),
        Route(f'{one}/story', do.story, methods=['GET']),
    ]


def local_routes(standing: Standing) -> list[Route]:
    """What the owner may ask of his PC."""

    async def drain(request: Request) -> Response:
        handling.require(request, 'local')
        body = await handling.decode(request, wire.DrainRequest)
        await standing.drain(body.draining)
        return handling.answer(None)

    return [Route('/v1/drain', drain, methods=['POST'])]
