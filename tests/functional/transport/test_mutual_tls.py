# SPDX-License-Identifier: Apache-2.0
"""Daemon to daemon, on real loopback sockets: who gets in."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest
import trio
from cryptography import x509
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from p2pcs_nova import errors, wire
from p2pcs_nova.client.pool import ConnectionPool
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.identity import ca, keys, tls
from p2pcs_nova.identity.issuing import IssuerFolder
from p2pcs_nova.transport.limits import REQUESTS
from p2pcs_nova.transport.presence import Presence
from p2pcs_nova.transport.refusals import Refusals
from tests.support.members import Members, Place
from tests.support.served import WHOAMI, serving

pytestmark = pytest.mark.trio


@pytest.fixture
def members(tmp_path: pathlib.Path) -> Members:
    return Members(tmp_path)


@pytest.fixture
def gateway(members: Members) -> Place:
    return members.gateway()


@pytest.fixture
def peer(members: Members, gateway: Place) -> Place:
    return members.peer(gateway)


def client_to(
    place: Place,
    address: tuple[str, int],
    context: ssl.SSLContext,
    *,
    pool: ConnectionPool | None = None,
    timeout_s: float = 10.0,
) -> RemoteClient:
    name = place.membership.name
    return RemoteClient(
        address,
        name.peer_id,
        name.role,
        name.overlay,
        context,
        timeout_s=timeout_s,
        pool=pool,
    )


async def ask_whoami(
    server: Place, address: tuple[str, int], context: ssl.SSLContext
) -> wire.Problem:
    async with client_to(server, address, context) as client:
        return await client._ask('GET', '/v1/whoami', wire.Problem)


async def test_each_knows_the_others_role_and_id(
    gateway: Place, peer: Place
) -> None:
    for server, client in ((gateway, peer), (peer, gateway)):
        async with serving(server) as address:
            who = await ask_whoami(server, address, client.client_tls())
            assert who.code == client.membership.role
            assert who.message == client.membership.peer_id


async def test_a_client_does_not_take_one_member_for_another(
    members: Members, gateway: Place, peer: Place
) -> None:
    other = members.peer(gateway, 'pc2')
    async with serving(other) as address:
        with pytest.raises(errors.Unreachable, match='Hostname mismatch'):
            await ask_whoami(peer, address, gateway.client_tls())


async def test_another_overlay_of_the_same_name_is_refused_both_ways(
    tmp_path: pathlib.Path, gateway: Place, peer: Place
) -> None:
    strange = Members(tmp_path / 'strange')
    stranger = strange.gateway()
    async with serving(peer) as address:
        with pytest.raises(errors.Unreachable, match=r'self-signed|unable'):
            await ask_whoami(peer, address, stranger.client_tls())
        forced = stranger.client_tls()
        forced.load_verify_locations(
            cadata=peer.membership.root.decode('ascii')
        )
        with pytest.raises(errors.Unreachable, match=r'(?i)unknown.ca'):
            await ask_whoami(peer, address, forced)


async def test_no_certificate_is_refused_in_the_handshake(
    gateway: Place,
) -> None:
    async with serving(gateway) as address:
        bare = tls.join_client(gateway.membership.root)
        with pytest.raises(errors.Unreachable, match=r'(?i)certificate'):
            await ask_whoami(gateway, address, bare)


async def test_plain_http_is_refused(gateway: Place) -> None:
    async with serving(gateway) as (host, port), httpx.AsyncClient() as http:
        with pytest.raises(httpx.TransportError):
            await http.get(f'http://{host}:{port}/v1/whoami')


async def test_older_tls_is_refused(gateway: Place, peer: Place) -> None:
    async with serving(gateway) as address:
        old = peer.client_tls()
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(errors.Unreachable, match=r'(?i)version'):
            await ask_whoami(gateway, address, old)


async def test_an_expired_certificate_is_refused(
    tmp_path: pathlib.Path, gateway: Place
) -> None:
    long_ago = Members(
        tmp_path / 'old',
        now=datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=800),
    )
    old_gateway = long_ago.gateway()
    server = tls.mutual_server(
        gateway.store.key_path,
        gateway.membership.chain,
        old_gateway.membership.root,
    )
    client = old_gateway.client_tls()
    client.load_verify_locations(
        cadata=gateway.membership.root.decode('ascii')
    )
    async with serving(_WithTls(gateway, server)) as address:
        with pytest.raises(errors.Unreachable, match=r'(?i)expired'):
            await ask_whoami(gateway, address, client)


class _WithTls(Place):
    """A member that trusts somebody else."""

    def __init__(self, place: Place, context: ssl.SSLContext) -> None:
        super().__init__(place.layout, place.membership)
        object.__setattr__(self, '_context', context)

    def server_tls(self) -> ssl.SSLContext:
        context = self.__dict__['_context']
        assert isinstance(context, ssl.SSLContext)
        return context


def forge(
    gateway: Place, tmp_path: pathlib.Path, role: str, overlay: str
) -> ssl.SSLContext:
    """What who has a gateway's issuer key could make of it."""
    folder = IssuerFolder(gateway.layout.issuer)
    pem = folder.load().certificate
    issuer = x509.load_pem_x509_certificate(pem)
    path = tmp_path / f'forged-{role}-{overlay}.pem'
    key = keys.load_or_make_key(path)
    leaf = ca.make_member(
        folder.key(),
        issuer,
        key.public_key(),
        role,
        overlay,
        datetime.datetime.now(datetime.UTC),
    )
    return tls.mutual_client(
        path, ca.to_pem(leaf) + pem, gateway.membership.root
    )


