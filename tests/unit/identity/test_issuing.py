# SPDX-License-Identifier: Apache-2.0
"""The issuer: what it checks, and that it consumes before it signs."""

from __future__ import annotations

import datetime
import os
import pathlib
import signal
from collections.abc import Iterator

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import errors, names, wire
from p2pcs_nova.identity import ca, joining, token
from p2pcs_nova.identity.authority import Authority, AuthorityError
from p2pcs_nova.identity.issuing import Issuer
from p2pcs_nova.identity.seeking import Joiner
from tests.support.members import Members, Place


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


def make_request(
    issuer: Issuer, members: Members, skew_s: float = 0.0
) -> tuple[token.JoinToken, wire.JoinRequest]:
    wall = members.now + datetime.timedelta(seconds=skew_s)
    fresh = token.text_to_token(issuer.create_token(60.0, members.now))
    request = joining.make_request(
        fresh,
        Joiner('pc1', '127.0.0.1', 7400, lambda: wall),
        ed25519.Ed25519PrivateKey.generate(),
    )
    return fresh, request


def test_a_token_names_issuer_root_and_seeds(
    issuer: Issuer, members: Members, gateway: Place
) -> None:
    fresh, _ = make_request(issuer, members)
    assert fresh.issuer == gateway.membership.peer_id
    assert fresh.overlay == 'lab'
    assert fresh.root == ca.fingerprint(members.authority.root)
    assert fresh.seeds == ('127.0.0.1:7401',)


def test_a_request_is_granted_once(issuer: Issuer, members: Members) -> None:
    _, request = make_request(issuer, members)
    answer = issuer.issue(request, members.now)
    assert answer.overlay == 'lab'
    with pytest.raises(errors.TokenRefused, match='used'):
        issuer.issue(request, members.now)


@pytest.mark.parametrize(
    ('skew_s', 'ahead'), [(61.5, 'this PC'), (-3600.0, 'the gateway')]
)
def test_skew_is_named_and_the_token_stays_good(
    issuer: Issuer, members: Members, skew_s: float, ahead: str
) -> None:
    fresh, request = make_request(issuer, members, skew_s)
    with pytest.raises(errors.ClockSkew, match=f'the clock of {ahead}'):
        issuer.issue(request, members.now)
    right = msgspec.structs.replace(
        request, wall_clock_s=members.now.timestamp()
    )
    proof = token.prove(fresh.secret, right)
    issuer.issue(msgspec.structs.replace(right, proof=proof), members.now)


def test_a_killed_issuer_never_honours_a_token_twice(
    issuer: Issuer,
    members: Members,
    gateway: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A real SIGKILL between consuming and signing."""
    _, request = make_request(issuer, members)
    child = os.fork()
    if child == 0:

        def die(*_arguments: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(ca, 'make_member', die)
        gateway.issuer().issue(request, members.now)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    restarted = gateway.issuer()
    with pytest.raises(errors.TokenRefused, match='used'):
        restarted.issue(request, members.now)
    restarted.close()


def test_a_gateway_enrolled_again_keeps_its_keys(
    members: Members, gateway: Place, issuer: Issuer
) -> None:
    again = members.gateway()
    assert again.membership.peer_id == gateway.membership.peer_id
    assert again.membership.chain != gateway.membership.chain
    assert len(members.authority.gateways) == 1


def test_a_second_gateway_knows_the_first_and_all_ring_keys(
    members: Members, gateway: Place
) -> None:
    second = members.gateway('gw2')
    assert second.membership.ring_keys == gateway.membership.ring_keys
    assert second.membership.seeds == ('127.0.0.1:7400',)


def test_a_peers_folder_cannot_become_a_gateways(
    members: Members, gateway: Place
) -> None:
    peer = members.peer(gateway)
    with pytest.raises(AuthorityError, match='belongs to'):
        members.authority.enrol(
            peer.layout.root, 'gw3', '127.0.0.1', 7400, members.now
        )
    assert peer.store.load() == peer.membership


def test_an_overlay_is_made_once(
    members: Members, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(AuthorityError, match='holds an overlay already'):
        Authority.create(tmp_path / 'ca', 'other', members.now)
    with pytest.raises(AuthorityError, match='ca init'):
        Authority(tmp_path / 'nothing')
    assert Authority(tmp_path / 'ca').overlay == 'lab'


def test_a_revoked_key_gets_no_certificate_and_wastes_no_token(
    members: Members, gateway: Place
) -> None:
    revoked: set[str] = set()
    issuer = gateway.issuer(is_revoked=revoked.__contains__)
    fresh, request = make_request(issuer, members)
    key = ca.request_to_key(request.csr)
    revoked.add(names.peer_id(key.public_bytes_raw()))
    with pytest.raises(errors.Revoked, match='leave --force'):
        issuer.issue(request, members.now)
    revoked.clear()
    assert issuer.issue(request, members.now).overlay == fresh.overlay
    issuer.close()
