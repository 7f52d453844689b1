# SPDX-License-Identifier: Apache-2.0
"""Who may put whom out, and what is left of who was put out."""

import dataclasses
import random
from collections.abc import Callable

import pytest

from gossip import (
    codec,
    errors,
    events,
    messages,
    revocations,
    signing,
    throwaway,
)
from gossip.credential import read_credential
from gossip.descriptor import Role
from tests.support.gossip_case import WALL, Case, Other, of_kind


@pytest.fixture
def case() -> Case:
    return Case()


@pytest.fixture
def gateway(case: Case) -> Other:
    return Other(case.overlay, case.overlay.make_identity(Role.GATEWAY))


def revocation(
    author: Other, subject: bytes, made_at: int = WALL
) -> messages.RevocationItem:
    """The author's word that the subject is out."""
    signed = author.sign(messages.Revocation(subject, made_at))
    return messages.RevocationItem(*signed, author.who.credential)


def test_who_is_put_out_is_gone_at_once_and_stays_out(
    case: Case, gateway: Other
) -> None:
    case.meet()
    case.hear(case.other.say(case.other.record(b'x')))
    case.happened()
    peer = case.other.who.peer
    item = revocation(gateway, peer)

    case.hear(gateway.say(item), 1.0)
    case.hear(case.other.say(messages.Ping(1, 0)), 2.0)
    case.hear(case.other.hello(), 2.0)

    assert case.happened() == [
        events.PeerRevoked(peer, codec.encode_body(item)),
        events.PeerLeft(peer),
    ]
    assert case.node.member(peer) is None
    assert case.node.records(peer) == ()
    assert case.node.revoked() == (peer,)
    assert case.dropped == {'credential_revoked': 2}


def test_it_is_told_so_once_a_second_and_not_by_a_header_alone(
    case: Case, gateway: Other
) -> None:
    case.meet()
    peer = case.other.who.peer
    item = revocation(gateway, peer)
    case.hear(gateway.say(item))
    case.node.on_deadline(0.1)
    case.sent()

    for _ in range(5):
        case.hear(case.other.say(messages.Ping(1, 0)), 10.0)
    assert of_kind(case.sent(), messages.RevocationItem) == [item]
    forged = bytearray(case.other.say(messages.Ping(1, 0)))
    forged[-1] ^= 1
    case.hear(bytes(forged), 20.0)
    assert case.sent() == []
    case.hear(case.other.say(messages.Ping(1, 0)), 20.1)
    assert of_kind(case.sent(), messages.RevocationItem) == [item]


def test_who_hears_of_its_own_is_silent_for_ever(
    case: Case, gateway: Other
) -> None:
    case.meet()
    item = revocation(gateway, case.who.peer)

    case.hear(gateway.say(item))

    assert (
        events.PeerRevoked(case.who.peer, codec.encode_body(item))
        in case.happened()
    )
    assert case.node.deadline() is None
    case.sent()
    case.node.join([], 1.0)
    case.hear(case.other.say(messages.Ping(1, 0)), 2.0)
    assert case.node.deadline() is None
    assert case.sent() == []


def test_a_gateway_puts_out_and_what_it_stores_is_believed_again() -> None:
    first, second = Case(role=Role.GATEWAY), Case()
    peer = first.other.who.peer
    first.meet()

    stored = first.node.revoke(peer, 1.0)
    second.node.restore([stored, stored], 0.0)
    second.hear(first.other.hello())

    assert first.node.member(peer) is None
    assert first.node.revoke(peer, 2.0) == stored
    assert second.node.revoked() == (peer,)
    assert second.dropped == {'credential_revoked': 1}


def test_what_is_stored_and_does_not_hold_is_dropped(case: Case) -> None:
    foreign = throwaway.Overlay(random.Random(2))
    author = Other(foreign, foreign.make_identity(Role.GATEWAY))
    stored = codec.encode_body(revocation(author, bytes(16)))

    case.node.restore([b'nonsense', stored], 0.0)

    assert case.node.revoked() == ()
    assert case.dropped == {'malformed': 1, 'credential_overlay': 1}


def test_a_peer_puts_nobody_out(case: Case) -> None:
    case.meet()
    with pytest.raises(errors.Misuse):
        case.node.revoke(case.other.who.peer, 0.0)
    case.hear(case.other.say(revocation(case.other, case.who.peer)))

    assert case.dropped == {'revocation_author': 1}
    assert case.node.revoked() == ()


@pytest.mark.parametrize('role', [Role.GATEWAY, Role.ADMIN])
def test_a_gateway_puts_out_nobody_whom_the_root_has_signed(
    case: Case, gateway: Other, role: Role
) -> None:
    case.meet()
    second = Other(case.overlay, case.overlay.make_identity(role))
    case.hear(second.hello())
    case.sent()

    case.hear(case.other.say(revocation(gateway, second.who.peer)), 2.0)

    assert case.dropped == {'revocation_subject': 1}
    assert case.node.member(second.who.peer) is not None
    # Who holds it for true is shown better.
    assert second.member() in case.sent()


def test_nothing_that_an_issuer_has_signed_ends_with_its_revocation(
    case: Case, gateway: Other
) -> None:
    issuer = read_credential(case.overlay.issuer_credential).peer

    case.hear(gateway.say(revocation(gateway, issuer)))
    case.meet()

    assert case.dropped == {}
    assert case.node.member(case.other.who.peer) is not None


