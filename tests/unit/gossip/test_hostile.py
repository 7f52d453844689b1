# SPDX-License-Identifier: Apache-2.0
"""One node at a time: what it drops, and that it counts it."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip import (
    codec,
    config,
    errors,
    events,
    messages,
    probing,
    seal,
    signing,
    throwaway,
)
from gossip.descriptor import Address, Role, Status
from tests.conftest import Tried
from tests.support.figures import DATAGRAMS
from tests.support.gossip_case import (
    BOOT_ID,
    THERE,
    Case,
    Other,
    of_kind,
)


@pytest.fixture
def case() -> Case:
    return Case()


def test_stranger_is_asked_who_it_is_once_a_second(case: Case) -> None:
    for _ in range(5):
        case.hear(case.other.say(messages.Ping(1, 0)))

    assert case.sent() == [messages.Introduce()]
    assert case.dropped == {'stranger': 5}
    assert case.node.members() == (case.node.member(case.who.peer),)


def test_who_asks_us_is_answered_once_a_second(case: Case) -> None:
    case.meet()
    for moment in (0.0, 0.1, 0.9):
        case.hear(case.other.say(messages.Introduce()), moment)

    assert of_kind(case.sent(), messages.Hello) == [messages.Hello(True)]


def test_another_process_of_a_member_is_a_stranger(case: Case) -> None:
    case.meet()
    peer = case.other.who.peer
    clone = seal.Sealer(case.overlay.ring, peer, b'clonecln')

    case.hear(clone.seal(codec.encode(messages.Ping(1, 0))))

    assert case.sent() == [messages.Introduce()]
    assert case.dropped == {'stranger': 1}


def test_a_datagram_is_read_up_to_its_bound(case: Case) -> None:
    case.meet()

    case.hear(case.other.say(*[messages.Relayed(1)] * 200))

    assert case.dropped == {'too_many_messages': 1}


def test_an_exchange_brings_a_bounded_number_of_datagrams() -> None:
    case = Case(config.NodeConfig(sync_datagrams=2))
    case.meet()
    parts = [f'part{number}' for number in range(8)]
    for part in parts:
        case.hear(case.other.say(case.other.record(bytes(900), part=part)))
    wanted = [messages.WantItem(case.other.who.peer, part) for part in parts]

    case.hear(case.other.say(messages.Want(tuple(wanted))))

    assert len(of_kind(case.sent(), messages.RecordItem)) == 2


def test_an_exchange_asks_by_a_bounded_number_of_datagrams() -> None:
    case = Case(config.NodeConfig(sync_datagrams=1))
    case.meet()
    case.hear(case.other.say(messages.Ping(1, 99)), now=3.0)
    case.hear(case.other.say(messages.Ping(2, 99)), now=4.0)
    case.sent()
    parts = (messages.HavePart('a', 1, 1),)
    members = [
        messages.HaveMember(number.to_bytes(16, 'big'), 1, 0, 0, parts)
        for number in range(36)
    ]

    have = messages.Have(bytes(16), members[-1].peer, tuple(members))
    case.hear(case.other.say(have), now=4.1)

    (want,) = of_kind(case.sent(), messages.Want)
    assert len(want.items) > 36  # type: ignore[attr-defined]


def test_stranger_speaks_of_itself_only(case: Case) -> None:
    third = Other(case.overlay, case.overlay.make_identity())

    case.hear(
        case.other.say(
            messages.IssuerItem(case.overlay.issuer_credential),
            third.member(),
        )
    )

    assert case.node.member(third.who.peer) is None
    assert case.dropped == {'stranger': 1}


def test_replayed_datagram_is_dropped_and_counted(case: Case) -> None:
    hello = case.other.hello()

    case.hear(hello)
    case.hear(hello)

    assert case.dropped == {'replay': 1}


def test_datagram_of_another_overlay_is_dropped(case: Case) -> None:
    other = throwaway.Overlay(random.Random(2))

    case.hear(Other(other, other.make_identity()).hello())

    assert case.dropped == {'seal': 1}
    assert case.sent() == []


def test_member_of_another_overlay_with_our_ring_key_is_refused(
    case: Case,
) -> None:
    other = throwaway.Overlay(random.Random(2))
    other.ring = case.overlay.ring

    case.hear(Other(other, other.make_identity()).hello())

    assert case.dropped == {'credential_overlay': 2}
    assert len(case.node.members()) == 1


def test_expired_credential_is_refused(case: Case) -> None:
    who = case.overlay.make_identity(lifetime_s=-10)

    case.hear(Other(case.overlay, who).hello())

    assert case.dropped == {'credential_time': 1}
    assert len(case.node.members()) == 1


def test_forged_descriptor_is_refused(case: Case) -> None:
    victim = case.overlay.make_identity()
    case.meet()
    place = messages.Descriptor(
        victim.peer, 1, BOOT_ID, 0, bytes([10, 0, 0, 9]), 1, 1
    )
    forged = messages.MemberItem(*case.other.sign(place), victim.credential)

    case.hear(case.other.say(forged))

    assert case.dropped == {'descriptor_signature': 1}
    assert case.node.member(victim.peer) is None


def test_descriptor_with_a_borrowed_credential_is_refused(
    case: Case,
) -> None:
    case.meet()
    place = messages.Descriptor(
        bytes(16), 1, BOOT_ID, 0, bytes([10, 0, 0, 9]), 1, 1
    )
    borrowed = messages.MemberItem(
        *case.other.sign(place), case.other.who.credential
    )

    case.hear(case.other.say(borrowed))

    assert case.dropped == {'descriptor_peer': 1}


def test_claim_forged_in_anothers_name_is_refused(case: Case) -> None:
    case.meet()
    third = Other(case.overlay, case.overlay.make_identity())
    case.hear(case.other.say(third.member()))

    case.hear(
        case.other.say(
            case.other.claim(Status.DEAD, third.who.peer, author=case.who.peer)
        )
    )
    case.hear(case.other.say(case.other.claim(Status.LEFT, third.who.peer)))

    assert case.dropped == {'claim_signature': 1, 'claim_author': 1}
    member = case.node.member(third.who.peer)
    assert member is not None
    assert member.status is Status.ALIVE


def test_claim_of_a_stranger_is_refused(case: Case) -> None:
    case.meet()
    third = Other(case.overlay, case.overlay.make_identity())

    case.hear(case.other.say(third.claim(Status.DEAD, case.other.who.peer)))

    assert case.dropped == {'claim_author': 1}


def test_forged_record_is_refused(case: Case) -> None:
    case.meet()
    forged = messages.RecordItem(
        *case.other.sign(messages.Part(case.who.peer, 'a', 9, 9, b'x'))
    )

    case.hear(case.other.say(forged))

    assert case.dropped == {'record_signature': 1}


def test_signature_of_one_kind_is_none_of_another(case: Case) -> None:
    case.meet()
    body = codec.encode_body(
        messages.Part(case.other.who.peer, 'a', 1, 1, b'x')
    )
    signature = case.other.who.private_key.sign(
        b'gossip claim 1\0' + case.overlay.overlay + body
    )

    case.hear(case.other.say(messages.RecordItem(body, signature)))

    assert case.dropped == {'record_signature': 1}


def another_process(
    case: Case, boot: int, boot_id: bytes, incarnation: int = 0
) -> messages.MemberItem:
    """What one with the node's own identity says of itself."""
    place = messages.Descriptor(
        case.who.peer,
        boot,
        boot_id,
        incarnation,
        bytes([10, 0, 0, 3]),
        7400,
        7400,
    )
    signed = signing.sign(case.who, case.overlay.overlay, place)
    return messages.MemberItem(*signed, case.who.credential)


