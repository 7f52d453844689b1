# SPDX-License-Identifier: Apache-2.0
"""Driver and operator to their daemon, over a real UNIX socket."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import msgspec
import pytest
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from p2pcs_nova import errors, wire
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.daemon import doors
from p2pcs_nova.gateway import api
from p2pcs_nova.identity.routes import token_routes
from p2pcs_nova.transport import handling, limits, listeners
from p2pcs_nova.transport.application import make_application
from tests.support.served import DEADLINE_S, WHOAMI

pytestmark = pytest.mark.trio

UUID = '11111111-2222-3333-4444-555555555555'
T = TypeVar('T')


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / 'run' / 'p2pcs.sock')


@contextlib.asynccontextmanager
async def listening(
    path: str, routes: Sequence[Route] = (WHOAMI,), uids: tuple[int, ...] = ()
) -> AsyncIterator[LocalClient]:
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(
                listeners.serve_unix, make_application(routes), path, uids
            )
            with LocalClient(path) as client:
                yield client
            nursery.cancel_scope.cancel()


async def in_thread(what: Callable[..., T], *arguments: object) -> T:
    return await trio.to_thread.run_sync(
        functools.partial(what, *arguments), abandon_on_cancel=True
    )


async def test_a_caller_is_known_by_his_uid(path: str) -> None:
    async with listening(path) as client:
        who = await in_thread(client._ask, 'GET', '/v1/whoami', wire.Problem)
        assert (who.code, who.request_id) == ('local', str(os.geteuid()))
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
    with pytest.raises(FileNotFoundError):
        os.stat(path)


def who_am_i(client: LocalClient) -> str:
    """As the daemon knows us."""
    who = client._ask('GET', '/v1/whoami', wire.Problem)
    return f'{who.code} {who.request_id}'


def ask_as(
    uid: int, path: str, what: Callable[[LocalClient], object] = who_am_i
) -> tuple[str, str]:
    """Ask in a process of this user; what the daemon says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(uid)
        try:
            with LocalClient(path) as client:
                told = str(what(client))
        except errors.P2PcsError as error:
            told = f'{error.code} {error.message}'
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with open(reading, encoding='utf-8') as file:
        code, _, message = file.read().partition(' ')
    os.waitpid(child, 0)
    return code, message


@pytest.mark.skipif(os.geteuid() != 0, reason='changes its user')
async def test_other_users_are_told_what_to_ask_for(
    path: str, tmp_path: pathlib.Path
) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and 'pytest' in str(folder):
            folder.chmod(0o755)
    async with listening(path, uids=(1234,)):
        assert await in_thread(ask_as, 1234, path) == ('local', '1234')
        code, message = await in_thread(ask_as, 4321, path)
        assert code == 'forbidden'
        assert 'uid 4321' in message
        assert 'socket_users' in message


@pytest.mark.skipif(os.geteuid() != 0, reason='changes its user')
async def test_who_may_use_the_socket_is_not_yet_the_operator(
    path: str, tmp_path: pathlib.Path
) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and 'pytest' in str(folder):
            folder.chmod(0o755)
    nothing = cast(Any, None)
    routes = [
        *token_routes(nothing),
        doors._revoke_route(nothing),
        *api.local_routes(nothing),
    ]
    asked: tuple[Callable[[LocalClient], object], ...] = (
        lambda client: client.create_token(60.0),
        lambda client: client.revoke('0' * 32),
        lambda client: client.forget(UUID),
    )
    async with listening(path, routes, uids=(1234,)):
        for what in asked:
            code, message = await in_thread(ask_as, 1234, path, what)
            assert code == 'forbidden'
            assert 'takes root' in message


@contextlib.contextmanager
def crowd_of(uid: int, path: str, count: int) -> Iterator[None]:
    """A process of this user that holds as many connections as it gets."""
    told, telling = os.pipe()
    waiting, ending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ending)
        os.setuid(uid)
        held = [socket.socket(socket.AF_UNIX) for _ in range(count)]
        for one in held:
            one.connect(path)
        os.write(telling, b'x')
        os.read(waiting, 1)
        os._exit(0)
    try:
        os.close(telling)
        os.read(told, 1)
        yield
    finally:
        for end in (told, waiting, ending):
            os.close(end)
        os.waitpid(child, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason='changes its user')
async def test_one_user_does_not_take_every_place(
    path: str, tmp_path: pathlib.Path
) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and 'pytest' in str(folder):
            folder.chmod(0o755)
    async with listening(path) as client:
        crowd = crowd_of(4321, path, limits.LOCAL.connections)
        await in_thread(crowd.__enter__)
        try:
            assert await in_thread(client._call, 'GET', '/v1/whoami')
        finally:
            await in_thread(crowd.__exit__, None, None, None)


async def test_a_dead_daemons_socket_is_replaced(path: str) -> None:
    os.mkdir(os.path.dirname(path))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    async with listening(path) as client:
        assert await in_thread(client._call, 'GET', '/v1/whoami')


