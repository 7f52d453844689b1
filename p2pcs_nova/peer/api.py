# SPDX-License-Identifier: Apache-2.0
"""The routes of a PC: gateways over mutual TLS, the owner's own socket."""

from __future__ import annotations

import uuid as uuids

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import console
from p2pcs_nova.peer.service import PeerService
from p2pcs_nova.transport import handling


def _uuid(request: Request) -> str:
    """The uuid in the path, in its one spelling.

    :raises Malformed: it is none
    """
    text = str(request.path_params['uuid'])
    try:
        if str(uuids.UUID(text)) == text:
            return text
    except ValueError:
        pass
    raise errors.Malformed('the path does not name a uuid')


def _length(request: Request) -> int:
    text = request.query_params.get('bytes', str(console.LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise errors.Malformed('bytes is not a number')
    return int(text)


class _Handlers:
    """Each route: who may call, what comes in, what goes out."""

    def __init__(self, service: PeerService) -> None:
        self._service = service

    async def claim(self, request: Request) -> Response:
        command = self._gateway(request)
        claim = await handling.decode(request, wire.Claim)
        return handling.answer(
            await self._service.claim(command, claim), status=201
        )

    async def release(self, request: Request) -> Response:
        command = self._gateway(request)
        await self._service.release(command, _uuid(request))
        return handling.answer(None)

    async def instances(self, request: Request) -> Response:
        command = self._gateway(request)
        return handling.answer(await self._service.instances(command))

    async def instance(self, request: Request) -> Response:
        command = self._gateway(request)
        return handling.answer(
            await self._service.instance(command, _uuid(request))
        )

    async def build(self, request: Request) -> Response:
        command = self._gateway(request)
        uuid = _uuid(request)
        body = await handling.decode(request, wire.BuildRequest)
        return handling.answer(await self._service.build(command, uuid, body))

    async def act(self, request: Request) -> Response:
        command = self._gateway(request)
        uuid = _uuid(request)
        body = await handling.decode(request, wire.ActionRequest)
        return handling.answer(await self._service.act(command, uuid, body))

    async def bury(self, request: Request) -> Response:
        command = self._gateway(request)
        uuid = _uuid(request)
        body = await handling.decode(request, wire.Tombstone)
        await self._service.bury(command, uuid, body)
        return handling.answer(None)

    async def console(self, request: Request) -> Response:
        command = self._gateway(request)
        return handling.answer(
            await self._service.console(
                command, _uuid(request), _length(request)
            )
        )

    async def diagnostics(self, request: Request) -> Response:
        command = self._gateway(request)
        return handling.answer(
            await self._service.diagnostics(command, _uuid(request))
        )

    async def drain(self, request: Request) -> Response:
        handling.require(request, 'local')
        body = await handling.decode(request, wire.DrainRequest)
        await self._service.drain(body.draining)
        return handling.answer(None)

    @staticmethod
    def _gateway(request: Request) -> wire.Command:
        handling.require(request, 'gateway')
        return handling.command(request)


def routes(service: PeerService) -> list[Route]:
    """What gateways may ask of a PC."""
    do = _Handlers(service)
    one = '/v1/instances/{uuid}'
    return [
        Route('/v1/reservations', do.claim, methods=['POST']),
        Route('/v1/reservations/{uuid}', do.release, methods=['DELETE']),
        Route('/v1/instances', do.instances, methods=['GET']),
        Route(one, do.instance, methods=['GET']),
        Route(one, do.build, methods=['PUT']),
        Route(f'{one}/action', do.act, methods=['POST']),
        Route(f'{one}/tombstone', do.bury, methods=['POST']),
        Route(f'{one}/console', do.console, methods=['GET']),
        Route(f'{one}/diagnostics', do.diagnostics, methods=['GET']),
    ]


def local_routes(service: PeerService) -> list[Route]:
    """What the owner may ask of his PC."""
    do = _Handlers(service)
    return [Route('/v1/drain', do.drain, methods=['POST'])]