def test_cloned_identity_is_named_and_not_fought_for_ever(
    case: Case,
) -> None:
    case.meet()
    for boot in range(1, 9):
        clone = another_process(case, boot, b'clonecln')
        case.hear(case.other.say(clone))

    happened = case.happened()
    assert len(of_kind(happened, events.BootRaised)) == 3
    places = Address('10.0.0.1', 7400), Address('10.0.0.3', 7400)
    contested = events.IdentityContested(case.who.peer, places)
    assert contested in happened


def test_so_many_other_processes_are_known_again(case: Case) -> None:
    case.meet()

    def is_named(boot: int, boot_id: bytes) -> bool:
        clone = another_process(case, boot, boot_id)
        case.hear(case.other.say(clone))
        return bool(of_kind(case.happened(), events.IdentityContested))

    first, second, *rest = (b'clone%03d' % number for number in range(5))
    for boot, boot_id in enumerate((first, second, *rest), start=10):
        assert not is_named(boot, boot_id)

    assert is_named(20, second)
    assert not is_named(21, first)


@pytest.mark.parametrize('incarnation', [0, 3])
def test_who_meets_another_with_its_boot_id_seals_by_a_new_one(
    case: Case, incarnation: int
) -> None:
    case.meet()
    twin = another_process(case, 1, b'hereboot', incarnation)
    seen = set()

    for _ in range(2):
        case.hear(case.other.say(twin))
        case.hear(case.other.say(messages.Ping(1, 0)))
        seen |= {
            case.opener.open(datagram).boot_id
            for _, datagram in case.node.outgoing()
        }

    own = case.node.member(case.who.peer)
    assert own is not None
    assert (own.boot, own.incarnation) == (2, 0)
    assert seen == {own.boot_id} != {b'hereboot'}