@pytest.mark.parametrize('brought_by', ['itself', 'another'])
def test_it_is_void_as_soon_as_the_root_is_seen_to_have_signed_its_subject(
    case: Case, gateway: Other, brought_by: str
) -> None:
    case.meet()
    second = Other(case.overlay, case.overlay.make_identity(Role.GATEWAY))
    who = second.who.peer
    case.hear(gateway.say(revocation(gateway, who)))
    assert case.node.revoked() == (who,)
    case.sent()

    if brought_by == 'itself':
        case.hear(second.hello(), 2.0)
        assert of_kind(case.sent(), messages.Hello)
    else:
        case.hear(case.other.say(second.member()), 2.0)

    assert case.node.revoked() == ()
    assert case.node.member(who) is not None
    assert events.RevocationVoid(who) in case.happened()
    case.hear(second.say(messages.Ping(1, 0)), 3.0)
    assert of_kind(case.sent(), messages.Ack)


def test_who_was_put_out_shows_in_vain_what_it_says_that_the_root_signed(
    case: Case, gateway: Other
) -> None:
    case.meet()
    case.hear(gateway.say(revocation(gateway, case.other.who.peer)))
    signed = case.overlay.sign(
        case.overlay.issuer, case.other.who.private_key, Role.GATEWAY
    )
    case.other.who = dataclasses.replace(case.other.who, credential=signed)

    case.hear(case.other.hello(), 2.0)

    assert case.node.revoked() == (case.other.who.peer,)
    assert case.node.member(case.other.who.peer) is None


def test_who_invents_subjects_takes_the_place_of_nobody_else(
    case: Case, gateway: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, 'REVOCATIONS_MAX', 3)
    case.meet()
    second = Other(case.overlay, case.overlay.make_identity(Role.GATEWAY))
    for number in range(5):
        invented = revocation(gateway, bytes([number]) * 16)
        case.hear(gateway.say(invented))
    assert case.dropped == {'revocations_full': 2}

    case.hear(second.say(revocation(second, case.other.who.peer)))

    assert case.other.who.peer in case.node.revoked()


def test_what_is_void_makes_room_for_another_of_its_author(
    case: Case, gateway: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, 'REVOCATIONS_MAX', 1)
    case.meet()
    second = Other(case.overlay, case.overlay.make_identity(Role.GATEWAY))
    case.hear(gateway.say(revocation(gateway, second.who.peer)))
    case.hear(case.other.say(second.member()))

    case.hear(gateway.say(revocation(gateway, case.other.who.peer)))

    assert case.node.revoked() == (case.other.who.peer,)


Forge = Callable[[Case, Other], messages.RevocationItem]
FORGED: dict[str, Forge] = {
    'revocation_signature': lambda case, gateway: messages.RevocationItem(
        *case.other.sign(messages.Revocation(case.who.peer, WALL)),
        gateway.who.credential,
    ),
    'credential_time': lambda case, gateway: revocation(
        gateway, case.who.peer, WALL + 2 * 365 * 86400
    ),
    'malformed': lambda case, gateway: messages.RevocationItem(
        *gateway.sign(messages.Revocation(bytes(16), 2**33)),
        gateway.who.credential,
    ),
}


@pytest.mark.parametrize('reason', FORGED)
def test_a_forged_revocation_is_dropped_and_counted(
    case: Case, gateway: Other, reason: str
) -> None:
    case.meet()
    case.hear(gateway.say(FORGED[reason](case, gateway)))
    assert case.dropped == {reason: 1}
    assert case.node.revoked() == ()


def test_a_claim_is_no_revocation(case: Case, gateway: Other) -> None:
    body = codec.encode_body(messages.Revocation(case.who.peer, WALL))
    signature = gateway.who.private_key.sign(
        b'gossip claim 1\0' + case.overlay.overlay + body
    )
    item = messages.RevocationItem(body, signature, gateway.who.credential)
    case.hear(gateway.say(item))
    assert case.dropped == {'revocation_signature': 1}


def test_who_asks_for_what_it_lacks_is_given_the_revocation(
    case: Case, gateway: Other
) -> None:
    third = Other(case.overlay, case.overlay.make_identity())
    case.meet()
    case.hear(third.hello())
    item = revocation(gateway, third.who.peer)
    case.hear(gateway.say(item))
    case.sent()

    want = messages.Want((messages.WantItem(third.who.peer, ''),))
    case.hear(case.other.say(want))

    assert of_kind(case.sent(), messages.RevocationItem) == [item]


def test_no_word_of_the_peer_outranks_its_revocation(
    case: Case, gateway: Other
) -> None:
    """Else it could hide its revocation from who exchanges digests."""
    case.meet()
    top = 2**48 - 1
    third = Other(case.overlay, case.overlay.make_identity(), boot=top)
    case.hear(gateway.say(revocation(gateway, third.who.peer)))
    case.sent()
    case.hear(case.other.say(messages.Ping(1, 99)), 3.0)
    case.hear(case.other.say(messages.Ping(2, 99)), 4.0)
    left = messages.HaveMember(third.who.peer, top, top, 3, ())

    case.hear(
        case.other.say(messages.Have(bytes(16), b'\xff' * 16, (left,))), 4.1
    )

    sent = case.sent()
    assert of_kind(sent, messages.RevocationItem)
    assert not of_kind(sent, messages.Want)


def test_a_bad_signing_key_of_the_same_name_is_another_author(
    case: Case, gateway: Other
) -> None:
    """A credential that an issuer has made signs no revocation."""
    data = case.overlay.sign(
        case.overlay.issuer, gateway.who.private_key, Role.GATEWAY
    )
    signed = signing.Signed(
        *gateway.sign(messages.Revocation(case.who.peer, WALL))
    )
    case.meet()
    case.hear(gateway.say(messages.RevocationItem(*signed, data)))
    assert case.dropped == {'credential_role': 1}
