# SPDX-License-Identifier: Apache-2.0
"""A gateway's routes: for the driver and operator, and for PCs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import service as services
from p2pcs_nova.transport import handling, streaming

Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]
ServerName = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
"""Nova's limit of a display name; or a uuid."""
Handler = Callable[[Request], Awaitable[Response]]


def local_routes(service: services.GatewayService) -> list[Route]:
    """Routes of the UNIX socket, for callers of this machine."""
    local = Local(service)
    one = '/v1/slices/{slice}/instances/{uuid}'
    return [
        _route('/v1/slices', 'GET', local.slices),
        _route('/v1/holders', 'GET', local.holders),
        _route('/v1/era', 'GET', local.era),
        _route('/v1/era/settle', 'POST', local.settle_era),
        _route('/v1/fits', 'POST', local.fits),
        _route('/v1/wishable', 'GET', local.wishable),
        _route('/v1/slices/{slice}', 'GET', local.slice),
        _route('/v1/slices/{slice}/term', 'PUT', local.take_term),
        _route('/v1/slices/{slice}/term', 'DELETE', local.end_term),
        _route('/v1/slices/{slice}/instances', 'GET', local.placements),
        _route(one, 'GET', local.look),
        _route(one, 'PUT', local.spawn),
        _route(one, 'DELETE', local.destroy),
        _route(f'{one}/action', 'POST', local.act),
        _route(f'{one}/filters', 'PUT', local.filter),
        _route(f'{one}/snapshot', 'POST', local.snapshot),
        _route(f'{one}/console', 'GET', local.console),
        _route(f'{one}/diagnostics', 'GET', local.diagnostics),
        _route('/v1/images/{digest}', 'HEAD', local.has_image),
        _route('/v1/images/{digest}', 'PUT', local.put_image),
        _route('/v1/peers', 'GET', local.peers),
        _route('/v1/instances', 'GET', local.instances),
        _route('/v1/quarantine', 'GET', local.quarantined),
        _route('/v1/graves', 'GET', local.graves),
        _route('/v1/graves/{uuid}', 'DELETE', local.forget),
        _route('/v1/instances/{server}/story', 'GET', local.story),
    ]


def peer_routes(service: services.GatewayService) -> list[Route]:
    """Routes of mutual TLS, for PCs."""

    async def image(request: Request) -> Response:
        caller = handling.require(request, 'peer')
        digest = handling.path_part(request, 'digest', wire.Digest)
        path, size = service.images.find_for(
            caller.peer_id, digest, handling.run_right(request)
        )
        return StreamingResponse(
            streaming.read_file(path),
            headers={'content-length': str(size)},
            media_type='application/octet-stream',
        )

    return [Route('/v1/images/{digest}', image, methods=['GET'])]


def _route(path: str, method: str, handler: Handler) -> Route:
    async def local_only(request: Request) -> Response:
        handling.require(request, 'local')
        return await handler(request)

    return Route(path, local_only, methods=[method])