def test_our_own_older_word_is_no_other_process(case: Case) -> None:
    case.meet()
    own = case.node._view.own.item
    case.node.set_address(Address('10.0.0.9', 7400), 0.0)
    newest = case.node._view.own.item

    for item in (own, newest):
        case.hear(case.other.say(item))

    assert case.node._view.own.item == newest


def test_who_says_hello_from_another_place_is_shown_where_we_hold_it(
    case: Case,
) -> None:
    case.meet()
    case.node.receive(case.other.hello(), Address('10.0.0.3', 7400), 2.0)
    assert case.other.member() in case.sent()


@pytest.mark.parametrize(
    'address',
    [
        Address('example.org', 7400),
        Address('0.0.0.0', 7400),
        Address('224.0.0.1', 7400),
        Address('255.255.255.255', 7400),
        Address('ff02::1', 7400),
        Address('10.0.0.1', 0),
        Address('10.0.0.1', 70000),
    ],
)
def test_bad_addresses_are_our_own_fault(case: Case, address: Address) -> None:
    with pytest.raises(errors.Misuse):
        case.node.join([address], 0.0)
    with pytest.raises(errors.Misuse):
        case.node.set_address(address, 0.0)


@pytest.mark.parametrize(
    'address',
    [
        Address('0.0.0.0', 7400),
        Address('127.0.0.1', 7400),
        Address('224.0.0.1', 7400),
        Address('255.255.255.255', 7400),
        Address('10.0.0.2', 0),
        Address('::', 7400),
        Address('::1', 7400),
        Address('ff02::1', 7400),
        Address('::ffff:127.0.0.1', 7400),
        Address('::ffff:224.0.0.1', 7400),
    ],
)
def test_peers_are_not_believed_to_be_where_none_can_be(
    case: Case, address: Address
) -> None:
    case.meet()
    other = Other(case.overlay, case.overlay.make_identity())

    case.hear(case.other.say(other.member(address=address)))

    assert case.dropped == {'descriptor_address': 1}
    assert case.node.member(other.who.peer) is None


def test_on_one_machine_peers_are_at_its_loopback_addresses(
    case: Case,
) -> None:
    case.node.set_address(Address('127.0.0.1', 7400), 0.0)

    case.hear(case.other.say(case.other.member()))
    there = Other(case.overlay, case.overlay.make_identity())
    case.hear(there.say(there.member(address=Address('127.0.0.2', 7400))))

    assert case.node.member(there.who.peer) is not None