async def test_a_living_daemons_socket_is_not_taken(path: str) -> None:
    async with listening(path) as client:
        with pytest.raises(OSError, match='another daemon answers there'):
            await listeners.serve_unix(make_application([]), path)
        assert await in_thread(client._call, 'GET', '/v1/whoami')


async def test_what_is_no_socket_is_left_alone(tmp_path: pathlib.Path) -> None:
    file = tmp_path / 'file'
    file.write_text('precious')
    with pytest.raises(OSError, match='not a socket'):
        await listeners.serve_unix(make_application([]), str(file))
    assert file.read_text() == 'precious'


async def test_nobody_there_is_unavailable_with_the_path(path: str) -> None:
    with LocalClient(path) as client:
        with pytest.raises(errors.Unavailable, match='p2pcs-peer run') as info:
            await in_thread(client.status)
        assert path in info.value.message


async def test_a_silent_daemon_is_unreachable(path: str) -> None:
    async def hang(request: Request) -> Response:
        await trio.sleep_forever()
        raise AssertionError

    async with listening(path, [Route('/v1/status', hang)]):
        with (
            LocalClient(path, timeout_s=0.1) as client,
            pytest.raises(errors.Unreachable, match=r'in 0\.1 s'),
        ):
            await in_thread(client.status)


async def test_errors_are_raised_by_their_code(path: str) -> None:
    async def refuse(request: Request) -> Response:
        raise errors.NoPeerFits('3 of 3 PCs are full')

    async with listening(path, [Route('/v1/slices', refuse)]) as client:
        with pytest.raises(errors.NoPeerFits, match='3 of 3'):
            await in_thread(client.slices)


async def test_a_bug_in_a_handler_is_an_internal_error(path: str) -> None:
    async def fail(request: Request) -> Response:
        raise KeyError('a bug')

    async with listening(path, [Route('/v1/slices', fail)]) as client:
        with pytest.raises(errors.P2PcsError, match='see its log'):
            await in_thread(client.slices)


async def test_every_call_reaches_its_route(path: str) -> None:
    seen: list[tuple[str, str, bytes]] = []
    capacity = wire.Capacity(1, 64, 100)
    status = wire.InstanceStatus(
        UUID, wire.Counter(1, 1), 'gold', wire.InstanceState.RUNNING, capacity
    )
    placed = wire.Placed(status, 'f' * 32, 'pc1', True)
    grave = wire.Grave(UUID, wire.Counter(1, 1), 'gold', 'f' * 32, 'pc1')
    summary = wire.SliceSummary(
        'gold', wire.Counter(1, 1), 1, 0, capacity, capacity, capacity
    )
    answer_of = {
        'GET /v1/slices': wire.SliceRows((summary,)),
        'GET /v1/slices/gold': summary,
        'GET /v1/slices/gold/instances': wire.Placements('gold', (placed,), 3),
        f'GET /v1/slices/gold/instances/{UUID}': placed,
        f'PUT /v1/slices/gold/instances/{UUID}': placed,
        f'POST /v1/slices/gold/instances/{UUID}/action': placed,
        f'DELETE /v1/slices/gold/instances/{UUID}': wire.Destroyed(True),
        f'GET /v1/slices/gold/instances/{UUID}/console': wire.Console(
            UUID, b'login: '
        ),
        f'GET /v1/slices/gold/instances/{UUID}/diagnostics': wire.Diagnostics(
            wire.InstanceState.RUNNING, 1, (1,), 64, 32
        ),
        'GET /v1/peers': wire.PeerRows(()),
        'GET /v1/instances': wire.PlacedRows((placed,)),
        'GET /v1/graves': wire.Graves((grave,)),
        f'DELETE /v1/graves/{UUID}': wire.Graves((grave,)),
        f'PUT /v1/slices/gold/instances/{UUID}/filters': None,
        'POST /v1/tokens': wire.TokenAnswer('p2pcs1.x'),
        'POST /v1/drain': None,
    }

    async def serve(request: Request) -> Response:
        body = await request.body()
        seen.append((request.method, str(request.url.query), body))
        assert request.headers[wire.REQUEST_ID_HEADER] == 'req-1'
        key = f'{request.method} {request.url.path}'
        return handling.answer(answer_of[key])

    routes = [
        Route('/{path:path}', serve, methods=['GET', 'PUT', 'POST', 'DELETE'])
    ]
    claim = wire.Claim(UUID, capacity)
    image = wire.Image('sha256:' + '0' * 64, 'qcow2', 10)
    spawn = wire.SpawnRequest(
        claim, wire.InstanceSpec(UUID, 'vm', capacity, image, 10)
    )
    start = wire.ActionRequest(wire.Action.START)

    async with listening(path, routes) as client:
        ask = functools.partial(functools.partial, request_id='req-1')
        for call, expected, query in (
            (ask(client.slices), 'GET /v1/slices', ''),
            (ask(client.slice, 'gold'), 'GET /v1/slices/gold', ''),
            (
                ask(client.placements, 'gold', 2, 0.5),
                'GET /v1/slices/gold/instances',
                'after=2&wait_s=0.5',
            ),
            (
                ask(client.instance, 'gold', UUID, True),
                f'GET /v1/slices/gold/instances/{UUID}',
                'fresh=1',
            ),
            (
                ask(client.spawn, 'gold', spawn, 5.0),
                f'PUT /v1/slices/gold/instances/{UUID}',
                '',
            ),
            (
                ask(client.action, 'gold', UUID, start),
                f'POST /v1/slices/gold/instances/{UUID}/action',
                '',
            ),
            (
                ask(client.destroy, 'gold', UUID),
                f'DELETE /v1/slices/gold/instances/{UUID}',
                '',
            ),
            (
                ask(client.console, 'gold', UUID, 100),
                f'GET /v1/slices/gold/instances/{UUID}/console',
                'bytes=100',
            ),
            (
                ask(client.diagnostics, 'gold', UUID),
                f'GET /v1/slices/gold/instances/{UUID}/diagnostics',
                '',
            ),
            (ask(client.peers), 'GET /v1/peers', ''),
            (ask(client.instances), 'GET /v1/instances', ''),
            (ask(client.graves), 'GET /v1/graves', ''),
            (ask(client.forget, UUID), f'DELETE /v1/graves/{UUID}', ''),
        ):
            assert await in_thread(call) == answer_of[expected]
            assert seen[-1][:2] == (expected.split()[0], query)
        token = await in_thread(ask(client.create_token, 60.0))
        assert token == 'p2pcs1.x'
        assert seen[-1][2] == b'{"valid_s":60.0}'
        shut = wire.FilterRequest((wire.PortFilter(UUID),))
        await in_thread(ask(client.filter, 'gold', UUID, shut))
        assert seen[-1] == ('PUT', '', msgspec.json.encode(shut))
        await in_thread(ask(client.drain, True))
        assert seen[-1][2] == b'{"draining":true}'