class Local:
    """Handlers: they read the request, and the service does it."""

    def __init__(self, service: services.GatewayService) -> None:
        self._service = service

    # -- slices and peers ---------------------------------------------------

    async def slices(self, request: Request) -> Response:
        return handling.answer(self._service.slices())

    async def holders(self, request: Request) -> Response:
        return handling.answer(await self._service.holders())

    async def era(self, request: Request) -> Response:
        return handling.answer(await self._service.era_report())

    async def settle_era(self, request: Request) -> Response:
        await self._service.settle_era()
        return handling.answer(None)

    async def fits(self, request: Request) -> Response:
        wanted = await handling.decode(request, wire.FitRequest)
        return handling.answer(
            await self._service.fits(wanted, handling.request_id(request))
        )

    async def wishable(self, request: Request) -> Response:
        return handling.answer(self._service.wishable())

    async def slice(self, request: Request) -> Response:
        return handling.answer(
            self._service.slice_summary(await self._slice(request))
        )

    async def take_term(self, request: Request) -> Response:
        wanted = await handling.decode(request, wire.TermRequest)
        return handling.answer(
            await self._service.take_term(self._named(request), wanted)
        )

    async def end_term(self, request: Request) -> Response:
        self._service.end_term(handling.command(request))
        return handling.answer(None)

    async def peers(self, request: Request) -> Response:
        return handling.answer(self._service.peer_rows())

    async def instances(self, request: Request) -> Response:
        return handling.answer(await self._service.placed_rows())

    async def quarantined(self, request: Request) -> Response:
        return handling.answer(self._service.quarantined())

    async def graves(self, request: Request) -> Response:
        if wire.COMMAND_HEADER in request.headers:
            # Before its term is told us none of its slice is known.
            await self._service.check_command(handling.command(request))
            return handling.answer(self._service.instances.graves.listed())
        return handling.answer(await self._service.graves())

    async def forget(self, request: Request) -> Response:
        handling.require_operator(request)
        return handling.answer(
            await self._service.instances.graves.forget(
                handling.uuid(request), handling.request_id(request)
            )
        )

    async def story(self, request: Request) -> Response:
        server = handling.path_part(request, 'server', ServerName)
        return handling.answer(await self._service.story(server))

    # -- instances of a slice -----------------------------------------------

    async def placements(self, request: Request) -> Response:
        name = await self._slice(request)
        after = handling.query(request, 'after', int, -1)
        wait_s = handling.query(request, 'wait_s', Seconds, 0.0)
        return handling.answer(
            await self._service.wait_placements(name, after, wait_s)
        )

    async def look(self, request: Request) -> Response:
        name, uuid = await self._slice(request), handling.uuid(request)
        fresh = handling.query(request, 'fresh', int, 0)
        found = await self._service.instances.look(
            name, uuid, handling.request_id(request), fresh=bool(fresh)
        )
        return handling.answer(found)

    async def spawn(self, request: Request) -> Response:
        name, uuid = await self._commanded(request), handling.uuid(request)
        wanted = await handling.decode(request, wire.SpawnRequest)
        if wanted.claim.instance != uuid:
            raise errors.Malformed('path and claim name two instances')
        if not wanted.request_id:
            wanted = msgspec.structs.replace(
                wanted, request_id=handling.request_id(request)
            )
        return handling.answer(
            await self._service.instances.spawn(name, wanted)
        )

    async def act(self, request: Request) -> Response:
        name, uuid = await self._commanded(request), handling.uuid(request)
        action = await handling.decode(request, wire.ActionRequest)
        return handling.answer(
            await self._service.instances.act(
                name, uuid, action, handling.request_id(request)
            )
        )

    async def filter(self, request: Request) -> Response:
        name, uuid = await self._commanded(request), handling.uuid(request)
        wanted = await handling.decode(request, wire.FilterRequest)
        await self._service.instances.filter(
            name, uuid, wanted, handling.request_id(request)
        )
        return handling.answer(None)

    async def snapshot(self, request: Request) -> Response:
        name, uuid = await self._commanded(request), handling.uuid(request)
        wanted = await handling.decode(request, wire.SnapshotRequest)
        return streaming.Handed(
            functools.partial(
                self._service.instances.snapshot,
                name,
                uuid,
                wanted,
                handling.request_id(request),
            )
        )

    async def destroy(self, request: Request) -> Response:
        name, uuid = await self._commanded(request), handling.uuid(request)
        return handling.answer(
            await self._service.instances.destroy(
                name, uuid, handling.request_id(request)
            )
        )

    async def console(self, request: Request) -> Response:
        name, uuid = await self._commanded(request), handling.uuid(request)
        length = handling.query(
            request, 'bytes', wire.Count, wire.CONSOLE_LIMIT
        )
        return handling.answer(
            await self._service.instances.console(
                name, uuid, length, handling.request_id(request)
            )
        )

    async def diagnostics(self, request: Request) -> Response:
        name, uuid = await self._commanded(request), handling.uuid(request)
        return handling.answer(
            await self._service.instances.diagnostics(
                name, uuid, handling.request_id(request)
            )
        )

    # -- images -------------------------------------------------------------

    async def has_image(self, request: Request) -> Response:
        digest = handling.path_part(request, 'digest', wire.Digest)
        here = self._service.images.has(digest)
        return Response(status_code=200 if here else 404)

    async def put_image(self, request: Request) -> Response:
        image = handling.convert(
            {
                'digest': request.path_params['digest'],
                'format': request.query_params.get('format', ''),
                'size_bytes': handling.query(request, 'size', int, 0),
            },
            wire.Image,
            'image',
        )
        async with contextlib.aclosing(_body(request)) as body:
            await self._service.images.put(image, body)
        return handling.answer(None)

    def _named(self, request: Request) -> str:
        return handling.path_part(request, 'slice', wire.SliceName)

    async def _slice(self, request: Request) -> str:
        """The slice that is asked about; by its term, if one is said."""
        name = self._named(request)
        self._service.check_slice(name)
        if wire.COMMAND_HEADER in request.headers:
            command = handling.command(request)
            if command.slice != name:
                raise errors.Malformed('path and command name two slices')
            await self._service.check_command(command)
        return name

    async def _commanded(self, request: Request) -> str:
        """The slice that is acted on."""
        name = await self._slice(request)
        await self._service.check_commanded(name)
        return name


async def _body(request: Request) -> AsyncGenerator[bytes, None]:
    """The body in pieces; the listener limits how long it may pause."""
    try:
        async with contextlib.aclosing(request.stream()) as pieces:
            async for piece in pieces:
                if piece:
                    yield piece
    except ClientDisconnect:
        raise errors.Malformed('the body broke off') from None