@pytest.mark.parametrize(
    ('boot', 'incarnation'), [(1, 1), (1, 2**48 - 1), (2**48 - 1, 0)]
)
def test_claim_about_what_we_never_were_changes_nothing(
    case: Case, boot: int, incarnation: int
) -> None:
    case.meet()
    claim = messages.ClaimItem(
        *case.other.sign(
            messages.Claim(
                Status.DEAD,
                case.other.who.peer,
                case.who.peer,
                boot,
                incarnation,
            )
        )
    )

    case.hear(case.other.say(claim))

    own = case.node.member(case.who.peer)
    assert own is not None
    assert (own.boot, own.incarnation) == (1, 0)


def test_nobody_gets_everything_without_being_asked(case: Case) -> None:
    case.meet()
    nothing = messages.Have(bytes(16), b'\xff' * 16, ())

    case.hear(case.other.say(nothing))
    assert case.dropped == {'have_unasked': 1}
    case.hear(case.other.say(messages.Ping(1, 99)), now=3.0)
    case.hear(case.other.say(messages.Ping(2, 99)), now=4.0)
    assert of_kind(case.sent(), messages.Buckets)
    case.hear(case.other.say(nothing), now=4.1)

    assert case.dropped == {'have_unasked': 1}
    assert of_kind(case.sent(), messages.MemberItem)


def test_members_are_bounded() -> None:
    case = Case(config.NodeConfig(members_max=4))
    case.meet()
    for _ in range(10):
        other = Other(case.overlay, case.overlay.make_identity())
        case.hear(case.other.say(other.member()))

    assert len(case.node.members()) == 4
    assert case.dropped == {'members_full': 8}


def test_who_left_then_who_is_dead_gives_way_to_who_is_here() -> None:
    case = Case(config.NodeConfig(members_max=4))
    case.meet()
    left, dead, third, fourth, fifth = (
        Other(case.overlay, case.overlay.make_identity()) for _ in range(5)
    )
    bye = left.claim(Status.LEFT, left.who.peer)
    gone = left.member(claim=bye.signature + bye.body)
    end = case.other.claim(Status.DEAD, dead.who.peer)
    ended = dead.member(claim=end.signature + end.body)
    for item in (gone, ended, third.member()):
        case.hear(case.other.say(item))

    assert case.node.member(dead.who.peer) is not None
    # Nobody who is gone comes in place of somebody who is more than that.
    case.hear(case.other.say(gone))
    assert case.dropped == {'members_full': 1}
    case.hear(case.other.say(fourth.member()))
    assert case.node.member(dead.who.peer) is None
    for item in (ended, fifth.member()):
        case.hear(case.other.say(item))
    assert case.dropped == {'members_full': 3}
    assert {member.peer for member in case.node.members()} == {
        one.who.peer for one in (case, case.other, third, fourth)
    }


def test_everybody_has_the_same_ones_give_way() -> None:
    kept = []
    for order in itertools.permutations(range(4)):
        case = Case(config.NodeConfig(members_max=4))
        case.meet()
        gone = [
            Other(case.overlay, case.overlay.make_identity(lifetime_s=days))
            for days in (3, 1, 4, 2)
        ]
        for number in order:
            bye = gone[number].claim(Status.LEFT, gone[number].who.peer)
            claim = bye.signature + bye.body
            case.hear(case.other.say(gone[number].member(claim=claim)))
        kept.append(case.node._view.digest.summary())

    assert len(set(kept)) == 1


def test_who_was_put_out_does_not_come_back_when_the_table_was_full() -> None:
    case = Case(config.NodeConfig(members_max=3), role=Role.GATEWAY)
    case.meet()
    put_out = Other(case.overlay, case.overlay.make_identity())
    case.hear(case.other.say(put_out.member()))
    case.node.revoke(put_out.who.peer, 0.0)
    for _ in range(3):
        other = Other(case.overlay, case.overlay.make_identity())
        end = case.other.claim(Status.DEAD, other.who.peer)
        claim = end.signature + end.body
        case.hear(case.other.say(other.member(claim=claim)))

    case.hear(case.other.say(put_out.member()))

    assert case.node.member(put_out.who.peer) is None
    assert case.node.revoked() == (put_out.who.peer,)


