# SPDX-License-Identifier: Apache-2.0
"""A PC joins with nothing but a token, on real loopback sockets."""

from __future__ import annotations

import contextlib
import datetime
import functools
import hmac
import pathlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import trio
from msgspec.structs import replace

from p2pcs_nova import errors, wire
from p2pcs_nova.identity import (
    credentials,
    dialback,
    joining,
    routes,
    seeking,
    token,
)
from p2pcs_nova.identity.issuing import Issuer
from p2pcs_nova.identity.seeking import Joiner
from p2pcs_nova.identity.store import IdentityStore
from p2pcs_nova.layout import Layout
from p2pcs_nova.transport import listeners
from p2pcs_nova.transport.application import make_application
from p2pcs_nova.wall import utc_now
from tests.support.members import Members, Place
from tests.support.served import DEADLINE_S, serving

pytestmark = pytest.mark.trio


@pytest.fixture
def members(tmp_path: pathlib.Path) -> Members:
    return Members(tmp_path)


@pytest.fixture
def gateway(members: Members) -> Place:
    return members.gateway()


@pytest.fixture
def issuer(gateway: Place) -> Iterator[Issuer]:
    issuer = gateway.issuer()
    yield issuer
    issuer.close()


@pytest.fixture
def store(tmp_path: pathlib.Path) -> IdentityStore:
    return IdentityStore(tmp_path / 'new' / 'identity')


@pytest.fixture
def port() -> int:
    """A port that is free for UDP and TCP."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(('127.0.0.1', 0))
        udp.bind(tcp.getsockname())
        return int(tcp.getsockname()[1])


@pytest.fixture
def joiner(port: int) -> Joiner:
    return Joiner('pc9', '127.0.0.1', port)


@contextlib.asynccontextmanager
async def door(
    place: Place,
    issuer: Issuer | None = None,
    relay: routes.Relay | None = None,
    wall: Callable[[], datetime.datetime] = utc_now,
    dial_back: routes.DialBack = dialback.dial_back,
) -> AsyncIterator[str]:
    """A member's join listener; its ``host:port``."""

    async def serve(
        task_status: trio.TaskStatus[tuple[listeners.Address, ...]],
    ) -> None:
        no_relay = routes.make_relay(
            place.membership, place.client_tls(), lambda _: None
        )
        app = make_application(
            routes.join_routes(
                place.membership,
                issuer=issuer,
                relay=relay or no_relay,
                wall=wall,
                dial_back=dial_back,
            )
        )
        await listeners.serve_join(
            app, place.join_tls(), '127.0.0.1', 0, task_status=task_status
        )

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            ((host, port),) = await nursery.start(serve)
            yield f'{host}:{port}'
            nursery.cancel_scope.cancel()


def token_for(issuer: Issuer, *seeds: str, valid_s: float = 60.0) -> str:
    """A token of the issuer with these seeds."""
    read = token.text_to_token(issuer.create_token(valid_s, utc_now()))
    return token.token_to_text(replace(read, seeds=seeds))


