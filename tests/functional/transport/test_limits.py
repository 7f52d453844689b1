# SPDX-License-Identifier: Apache-2.0
"""What a listener does with slow, greedy and rude clients."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator

import httpx
import pytest
import trio
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from p2pcs_nova.transport.limits import REQUESTS, Limits
from p2pcs_nova.transport.refusals import Refusals
from tests.support.members import Members, Place
from tests.support.served import COUNT, WHOAMI, serving

pytestmark = pytest.mark.trio


@pytest.fixture
def gateway(tmp_path: pathlib.Path) -> Place:
    return Members(tmp_path).gateway()


def limits(**changes: float) -> Limits:
    return dataclasses.replace(REQUESTS, **changes)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def connected(
    gateway: Place, address: tuple[str, int]
) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
    async with await trio.open_tcp_stream(*address) as below:
        stream = trio.SSLStream(
            below,
            gateway.client_tls(),
            server_hostname=str(gateway.membership.name),
            https_compatible=True,
        )
        await stream.do_handshake()
        yield stream


async def read_all(stream: trio.abc.Stream) -> bytes:
    data = b''
    try:
        while piece := await stream.receive_some(65536):
            data += piece
    except trio.BrokenResourceError:
        return data
    return data


async def test_a_handshake_that_never_comes_is_ended(gateway: Place) -> None:
    async with (
        serving(gateway, limits=limits(handshake_s=0.1)) as address,
        await trio.open_tcp_stream(*address) as stream,
    ):
        assert await read_all(stream) == b''


async def test_a_head_that_never_ends_is_ended(gateway: Place) -> None:
    async with (
        serving(gateway, limits=limits(idle_s=0.2)) as address,
        connected(gateway, address) as stream,
    ):
        await stream.send_all(b'GET /v1/whoami HTTP/1.1\r\nHost: a\r\n')
        assert await read_all(stream) == b''


async def test_a_long_head_is_refused(gateway: Place) -> None:
    refusals = Refusals()
    small = limits(header_bytes=1024)
    async with (
        serving(gateway, limits=small, refusals=refusals) as address,
        connected(gateway, address) as stream,
    ):
        await stream.send_all(b'GET /' + b'a' * 4096)
        assert (await read_all(stream)).startswith(b'HTTP/1.1 431')
    assert refusals.listed() == (('bad-http', 1),)


@pytest.mark.parametrize('chunked', [False, True])
async def test_a_large_body_is_refused(gateway: Place, chunked: bool) -> None:
    head, body = b'Content-Length: 2000', b'x' * 2000
    if chunked:
        head = b'Transfer-Encoding: chunked'
        body = b'7d0\r\n' + body + b'\r\n0\r\n\r\n'
    async with (
        serving(gateway, limits=limits(body_bytes=1000)) as address,
        connected(gateway, address) as stream,
    ):
        await stream.send_all(
            b'PUT /v1/count HTTP/1.1\r\nHost: a\r\nConnection: close\r\n'
            + head
            + b'\r\n\r\n'
            + body
        )
        answer = await read_all(stream)
        assert answer.startswith(b'HTTP/1.1 413')
        assert b'"code":"too-large"' in answer


@pytest.mark.parametrize('what', ['body_silence_s', 'body_s'])
async def test_a_slow_body_is_refused(gateway: Place, what: str) -> None:
    async with (
        serving(gateway, limits=limits(**{what: 0.2})) as address,
        connected(gateway, address) as stream,
    ):
        await stream.send_all(
            b'PUT /v1/count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx'
        )
        answer = await read_all(stream)
        assert answer.startswith(b'HTTP/1.1 400')
        assert b'in time' in answer


class Tap:
    """A body that pours as long as somebody takes it."""

    def __init__(self) -> None:
        self.pouring = trio.Event()
        self.ended = trio.Event()

    def __aiter__(self) -> Tap:
        return self

    async def __anext__(self) -> bytes:
        if self.pouring.is_set():
            await trio.lowlevel.checkpoint()
        self.pouring.set()
        return b'x' * 65536

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            await StreamingResponse(self)(scope, receive, send)
        finally:
            self.ended.set()


async def test_a_client_that_does_not_read_is_ended(gateway: Place) -> None:
    tap = Tap()
    async with (
        serving(
            gateway, [Route('/pour', tap)], limits=limits(write_s=0.2)
        ) as address,
        connected(gateway, address) as stream,
    ):
        await stream.send_all(b'GET /pour HTTP/1.1\r\nHost: a\r\n\r\n')
        await tap.ended.wait()


async def test_cancelling_does_not_wait_for_a_client_that_does_not_read(
    gateway: Place,
) -> None:
    tap = Tap()
    async with contextlib.AsyncExitStack() as stack:
        async with serving(gateway, [Route('/pour', tap)]) as address:
            stream = await stack.enter_async_context(
                connected(gateway, address)
            )
            await stream.send_all(b'GET /pour HTTP/1.1\r\nHost: a\r\n\r\n')
            await tap.pouring.wait()
            begin = trio.current_time()
        assert trio.current_time() - begin < REQUESTS.write_s / 2


async def test_too_many_connections_are_turned_away_and_others_served(
    gateway: Place,
) -> None:
    async with serving(
        gateway, limits=limits(connections_per_address=2)
    ) as address:
        async with connected(gateway, address) as first:
            async with connected(gateway, address):
                with pytest.raises(trio.BrokenResourceError):
                    async with connected(gateway, address):
                        pass
            await first.send_all(WHOAMI_HEAD + b'\r\n')
            assert (await first.receive_some(12)).startswith(b'HTTP/1.1 200')
        served = False
        while not served:
            with contextlib.suppress(trio.BrokenResourceError):
                async with connected(gateway, address):
                    served = True


WHOAMI_HEAD = b'GET /v1/whoami HTTP/1.1\r\nHost: a\r\n'
NONSENSE = {
    'binary': b'\x00\x01nonsense\r\n\r\n',
    'no host': b'GET /v1/whoami HTTP/1.1\r\n\r\n',
    'negative length': WHOAMI_HEAD + b'Content-Length: -1\r\n\r\n',
    'endless length': WHOAMI_HEAD + b'Content-Length: ' + b'9' * 99,
    'http/2': b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'h2c': (
        WHOAMI_HEAD
        + b'Upgrade: h2c\r\nConnection: Upgrade\r\n'
        + b'HTTP2-Settings: AAMAAABk\r\n\r\n'
    ),
    'websocket': (
        WHOAMI_HEAD
        + b'Upgrade: websocket\r\nConnection: Upgrade\r\n'
        + b'Sec-WebSocket-Version: 13\r\n'
        + b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
    ),
    'path': b'GET /v1/%ff%00/../../etc HTTP/1.1\r\nHost: a\r\n\r\n',
}


@pytest.mark.parametrize('bad', NONSENSE.values(), ids=NONSENSE.keys())
async def test_nonsense_gets_no_success_and_harms_nobody(
    gateway: Place, bad: bytes
) -> None:
    async with serving(gateway, limits=limits(idle_s=0.5)) as address:
        async with connected(gateway, address) as stream:
            await stream.send_all(bad)
            assert b'"code":"gateway"' not in await read_all(stream)
        async with connected(gateway, address) as good:
            await good.send_all(WHOAMI_HEAD + b'\r\n')
            assert (await good.receive_some(12)).startswith(b'HTTP/1.1 200')


async def test_connections_are_kept_for_the_next_request(
    gateway: Place,
) -> None:
    async with serving(gateway, (WHOAMI, COUNT)) as (host, port):
        transport = httpx.AsyncHTTPTransport(verify=gateway.client_tls())
        async with httpx.AsyncClient(
            transport=transport, base_url=f'https://{host}:{port}'
        ) as http:
            ports = set()
            for _ in range(3):
                answer = await http.put(
                    '/v1/count',
                    content=b'x' * 1000,
                    extensions={'sni_hostname': str(gateway.membership.name)},
                )
                assert answer.json()['message'] == '1000'
                network = answer.extensions['network_stream']
                ports.add(network.get_extra_info('client_addr'))
            assert len(ports) == 1