@pytest.mark.parametrize('kind', [Status.SUSPECT, Status.DEAD])
def test_dead_accuser_does_not_count(case: Case, kind: Status) -> None:
    case.meet()
    dead, victim = (
        Other(case.overlay, case.overlay.make_identity()) for _ in range(2)
    )
    case.hear(case.other.say(victim.member()))
    end = case.other.claim(Status.DEAD, dead.who.peer)
    case.hear(case.other.say(dead.member(claim=end.signature + end.body)))

    case.hear(dead.say(dead.claim(kind, victim.who.peer)))

    assert case.dropped == {'claim_author': 1}
    assert case.status(victim) is Status.ALIVE


def test_whom_the_dead_had_found_dead_is_suspected_if_another_tells(
    case: Case,
) -> None:
    case.meet()
    (victim,) = case.meet_many(1)
    dead = Other(case.overlay, case.overlay.make_identity())
    end = case.other.claim(Status.DEAD, dead.who.peer)
    case.hear(case.other.say(dead.member(claim=end.signature + end.body)))

    case.hear(case.other.say(dead.claim(Status.DEAD, victim.who.peer)))

    assert case.status(victim) is Status.SUSPECT


@pytest.mark.parametrize(
    'wrong',
    [
        {'probe_period_s': 0.01},
        {'ack_timeout_s': 0.9},
        {'ack_timeout_s': 0.5},
        {'suspicion_min_s': 13.0},
        {'indirect_probes': 9},
        {'parts_max': 17},
        {'fanout': 0},
        {'members_max': 0},
        {'sync_interval_s': 0.0},
        {'reconnect_s': float('inf')},
        {'pause_s': float('nan')},
        {'observers': -1.0},
    ],
)
def test_parameters_out_of_bounds_are_our_own_fault(
    wrong: dict[str, Any],
) -> None:
    with pytest.raises(errors.Misuse):
        config.NodeConfig(**wrong)


FUZZED = Case()
FUZZED.meet()


@settings(max_examples=300)
@given(st.binary(max_size=1300))
def test_any_datagram_is_survived(tried: Tried, datagram: bytes) -> None:
    tried(DATAGRAMS)
    FUZZED.hear(datagram)
    assert len(FUZZED.node.members()) == 2


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.binary(max_size=200)), max_size=5
    )
)
def test_anything_sealed_is_survived(
    tried: Tried,
    frames: list[tuple[int, bytes]],
) -> None:
    tried(DATAGRAMS)
    plain = b''.join(
        bytes([kind]) + len(body).to_bytes(2, 'big') + body
        for kind, body in frames
    )
    FUZZED.hear(FUZZED.other.sealer.seal(plain))
    assert all(len(data) <= 1200 for _, data in FUZZED.node.outgoing())
    assert len(FUZZED.node.members()) == 2


def test_forger_with_the_ring_key_silences_nobody(case: Case) -> None:
    """From elsewhere, and with the highest counter that there is."""
    case.meet()
    forger = Other(case.overlay, case.other.who)
    forger.sealer._counter = 2**48 - 1
    elsewhere = Address('10.0.0.66', 7400)

    case.node.receive(forger.say(messages.Nack(1)), elsewhere, 0.0)
    case.hear(case.other.say(messages.Ping(7, 0)))

    assert of_kind(case.sent(), messages.Ack)
    assert 'replay' not in case.dropped