async def test_images_are_streamed_whole_or_refused(path: str) -> None:
    held: dict[str, int] = {}

    async def image(request: Request) -> Response:
        digest = request.path_params['digest']
        if request.method == 'HEAD':
            return Response(status_code=200 if digest in held else 404)
        count = 0
        async for piece in request.stream():
            count += len(piece)
        assert request.query_params['size'] == str(count)
        held[digest] = count
        return Response(status_code=204)

    routes = [Route('/v1/images/{digest}', image, methods=['HEAD', 'PUT'])]
    size = 3 * 2**20
    good = wire.Image('sha256:' + '0' * 64, 'qcow2', size)
    bad = wire.Image('sha256:' + '1' * 64, 'qcow2', size)

    def pieces(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b'x' * 2**16

    async with listening(path, routes) as client:
        assert not await in_thread(client.has_image, good.digest)
        await in_thread(client.put_image, good, pieces(48))
        assert await in_thread(client.has_image, good.digest)
        for count in (47, 49):
            with pytest.raises(errors.ImageRefused, match='bytes'):
                await in_thread(client.put_image, bad, pieces(count))
        assert not await in_thread(client.has_image, bad.digest)


async def test_an_early_refusal_of_an_image_is_heard(path: str) -> None:
    async def refuse(request: Request) -> Response:
        raise errors.NoSpace('the disk of the gateway is full')

    routes = [Route('/v1/images/{digest}', refuse, methods=['PUT'])]
    size = 64 * 2**20
    image = wire.Image('sha256:' + '0' * 64, 'qcow2', size)

    def pieces() -> Iterator[bytes]:
        for _ in range(64):
            yield b'x' * 2**20

    async with listening(path, routes) as client:
        with pytest.raises(errors.NoSpace, match='full'):
            await in_thread(client.put_image, image, pieces())


async def test_users_are_names_or_numbers() -> None:
    assert listeners.users_to_uids(['root', '1234']) == {0, 1234}
    with pytest.raises(ValueError, match='no user'):
        listeners.users_to_uids(['no-such-user'])


async def test_daemon_that_drips_is_given_up_in_time(
    tmp_path: pathlib.Path,
) -> None:
    path = str(tmp_path / 'drips.sock')
    head = b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n'

    async def drip(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.receive_some()
            await stream.send_all(head)
            while True:
                await stream.send_all(b' ')
                await trio.sleep(0.02)

    listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    await listener.bind(path)
    listener.listen()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                trio.serve_listeners, drip, [trio.SocketListener(listener)]
            )
            client = LocalClient(path, timeout_s=0.2)
            with pytest.raises(errors.Unreachable, match='no whole answer'):
                await in_thread(client.slices)
            nursery.cancel_scope.cancel()