@pytest.mark.parametrize(
    ('role', 'overlay'),
    [('gateway', 'lab'), ('admin', 'lab'), ('peer', 'other')],
)
async def test_an_issuer_cannot_make_more_than_peers(
    gateway: Place, tmp_path: pathlib.Path, role: str, overlay: str
) -> None:
    async with serving(gateway) as address:
        with pytest.raises(errors.Unreachable, match=r'(?i)certificate'):
            await ask_whoami(
                gateway, address, forge(gateway, tmp_path, role, overlay)
            )
        who = await ask_whoami(
            gateway, address, forge(gateway, tmp_path, 'peer', 'lab')
        )
        assert who.code == 'peer'


async def test_a_name_that_is_not_the_keys_is_refused_both_ways(
    gateway: Place,
    peer: Place,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = IssuerFolder(gateway.layout.issuer)
    pem = folder.load().certificate
    path = tmp_path / 'thief.pem'
    thief = keys.load_or_make_key(path).public_key()
    with monkeypatch.context() as patch:
        patch.setattr(
            'p2pcs_nova.names.peer_id', lambda _: peer.membership.peer_id
        )
        leaf = ca.make_member(
            folder.key(),
            x509.load_pem_x509_certificate(pem),
            thief,
            'peer',
            'lab',
            datetime.datetime.now(datetime.UTC),
        )
    chain = ca.to_pem(leaf) + pem
    root = gateway.membership.root
    async with serving(gateway) as address:
        with pytest.raises(errors.Unreachable):
            await ask_whoami(
                gateway, address, tls.mutual_client(path, chain, root)
            )
    fake = _WithTls(peer, tls.mutual_server(path, chain, root))
    async with serving(fake) as address:
        with pytest.raises(errors.Unreachable, match='another key'):
            await ask_whoami(peer, address, gateway.client_tls())


async def test_a_revoked_member_is_refused_on_an_open_connection(
    gateway: Place, peer: Place
) -> None:
    revoked: set[str] = set()
    refusals = Refusals()
    async with (
        serving(gateway, revoked=revoked, refusals=refusals) as address,
        client_to(gateway, address, peer.client_tls()) as client,
    ):
        await client._call('GET', '/v1/whoami')
        revoked.add(peer.membership.peer_id)
        with pytest.raises(errors.Revoked, match='revoked'):
            await client._call('GET', '/v1/whoami')
    assert refusals.listed() == (('revoked', 1),)


async def test_whom_the_root_has_signed_nobody_puts_out(
    gateway: Place, peer: Place
) -> None:
    revoked = {gateway.membership.peer_id}
    async with (
        serving(peer, revoked=revoked) as address,
        client_to(peer, address, gateway.client_tls()) as client,
    ):
        assert await client._call('GET', '/v1/whoami')


async def test_who_is_turned_out_gets_no_more_of_what_was_being_sent(
    gateway: Place, peer: Place
) -> None:
    async def endless(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield bytes(65536)
                await trio.lowlevel.checkpoint()

        return StreamingResponse(pieces())

    presence = Presence()
    routes = (WHOAMI, Route('/v1/endless', endless))
    async with serving(gateway, routes, presence=presence) as address:
        client = client_to(gateway, address, peer.client_tls())
        failures: list[Exception] = []

        async def read() -> None:
            try:
                await client._call('GET', '/v1/endless')
            except errors.P2PcsError as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            while not presence.is_inside(peer.membership.peer_id):
                await trio.lowlevel.checkpoint()
            presence.turn_out(peer.membership.peer_id)
        assert isinstance(failures[0], errors.Unreachable)
        await client.aclose()
        # He is not barred by that: whether he may come is asked elsewhere.
        async with client_to(gateway, address, peer.client_tls()) as again:
            assert await again._call('GET', '/v1/whoami')


async def test_what_is_refused_is_counted_by_its_reason(
    tmp_path: pathlib.Path, gateway: Place, peer: Place
) -> None:
    refusals = Refusals()
    strange = Members(tmp_path / 'strange').gateway().client_tls()
    strange.load_verify_locations(
        cadata=gateway.membership.root.decode('ascii')
    )
    bare = tls.join_client(gateway.membership.root)
    small = dataclasses.replace(REQUESTS, body_bytes=1000)
    async with serving(gateway, refusals=refusals, limits=small) as address:
        for context in (strange, bare):
            with pytest.raises(errors.Unreachable):
                await ask_whoami(gateway, address, context)
        async with httpx.AsyncClient() as http:
            with pytest.raises(httpx.TransportError):
                await http.get(f'http://{address[0]}:{address[1]}/')
        async with client_to(gateway, address, peer.client_tls()) as client:
            for path in ('/v1/nothing', '/v1/../../etc/passwd'):
                with pytest.raises(errors.NotFound):
                    await client._call('GET', path)
            with pytest.raises(errors.Malformed):
                await client._call('DELETE', '/v1/whoami')
            with pytest.raises(errors.TooLarge):
                await client._call(
                    'PUT', '/v1/count', value=wire.Problem('a', 'b' * 2000)
                )
    assert refusals.listed() == (
        ('certificate-missing', 1),
        ('certificate-unknown', 1),
        ('handshake', 1),
        ('malformed', 1),
        ('not-found', 2),
        ('too-large', 1),
    )


async def test_a_cancelled_or_late_call_does_not_harm_the_next(
    gateway: Place, peer: Place
) -> None:
    started = trio.Event()

    async def hang(request: Request) -> Response:
        started.set()
        await trio.sleep_forever()
        raise AssertionError

    routes = (WHOAMI, Route('/v1/hang', hang))
    pool = ConnectionPool(peer.client_tls())
    async with serving(gateway, routes) as address:
        client = client_to(gateway, address, peer.client_tls(), pool=pool)
        for _ in range(40):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(client._call, 'GET', '/v1/hang')
                    await started.wait()
                    scope.cancel()
            assert scope.cancelled_caught
            started = trio.Event()
        hurried = client_to(
            gateway, address, peer.client_tls(), pool=pool, timeout_s=0.05
        )
        with pytest.raises(errors.Unreachable, match='in time'):
            await hurried._call('GET', '/v1/hang')
        assert await client._call('GET', '/v1/whoami')
        assert len(pool) == 1
        await pool.aclose()


async def test_nobody_there_is_unreachable_with_the_reason(
    gateway: Place, peer: Place
) -> None:
    async with serving(gateway) as address:
        pass
    with pytest.raises(errors.Unreachable, match=r'(?i)refused'):
        await ask_whoami(gateway, address, peer.client_tls())


async def test_a_pool_keeps_no_more_than_its_size(
    members: Members, gateway: Place, peer: Place
) -> None:
    pool = ConnectionPool(gateway.client_tls(), size=2)
    places = [peer, *(members.peer(gateway, f'pc{n}') for n in range(3))]
    for place in places:
        async with serving(place) as address:
            client = client_to(place, address, gateway.client_tls(), pool=pool)
            assert await client._call('GET', '/v1/whoami')
        assert len(pool) <= 2
    await pool.aclose()
    assert len(pool) == 0
