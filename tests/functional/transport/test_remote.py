# SPDX-License-Identifier: Apache-2.0
"""Gateway to PC: every call, its headers, and answers that are too long."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import AsyncIterator, Awaitable

import msgspec
import pytest
import trio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from p2pcs_nova import errors, wire
from p2pcs_nova.client import remote
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.transport import handling
from tests.support.members import Members, Place
from tests.support.served import serving

pytestmark = pytest.mark.trio

UUID = '11111111-2222-3333-4444-555555555555'
CAPACITY = wire.Capacity(1, 64, 100)
STATUS = wire.InstanceStatus(
    UUID, wire.Counter(1, 1), 'gold', wire.InstanceState.RUNNING, CAPACITY
)
COMMAND = wire.Command('gold', wire.Counter(2, 9))
SIGNED = wire.Signed(b'payload', '0' * 32, b'signature')
DIGEST = 'sha256:' + '0' * 64


@pytest.fixture
def gateway(tmp_path: pathlib.Path) -> Place:
    return Members(tmp_path).gateway()


@contextlib.asynccontextmanager
async def asked(gateway: Place, *routes: Route) -> AsyncIterator[RemoteClient]:
    """A client to a member that answers with these routes."""
    name = gateway.membership.name
    async with (
        serving(gateway, routes) as address,
        RemoteClient(
            address,
            name.peer_id,
            name.role,
            name.overlay,
            gateway.client_tls(),
            COMMAND,
            request_id='req-7',
        ) as client,
    ):
        yield client


async def test_every_call_reaches_its_route(gateway: Place) -> None:
    seen: list[tuple[str, bytes]] = []
    answer_of: dict[str, msgspec.Struct | None] = {
        'POST /v1/reservations': wire.Reservation(UUID, 30.0, CAPACITY),
        f'DELETE /v1/reservations/{UUID}': None,
        f'PUT /v1/instances/{UUID}': STATUS,
        f'POST /v1/instances/{UUID}/action': STATUS,
        f'PUT /v1/instances/{UUID}/filters': None,
        f'POST /v1/instances/{UUID}/tombstone': None,
        'GET /v1/instances': wire.InstanceList('0' * 32, 'boot', (STATUS,)),
        f'GET /v1/instances/{UUID}': STATUS,
        f'GET /v1/instances/{UUID}/console': wire.Console(UUID, b'login: '),
        f'GET /v1/instances/{UUID}/diagnostics': wire.Diagnostics(
            wire.InstanceState.RUNNING, 1, (1,), 64, 32
        ),
    }

    async def serve(request: Request) -> Response:
        assert handling.command(request) == COMMAND
        assert request.headers[wire.REQUEST_ID_HEADER] == 'req-7'
        key = f'{request.method} {request.url.path}'
        seen.append((key, await request.body()))
        return handling.answer(answer_of[key])

    methods = ['GET', 'PUT', 'POST', 'DELETE']
    claim = wire.Claim(UUID, CAPACITY)
    image = wire.Image(DIGEST, 'qcow2', 10)
    build = wire.BuildRequest(
        UUID, SIGNED, wire.InstanceSpec(UUID, 'vm', CAPACITY, image, 10)
    )
    start = wire.ActionRequest(wire.Action.START)
    shut = wire.FilterRequest((wire.PortFilter(UUID),), wire.Counter(1, 1))
    stone = wire.Tombstone(UUID, wire.Counter(1, 1))
    async with asked(
        gateway, Route('/{path:path}', serve, methods=methods)
    ) as client:
        calls: list[tuple[Awaitable[object], msgspec.Struct | None]] = [
            (client.claim(claim), claim),
            (client.release(UUID), None),
            (client.build(UUID, build), build),
            (client.action(UUID, start), start),
            (client.filter(UUID, shut), shut),
            (client.tombstone(stone), stone),
            (client.instances(), None),
            (client.instance(UUID), None),
            (client.console(UUID, 100), None),
            (client.diagnostics(UUID), None),
        ]
        for (call, sent), key in zip(calls, answer_of, strict=True):
            assert await call == answer_of[key]
            body = b'' if sent is None else msgspec.json.encode(sent)
            assert seen[-1] == (key, body)


async def test_errors_are_raised_by_their_code(gateway: Place) -> None:
    async def refuse(request: Request) -> Response:
        raise errors.StaleTerm('term 3 is known')

    async with asked(gateway, Route('/v1/instances', refuse)) as client:
        with pytest.raises(errors.StaleTerm, match='term 3'):
            await client.instances()
        with pytest.raises(errors.NotFound):
            await client.instance(UUID)


async def test_an_answer_without_end_is_given_up(
    gateway: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless:
        def __aiter__(self) -> Endless:
            return self

        async def __anext__(self) -> bytes:
            await trio.lowlevel.checkpoint()
            return b' ' * 65536

    async def pour(request: Request) -> Response:
        return StreamingResponse(Endless())

    monkeypatch.setattr(remote, 'ANSWER_LIMIT', 2**20)
    async with asked(gateway, Route('/v1/instances', pour)) as client:
        with pytest.raises(errors.P2PcsError, match='more than'):
            await client.instances()


async def test_an_answer_of_another_kind_is_an_error(gateway: Place) -> None:
    async def nonsense(request: Request) -> Response:
        return Response(b'[' * 100_000)

    async with asked(gateway, Route('/v1/instances', nonsense)) as client:
        with pytest.raises(errors.P2PcsError, match='InstanceList'):
            await client.instances()


async def test_an_image_comes_in_pieces_against_a_run_right(
    gateway: Place,
) -> None:
    data = bytes(range(256)) * 4096

    async def image(request: Request) -> Response:
        assert handling.run_right(request) == SIGNED
        assert request.path_params['digest'] == DIGEST
        return Response(data)

    async with asked(gateway, Route('/v1/images/{digest}', image)) as client:
        got = [piece async for piece in client.fetch_image(DIGEST, SIGNED)]
        assert b''.join(got) == data
        assert len(got) > 1
        stream = client.fetch_image(DIGEST, SIGNED)
        async with contextlib.aclosing(stream):
            assert await anext(stream)
        got = [piece async for piece in client.fetch_image(DIGEST, SIGNED)]
        assert b''.join(got) == data


async def test_a_refused_image_raises_before_any_piece(
    gateway: Place,
) -> None:
    async def refuse(request: Request) -> Response:
        raise errors.BadRunRight('not of a gateway')

    async with asked(gateway, Route('/v1/images/{digest}', refuse)) as client:
        with pytest.raises(errors.BadRunRight):
            await anext(client.fetch_image(DIGEST, SIGNED))


async def test_an_image_that_breaks_off_is_unreachable(
    gateway: Place,
) -> None:
    class Broken:
        sent = False

        def __aiter__(self) -> Broken:
            return self

        async def __anext__(self) -> bytes:
            if self.sent:
                raise RuntimeError('the disk is gone')
            self.sent = True
            return b'x' * 1000

    async def image(request: Request) -> Response:
        return StreamingResponse(Broken(), headers={'content-length': '9999'})

    async with asked(gateway, Route('/v1/images/{digest}', image)) as client:
        stream = client.fetch_image(DIGEST, SIGNED)
        assert await anext(stream)
        with pytest.raises(errors.Unreachable):
            await anext(stream)