@pytest.mark.parametrize(
    'message',
    [
        messages.Hello(True),
        messages.Introduce(),
        messages.Ping(1, 0),
        messages.PingRequest(1, bytes(16)),
        messages.Buckets(tuple(range(messages.BUCKETS))),
        messages.Want(()),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_is_answered_is_answered_once_a_datagram(
    case: Case, message: messages.Message
) -> None:
    case.meet()

    case.hear(case.other.say(*[message] * 5))

    assert case.dropped == {'repeated': 4}


def test_hello_is_answered_once_a_second(case: Case) -> None:
    case.meet()
    case.sent()

    for _ in range(5):
        case.hear(case.other.hello(), now=5.0)
    answers = of_kind(case.sent(), messages.Hello)
    case.hear(case.other.hello(), now=6.5)

    assert len(answers) == 1
    assert len(of_kind(case.sent(), messages.Hello)) == 1


def test_item_too_long_to_be_passed_on_is_malformed(case: Case) -> None:
    case.meet()
    long = messages.Part(case.other.who.peer, 'a', 1, 1, bytes(900))
    padded = codec.encode_body(long) + bytes(200)
    many = (
        messages.RecordItem(padded, bytes(64)),
        messages.ClaimItem(bytes(101), bytes(64)),
        messages.IssuerItem(bytes(201)),
    )
    for item in many:
        with pytest.raises(errors.MalformedMessage):
            codec.decode(codec.encode(item))


@pytest.mark.parametrize('part', ['\u00e4' * 32, 'a b', '\x1b', '\n'])
def test_name_of_a_part_is_plain_ascii(part: str) -> None:
    item = messages.WantItem(bytes(16), part)
    with pytest.raises(errors.MalformedMessage):
        codec.decode_body(
            messages.Want, codec.encode_body(messages.Want((item,)))
        )


def test_longest_letters_fit_into_a_datagram() -> None:
    """So that nothing that was accepted stops a node from speaking."""
    signature = bytes(64)
    issuer = messages.IssuerItem(bytes(200))
    member = messages.MemberItem(bytes(100), signature, bytes(200))
    dead = messages.MemberItem(bytes(100), signature, bytes(200), bytes(164))
    record = messages.RecordItem(bytes(1050), signature)
    hello = messages.Hello(True)
    for letter in (
        (issuer, member, hello, dead),
        (issuer, member, hello, messages.ClaimItem(bytes(100), signature)),
        (messages.Bulk(), issuer, dead),
        (messages.Bulk(), record),
    ):
        for message in letter:
            codec.decode(codec.encode(message))
        assert len(codec.encode_all(letter)) <= seal.MAX_PLAIN


def test_wants_of_any_length_go_out_in_datagrams(case: Case) -> None:
    """Some peers with many parts of long names, all news to us."""
    case.meet()
    case.hear(case.other.say(messages.Hello(False)), now=10.0)
    assert of_kind(case.sent(), messages.Buckets)
    parts = tuple(
        messages.HavePart(f'{"x" * 29}/{n:02}', 9, 9) for n in range(8)
    )
    members = tuple(
        messages.HaveMember(bytes([n]) * 16, 9, 9, 0, parts)
        for n in range(1, 4)
    )
    have = messages.Have(bytes(16), b'\xff' * 16, members)

    case.hear(case.other.say(have), now=10.0)

    wants = of_kind(case.sent(), messages.Want)
    assert len(wants) > 1
    items = [item for want in wants for item in want.items]  # type: ignore[attr-defined]
    assert len(items) == 3 * 9
    assert case.dropped == {}


def test_a_ring_key_that_we_lack_is_told_of_every_ten_seconds(
    case: Case,
) -> None:
    case.meet()
    case.happened()
    ring = seal.RingKeys(((7, bytes(32)),))
    stranger = seal.Sealer(ring, case.other.who.peer, b'elsewhere'[:8])

    for now in (1.0, 2.0, 10.9, 11.1):
        case.hear(stranger.seal(b''), now)

    assert case.dropped['ring_key'] == 4
    assert (
        of_kind(case.happened(), events.RingKeyUnknown)
        == [events.RingKeyUnknown(7)] * 2
    )


EVERYTHING = messages.Buckets((0,) * messages.BUCKETS)
ELSEWHERE = Address('198.51.100.7', 7400)


def test_who_has_moved_is_asked_to_introduce_itself(case: Case) -> None:
    """And so is who sends its datagrams again from another address."""
    case.meet()
    asked = case.other.say(EVERYTHING)

    case.node.receive(asked, ELSEWHERE, 0.0)
    assert case.sent() == [messages.Introduce()]
    case.node.receive(asked, THERE, 0.0)

    assert of_kind(case.sent(), messages.MemberItem)


def test_answers_at_length_go_where_the_peer_says_it_lives(
    case: Case,
) -> None:
    """Also if it has never spoken to us from there."""
    case.meet()
    third = Other(case.overlay, case.overlay.make_identity())
    case.hear(case.other.say(third.member()))
    case.sent()

    case.node.receive(third.say(EVERYTHING), ELSEWHERE, 0.0)
    assert case.dropped == {'elsewhere': 1}
    assert case.sent() == [messages.Introduce()]
    for now in (0.5, 1.0):
        case.node.receive(third.say(messages.Ping(1, 99)), ELSEWHERE, now)

    to = [
        address
        for address, datagram in case.node.outgoing()
        if of_kind(
            codec.decode(case.opener.open(datagram).plain).messages,
            messages.Buckets,
        )
    ]
    assert to == [THERE]

    nothing = messages.Have(bytes(16), b'\xff' * 16, ())
    case.node.receive(third.say(nothing), ELSEWHERE, 1.0)
    assert case.dropped == {'elsewhere': 2}
    assert not of_kind(case.sent(), messages.Bulk)


def test_who_asks_again_and_again_gets_so_much() -> None:
    case = Case(config.NodeConfig(sync_datagrams=1))
    case.meet()

    ask = messages.Want((messages.WantItem(case.who.peer, ''),))
    sent = 0
    for _ in range(10):
        case.hear(case.other.say(ask))
        sent += len(of_kind(case.sent(), messages.Bulk))

    assert sent == 4


def test_introduction_goes_to_who_lives_there_or_to_a_seed(
    case: Case,
) -> None:
    def introduced(sender: Address, now: float) -> list[Address]:
        datagram = case.other.say(messages.Introduce())
        case.node.receive(datagram, sender, now)
        return [to for to, _ in case.node.outgoing()]

    assert introduced(ELSEWHERE, 0.0) == []
    case.node.join([ELSEWHERE], 0.0)
    case.sent()
    assert introduced(ELSEWHERE, 0.1) == [ELSEWHERE]
    case.meet()
    assert introduced(ELSEWHERE, 0.2) == [THERE]


def test_nothing_is_read_after_a_forged_signature(case: Case) -> None:
    case.meet()
    forged = messages.RecordItem(case.other.record(b'x').body, bytes(64))

    case.hear(case.other.say(*[forged] * 5, messages.Ping(1, 0)))

    assert case.dropped == {'record_signature': 1}
    assert case.sent() == []


def test_each_range_is_told_once_in_an_exchange(case: Case) -> None:
    case.meet()
    case.hear(case.other.say(messages.Hello(False)), now=10.0)
    assert of_kind(case.sent(), messages.Buckets)
    low, high = (bytes([n]) * 16 for n in (0, 9))

    case.hear(case.other.say(*[messages.Have(low, high, ())] * 9), now=10.0)
    case.hear(case.other.say(messages.Have(high, high, ())), now=10.0)

    assert case.dropped == {'have_again': 9}


def test_what_was_relayed_goes_on_however_long_the_datagram(
    case: Case,
) -> None:
    case.meet()
    case.meet_many(1)
    everybody = messages.Relay(1, 0, 2**32 - 1)
    news = case.other.record(b'x')

    case.hear(case.other.say(everybody, news, *[messages.Nack(0)] * 128))

    assert of_kind(case.sent(), messages.RecordItem) == [news]
    assert case.dropped == {'too_many_messages': 1}


def test_one_peer_has_us_probe_for_it_so_many_at_a_time(case: Case) -> None:
    case.meet()

    for number in range(9):
        request = messages.PingRequest(number, case.other.who.peer)
        case.hear(case.other.say(request))

    sent = case.sent()
    assert len(of_kind(sent, messages.Ping)) == 4
    assert len(of_kind(sent, messages.Nack)) == 5


def test_all_together_have_us_probe_for_them_so_many_at_a_time(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, '_RELAYS_MAX', 2)
    case.meet()

    for one in case.meet_many(3):
        request = messages.PingRequest(7, case.other.who.peer)
        case.hear(one.say(request))

    sent = case.sent()
    assert len(of_kind(sent, messages.Ping)) == 2
    assert len(of_kind(sent, messages.Nack)) == 1
