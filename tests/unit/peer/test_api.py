# SPDX-License-Identifier: Apache-2.0
"""The routes of a PC: roles, forms, codes."""

import contextlib
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from p2pcs_nova import wire
from p2pcs_nova.peer import api
from p2pcs_nova.transport import handling
from p2pcs_nova.transport.refusals import Refusals
from tests.support import one_peer
from tests.support.one_peer import OnePeer
from tests.unit.peer.conftest import CONTENT, Pc

pytestmark = pytest.mark.trio

GOLD = {wire.COMMAND_HEADER: msgspec.json.encode(one_peer.GOLD).decode()}


def as_role(app: ASGIApp, role: str) -> ASGIApp:
    """The listener's part: who calls."""

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        scope[handling.CALLER_SCOPE] = handling.Caller(role)
        scope[handling.REFUSALS_SCOPE] = Refusals()
        await app(scope, receive, send)

    return called


@contextlib.asynccontextmanager
async def client(
    peer: OnePeer, role: str = 'gateway'
) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(
        routes=[*api.routes(peer.orders), *api.local_routes(peer.standing)],
        exception_handlers={Exception: handling.problem},
    )
    transport = httpx.ASGITransport(
        as_role(app, role), raise_app_exceptions=False
    )
    async with httpx.AsyncClient(
        transport=transport, base_url='https://pc', headers=GOLD
    ) as made:
        yield made


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()['code']


async def test_instance_lives_over_http(pc: Pc) -> None:
    spec = one_peer.spec_of(one_peer.image_of(CONTENT))
    at = f'/v1/instances/{spec.instance}'
    epoch = wire.Counter(1, 1)
    async with pc.run() as peer, client(peer) as http:
        claim = wire.Claim(spec.instance, spec.need, ('office',))
        answer = await http.post(
            '/v1/reservations', content=msgspec.json.encode(claim)
        )
        assert answer.status_code == 201
        reservation = msgspec.json.decode(
            answer.content, type=wire.Reservation
        )
        request = wire.BuildRequest(reservation.id, peer.right(spec), spec)
        answer = await http.put(at, content=msgspec.json.encode(request))
        assert answer.status_code == 200
        assert answer.json()['state'] == 'plugged'
        action = wire.ActionRequest(wire.Action.START, epoch=epoch)
        answer = await http.post(
            f'{at}/action', content=msgspec.json.encode(action)
        )
        assert answer.json()['state'] == 'running'
        assert (await http.get(at)).json()['state'] == 'running'
        shut = wire.PortFilter(spec.vifs[0].port, ips=('10.0.0.1',))
        answer = await http.put(
            f'{at}/filters',
            content=msgspec.json.encode(wire.FilterRequest((shut,), epoch)),
        )
        assert (answer.status_code, answer.content) == (204, b'')
        assert pc.table.vifs[0].ips == ('10.0.0.1',)
        listed = (await http.get('/v1/instances')).json()
        assert [row['instance'] for row in listed['instances']] == [
            spec.instance
        ]
        assert (await http.get(f'{at}/console?bytes=5')).json() == {
            'instance': spec.instance,
            'output': '',
        }
        assert (await http.get(f'{at}/diagnostics')).status_code == 200
        tombstone = wire.Tombstone(spec.instance, epoch)
        for _ in range(2):
            answer = await http.post(
                f'{at}/tombstone', content=msgspec.json.encode(tombstone)
            )
            assert (answer.status_code, answer.content) == (204, b'')
        assert code(await http.get(at)) == (404, 'not-found')


ROUTES = [
    ('POST', '/v1/reservations'),
    ('DELETE', '/v1/reservations/00000000-0000-0000-0000-000000000001'),
    ('GET', '/v1/instances'),
    ('GET', '/v1/instances/00000000-0000-0000-0000-000000000001'),
    ('PUT', '/v1/instances/00000000-0000-0000-0000-000000000001'),
    ('POST', '/v1/instances/00000000-0000-0000-0000-000000000001/action'),
    ('PUT', '/v1/instances/00000000-0000-0000-0000-000000000001/filters'),
    ('POST', '/v1/instances/00000000-0000-0000-0000-000000000001/snapshot'),
    ('POST', '/v1/instances/00000000-0000-0000-0000-000000000001/tombstone'),
    ('GET', '/v1/instances/00000000-0000-0000-0000-000000000001/console'),
    ('GET', '/v1/instances/00000000-0000-0000-0000-000000000001/diagnostics'),
    ('GET', '/v1/instances/00000000-0000-0000-0000-000000000001/story'),
]


@pytest.mark.parametrize('role', ['peer', 'admin', 'local'])
async def test_only_a_gateway_commands(pc: Pc, role: str) -> None:
    async with pc.run_as_it_is() as peer, client(peer, role) as http:
        for method, path in ROUTES:
            answer = await http.request(method, path)
            assert code(answer) == (403, 'forbidden'), path


async def test_request_without_a_command_is_malformed(pc: Pc) -> None:
    async with pc.run_as_it_is() as peer, client(peer) as http:
        del http.headers[wire.COMMAND_HEADER]
        for method, path in ROUTES:
            assert code(await http.request(method, path)) == (
                400,
                'malformed',
            )


@pytest.mark.parametrize(
    'body', [b'', b'x', b'[]', b'{"instance": 5}', b'\xff', b'[' * 100_000]
)
async def test_body_of_another_form_is_malformed(pc: Pc, body: bytes) -> None:
    async with pc.run_as_it_is() as peer, client(peer) as http:
        for method, path in ROUTES:
            if method in ('POST', 'PUT'):
                answer = await http.request(method, path, content=body)
                assert code(answer) == (400, 'malformed')


@pytest.mark.parametrize(
    'name',
    ['x', '..%2f..%2fetc', '00000000-0000-0000-0000-00000000000G', '%00',
     '00000000000000000000000000000001',
     '00000000-0000-0000-0000-00000000000A'],
)  # fmt: skip
async def test_path_that_names_no_uuid_is_malformed(pc: Pc, name: str) -> None:
    async with pc.run_as_it_is() as peer, client(peer) as http:
        answer = await http.get(f'/v1/instances/{name}')
        assert answer.status_code in (400, 404)


@pytest.mark.parametrize('length', ['-1', 'x', '1.5', '9' * 30, '٣'])
async def test_console_length_is_a_number(pc: Pc, length: str) -> None:
    at = '/v1/instances/00000000-0000-0000-0000-000000000001/console'
    async with pc.run_as_it_is() as peer, client(peer) as http:
        answer = await http.get(at, params={'bytes': length})
        assert code(answer) == (400, 'malformed')


async def test_owner_drains_by_the_local_socket_only(pc: Pc) -> None:
    async with pc.run_as_it_is() as peer:
        async with client(peer, 'gateway') as http:
            answer = await http.post('/v1/drain', json={'draining': True})
            assert code(answer) == (403, 'forbidden')
        async with client(peer, 'local') as http:
            answer = await http.post('/v1/drain', json={'draining': True})
            assert answer.status_code == 204
        assert peer.standing.draining