def dead_seed() -> str:
    """An address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return f'127.0.0.1:{sock.getsockname()[1]}'


async def test_a_pc_becomes_a_peer(
    gateway: Place, issuer: Issuer, store: IdentityStore, joiner: Joiner
) -> None:
    async with door(gateway, issuer) as seed:
        made = await joining.join(token_for(issuer, seed), store, joiner)
    held = store.load()
    assert held == made
    assert (held.overlay, held.role) == ('lab', 'peer')
    assert held.ring_keys == gateway.membership.ring_keys
    assert held.seeds == ('127.0.0.1:7400',)
    said = credentials.membership_to_trust(held).check(
        held.credential, utc_now().timestamp(), held.issuer_credential
    )
    assert said.peer.hex() == held.peer_id


async def test_a_peer_that_joined_is_a_seed_for_the_next(
    gateway: Place, issuer: Issuer, store: IdentityStore, joiner: Joiner
) -> None:
    async with door(gateway, issuer) as seed:
        await joining.join(token_for(issuer, seed), store, joiner)
    peer = Place(Layout(store.folder.parent), store.load())
    async with serving(gateway, routes.relay_routes(issuer)) as address:
        relay = routes.make_relay(
            peer.membership, peer.client_tls(), lambda _: address
        )
        async with door(peer, relay=relay) as seed:
            second = IdentityStore(store.folder.parent / 'second')
            text = token_for(issuer, seed)
            held = await joining.join(text, second, joiner)
            assert held.role == 'peer'
            third = IdentityStore(store.folder.parent / 'third')
            with pytest.raises(errors.TokenRefused, match='used'):
                await joining.join(text, third, joiner)
            assert not third.is_joined()


async def test_two_dead_seeds_of_three_cost_little(
    gateway: Place, issuer: Issuer, store: IdentityStore, joiner: Joiner
) -> None:
    silent = socket.socket()
    with silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen(8)
        quiet = f'127.0.0.1:{silent.getsockname()[1]}'
        async with door(gateway, issuer) as seed:
            begin = trio.current_time()
            await joining.join(
                token_for(issuer, quiet, dead_seed(), seed), store, joiner
            )
            assert trio.current_time() - begin < seeking.SEED_TIMEOUT_S
    assert store.is_joined()


async def test_no_seed_alive_is_said_with_each_reason(
    gateway: Place, issuer: Issuer, store: IdentityStore, joiner: Joiner
) -> None:
    seeds = dead_seed(), dead_seed()
    with pytest.raises(joining.JoinFailed, match=r'(?i)refused') as info:
        await joining.join(token_for(issuer, *seeds), store, joiner)
    assert all(seed in str(info.value) for seed in seeds)
    assert not store.is_joined()


async def test_a_seed_that_does_not_reach_the_issuer_is_passed_over(
    members: Members,
    gateway: Place,
    issuer: Issuer,
    store: IdentityStore,
    joiner: Joiner,
) -> None:
    lonely = members.peer(gateway)
    async with door(lonely) as useless, door(gateway, issuer) as seed:
        text = token_for(issuer, useless, seed)
        await joining.join(text, store, joiner)
    assert store.is_joined()


async def test_a_seed_of_another_overlay_is_passed_over(
    tmp_path: pathlib.Path,
    gateway: Place,
    issuer: Issuer,
    store: IdentityStore,
    joiner: Joiner,
) -> None:
    stranger = Members(tmp_path / 'strange').gateway()
    other = stranger.issuer()
    async with door(stranger, other) as wrong:
        with pytest.raises(joining.JoinFailed, match='another overlay'):
            await joining.join(token_for(issuer, wrong), store, joiner)
        async with door(gateway, issuer) as seed:
            await joining.join(token_for(issuer, wrong, seed), store, joiner)
    other.close()


async def test_a_copied_root_does_not_make_a_seed(
    tmp_path: pathlib.Path,
    gateway: Place,
    issuer: Issuer,
    store: IdentityStore,
    joiner: Joiner,
) -> None:
    """Who hands out the right root must also have a key under it."""
    stranger = Members(tmp_path / 'strange').gateway()
    mask = Place(
        stranger.layout,
        replace(stranger.membership, root=gateway.membership.root),
    )
    async with door(mask) as wrong:
        with pytest.raises(joining.JoinFailed, match=r'(?i)certificate'):
            await joining.join(token_for(issuer, wrong), store, joiner)


async def test_a_used_or_expired_token_is_refused_for_good(
    gateway: Place, issuer: Issuer, store: IdentityStore, joiner: Joiner
) -> None:
    async with door(gateway, issuer) as seed:
        text = token_for(issuer, seed)
        await joining.join(text, store, joiner)
        other = IdentityStore(store.folder.parent / 'other')
        with pytest.raises(errors.TokenRefused, match=r'used .* by pc9'):
            await joining.join(text, other, joiner)
        old = token.text_to_token(
            issuer.create_token(1.0, utc_now() - datetime.timedelta(hours=1))
        )
        expired = token.token_to_text(replace(old, seeds=(seed,)))
        with pytest.raises(errors.TokenRefused, match='expired 59 min'):
            await joining.join(expired, other, joiner)
        guessed = token.token_to_text(
            replace(token.text_to_token(text), secret=b'x' * 32)
        )
        with pytest.raises(errors.TokenRefused, match='secret'):
            await joining.join(guessed, other, joiner)
    assert not other.is_joined()


async def test_of_two_with_one_token_one_joins(
    gateway: Place, issuer: Issuer, store: IdentityStore, joiner: Joiner
) -> None:
    results: list[str] = []

    async def reachable(host: str, port: int, key: bytes) -> None:
        """Both listen on one port here: the dial-back is not the point."""

    async def attempt(name: str, port: int) -> None:
        own = IdentityStore(store.folder.parent / name)
        try:
            await joining.join(text, own, Joiner(name, '127.0.0.1', port))
        except errors.TokenRefused:
            results.append('refused')
        else:
            results.append('joined')

    async with door(gateway, issuer, dial_back=reachable) as seed:
        text = token_for(issuer, seed)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt, 'a', joiner.port)
            with socket.socket() as free:
                free.bind(('127.0.0.1', 0))
                other = free.getsockname()[1]
            nursery.start_soon(attempt, 'b', other)
    assert sorted(results) == ['joined', 'refused']


@pytest.mark.parametrize(
    ('skew_s', 'ahead'), [(300, 'this PC'), (-7200, 'the seed')]
)
async def test_a_wrong_clock_is_named_before_the_token_is_used(
    gateway: Place,
    issuer: Issuer,
    store: IdentityStore,
    joiner: Joiner,
    skew_s: float,
    ahead: str,
) -> None:
    wrong = Joiner(
        joiner.name,
        joiner.host,
        joiner.port,
        lambda: utc_now() + datetime.timedelta(seconds=skew_s),
    )
    async with door(gateway, issuer) as seed:
        text = token_for(issuer, seed)
        with pytest.raises(errors.ClockSkew, match=f'clock of {ahead}'):
            await joining.join(text, store, wrong)
        await joining.join(text, store, joiner)


async def test_a_taken_port_is_named_before_anything_is_asked(
    gateway: Place, issuer: Issuer, store: IdentityStore, joiner: Joiner
) -> None:
    async with door(gateway, issuer) as seed:
        text = token_for(issuer, seed)
        with socket.socket(type=socket.SOCK_DGRAM) as taken:
            taken.bind(('127.0.0.1', joiner.port))
            with pytest.raises(dialback.PortTaken, match='p2pcs-peer'):
                await joining.join(text, store, joiner)
        await joining.join(text, store, joiner)


@pytest.mark.parametrize('blocked', ['udp', 'tcp'])
async def test_a_blocked_port_is_named_and_the_token_stays_good(
    gateway: Place,
    issuer: Issuer,
    store: IdentityStore,
    joiner: Joiner,
    blocked: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A firewall is played by a PC that does not answer on one port."""

    async def quick(host: str, port: int, key: bytes) -> None:
        await dialback.dial_back(host, port, key, timeout_s=0.3)

    async def deaf(sock: trio.socket.SocketType, *_: object) -> None:
        with sock:
            await trio.sleep_forever()

    async with door(gateway, issuer, dial_back=quick) as seed:
        text = token_for(issuer, seed)
        with monkeypatch.context() as patch:
            patch.setattr(dialback, f'_answer_{blocked}', deaf)
            with pytest.raises(
                errors.PortBlocked, match=f'{blocked.upper()} port'
            ) as info:
                await joining.join(text, store, joiner)
        other = {'udp': 'TCP', 'tcp': 'UDP'}[blocked]
        assert other not in info.value.message
        await joining.join(text, store, joiner)


async def test_joining_again_changes_nothing_unless_forced(
    gateway: Place, issuer: Issuer, store: IdentityStore, joiner: Joiner
) -> None:
    async with door(gateway, issuer) as seed:
        first = await joining.join(token_for(issuer, seed), store, joiner)
        text = token_for(issuer, seed)
        with pytest.raises(joining.AlreadyMember, match=first.peer_id):
            await joining.join(text, store, joiner)
        again = await joining.join(text, store, joiner, force=True)
    assert again.peer_id == first.peer_id
    assert again.chain != first.chain


async def test_a_lost_answer_says_that_the_token_is_gone(
    gateway: Place,
    issuer: Issuer,
    store: IdentityStore,
    joiner: Joiner,
) -> None:
    """The first seed grants the wish and dies before it answers."""

    async def grant_and_die(request: wire.JoinRequest) -> wire.JoinAnswer:
        issuer.issue(request, utc_now())
        dying.set()
        await trio.sleep_forever()
        raise AssertionError

    dying = trio.Event()
    async with trio.open_nursery() as nursery:

        async def doomed(
            task_status: trio.TaskStatus[str],
        ) -> None:
            with trio.CancelScope() as scope:
                async with door(gateway, relay=grant_and_die) as address:
                    task_status.started(address)
                    await dying.wait()
                    scope.cancel()

        first = await nursery.start(doomed)
        async with door(gateway, issuer) as second:
            with pytest.raises(errors.TokenRefused, match='lost on the way'):
                await joining.join(
                    token_for(issuer, first, second), store, joiner
                )


async def test_another_service_on_the_port_is_not_taken_for_ours() -> None:
    async def echo(stream: trio.SocketStream) -> None:
        async with stream:
            async for piece in stream:
                await stream.send_all(piece)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(
            functools.partial(trio.serve_tcp, echo, 0, host='127.0.0.1')
        )
        port = listener.socket.getsockname()[1]
        with pytest.raises(
            errors.PortBlocked, match='another service answers there'
        ):
            await dialback.dial_back('127.0.0.1', port, b'k' * 32, 0.3)
        nursery.cancel_scope.cancel()


async def test_dial_backs_are_answered_only_with_the_right_key() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(
            dialback.answer_dial_backs, '127.0.0.1', 0, b'k' * 32
        )
        await dialback.dial_back('127.0.0.1', port, b'k' * 32)
        with pytest.raises(errors.PortBlocked, match=r'TCP .* and UDP'):
            await dialback.dial_back('127.0.0.1', port, b'x' * 32, 0.3)
        nursery.cancel_scope.cancel()


async def test_strangers_get_no_answer_longer_than_their_question() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(
            dialback.answer_dial_backs, '127.0.0.1', 0, b'k' * 32
        )
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
            await sock.connect(('127.0.0.1', port))
            for question in (b'', b'x', b'p2pcs?01', b'p2pcs?01' * 9):
                await sock.send(question)
            good = b'p2pcs?01'.ljust(dialback.QUESTION_BYTES, b'\0')
            await sock.send(good)
            with trio.fail_after(DEADLINE_S):
                answer = await sock.recv(2000)
        assert len(answer) == len(good)
        expected = hmac.digest(b'k' * 32, b'udp' + good, 'sha256')
        assert answer[8:40] == expected
        nursery.cancel_scope.cancel()
