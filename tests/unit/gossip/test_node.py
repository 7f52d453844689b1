# SPDX-License-Identifier: Apache-2.0
"""One node at a time: whom it believes alive, and what it answers."""

import typing

import pytest

from gossip import codec, config, digest, errors, events, messages, signing
from gossip.descriptor import Address, Role, Status
from tests.support.gossip_case import (
    THERE,
    WALL,
    Case,
    Other,
    of_kind,
)


@pytest.fixture
def case() -> Case:
    return Case()


def test_hello_is_answered_with_hello(case: Case) -> None:
    case.hear(case.other.hello())

    assert [type(event) for event in case.happened()] == [events.PeerJoined]
    assert messages.Hello(False) in case.sent()
    member = case.node.member(case.other.who.peer)
    assert member is not None
    assert member.address == THERE
    assert member.status is Status.ALIVE
    assert {m.peer for m in case.node.members()} == {
        case.who.peer,
        case.other.who.peer,
    }


def test_ping_is_answered_with_ack_to_where_it_came_from(case: Case) -> None:
    case.meet()
    third = Other(case.overlay, case.overlay.make_identity())
    case.hear(case.other.say(third.member()))
    elsewhere = Address('10.9.9.9', 1234)

    case.node.receive(third.say(messages.Ping(77, 0)), elsewhere, 0.0)

    ((to, datagram),) = [
        (to, codec.decode(case.opener.open(datagram).plain).messages)
        for to, datagram in case.node.outgoing()
        if to == elsewhere
    ][:1]
    assert to == elsewhere
    assert isinstance(datagram[0], messages.Ack)
    assert datagram[0].seq == 77


def test_member_is_told_of_others(case: Case) -> None:
    case.meet()
    third = Other(case.overlay, case.overlay.make_identity())

    case.hear(case.other.say(third.member()))

    assert case.node.member(third.who.peer) is not None


def test_member_leaves_the_view_when_its_credential_ends(case: Case) -> None:
    who = case.overlay.make_identity(lifetime_s=100)
    case.hear(Other(case.overlay, who).hello())
    case.happened()

    case.node.set_wall_clock(WALL + 101, 1.0)

    assert case.happened() == [events.PeerLeft(who.peer)]
    assert case.node.member(who.peer) is None


def test_a_credential_is_judged_by_the_clock_of_this_moment(
    case: Case,
) -> None:
    who = case.overlay.make_identity(lifetime_s=50)

    case.hear(Other(case.overlay, who).hello(), 50.5)

    assert case.dropped == {'credential_time': 1}
    assert case.node.member(who.peer) is None


def test_news_say_when_they_were_told(case: Case) -> None:
    case.node.broadcast(b'fire', 59.0)

    (heard,) = of_kind(case.happened(), events.NewsHeard)
    assert heard.made_at == WALL + 59  # type: ignore[attr-defined]


def test_a_later_word_of_our_own_is_outdone(case: Case) -> None:
    case.meet()
    later = messages.Descriptor(
        case.who.peer, 1, b'hereboot', 5, bytes([10, 0, 0, 1]), 7400, 7400
    )
    item = messages.MemberItem(
        *signing.sign(case.who, case.overlay.overlay, later),
        case.who.credential,
    )

    case.hear(case.other.say(item))

    own = case.node.member(case.who.peer)
    assert own is not None
    assert own.boot == 2
    case.sent()
    known = digest.Digest()
    for member in case.node.members():
        known.toggle(member.peer, '', member.boot, member.incarnation)
    case.hear(case.other.say(messages.Ping(1, 0)))
    (ack,) = of_kind(case.sent(), messages.Ack)
    assert ack.summary == known.summary()  # type: ignore[attr-defined]


@pytest.mark.parametrize('boot', [2**47 - 1, 2**47, 2**48 - 1])
def test_a_boot_is_not_raised_beyond_what_others_take(
    case: Case, boot: int
) -> None:
    case.meet()
    stolen = messages.Descriptor(
        case.who.peer, boot, b'clonecln', 0, bytes([10, 0, 0, 3]), 1, 1
    )
    item = messages.MemberItem(
        *signing.sign(case.who, case.overlay.overlay, stolen),
        case.who.credential,
    )

    case.hear(case.other.say(item))

    own = case.node.member(case.who.peer)
    assert own is not None
    assert own.boot == 1
    assert of_kind(case.happened(), events.BootRaised) == []


def test_suspicion_of_ourselves_is_refuted(case: Case) -> None:
    case.meet()

    case.hear(case.other.say(case.other.claim(Status.SUSPECT, case.who.peer)))

    own = case.node.member(case.who.peer)
    assert own is not None
    assert own.incarnation == 1
    assert own.status is Status.ALIVE
    answered = own_items(case)
    due = case.node.deadline()
    assert due is not None
    case.node.on_deadline(due)
    pushed = own_items(case)
    assert [said.incarnation for said in answered] == [1]
    assert [said.incarnation for said in pushed] == [1]


def own_items(case: Case) -> list[messages.Descriptor]:
    """The descriptors of its own that the node has sent."""
    said = [
        codec.decode_body(messages.Descriptor, item.body)
        for item in case.sent()
        if isinstance(item, messages.MemberItem)
    ]
    return [one for one in said if one.peer == case.who.peer]


def test_outdated_suspicion_is_answered_but_not_refuted_again(
    case: Case,
) -> None:
    case.meet()
    accuse = case.other.claim(Status.SUSPECT, case.who.peer)
    case.hear(case.other.say(accuse))
    case.hear(case.other.say(accuse))

    own = case.node.member(case.who.peer)
    assert own is not None
    assert own.incarnation == 1


def test_greater_incarnation_clears_a_suspect(case: Case) -> None:
    case.meet()
    third = Other(case.overlay, case.overlay.make_identity())
    case.hear(case.other.say(third.member()))
    case.happened()

    case.hear(case.other.say(case.other.claim(Status.SUSPECT, third.who.peer)))
    case.hear(case.other.say(third.member()))
    assert [type(event) for event in case.happened()] == [events.PeerSuspected]
    case.hear(case.other.say(third.member(incarnation=1)))

    assert [type(event) for event in case.happened()] == [events.PeerRecovered]


class Trial:
    """A node that holds five others for alive; one is accused."""

    def __init__(self) -> None:
        self.case = Case(config.NodeConfig(pause_s=100.0))
        self.case.meet()
        self.victim, *others = self.case.meet_many(4)
        self.others = [self.case.other, *others]

    def accuse(self, by: int, kind: Status, now: float = 0.0) -> Status:
        claim = self.others[by].claim(kind, self.victim.who.peer)
        self.case.hear(self.case.other.say(claim), now)
        member = self.case.node.member(self.victim.who.peer)
        assert member is not None
        return member.status


def test_lone_confirmation_is_only_a_suspicion() -> None:
    trial = Trial()

    assert trial.accuse(0, Status.DEAD) is Status.SUSPECT
    assert trial.accuse(0, Status.DEAD, now=5.3) is Status.SUSPECT


def test_two_confirm_when_the_least_time_to_refute_is_over() -> None:
    trial = Trial()

    trial.accuse(0, Status.SUSPECT)
    assert trial.accuse(1, Status.DEAD, now=5.1) is Status.SUSPECT
    assert trial.accuse(1, Status.DEAD, now=5.3) is Status.DEAD


def test_many_confirm_at_once() -> None:
    trial = Trial()

    for by in (0, 1, 2):
        assert trial.accuse(by, Status.SUSPECT) is Status.SUSPECT
    assert trial.accuse(3, Status.DEAD) is Status.DEAD


def test_nobody_has_us_refute_as_often_as_it_likes(case: Case) -> None:
    case.meet()

    def accuse(incarnation: int, now: float) -> int:
        claim = case.other.claim(Status.SUSPECT, case.who.peer, incarnation)
        case.hear(case.other.say(claim), now)
        own = case.node.member(case.who.peer)
        assert own is not None
        return own.incarnation

    assert accuse(0, now=0.0) == 1
    assert accuse(1, now=0.1) == 1
    assert accuse(1, now=2.7) == 2
    assert case.dropped == {'claim_again': 1}


def test_accusations_leave_us_our_health() -> None:
    case = Case(config.NodeConfig(pause_s=100.0))
    case.meet()

    for number in range(3):
        claim = case.other.claim(Status.SUSPECT, case.who.peer, number)
        case.hear(case.other.say(claim), now=3.0 * number)

    own = case.node.member(case.who.peer)
    assert own is not None
    assert own.incarnation == 3
    assert case.node.statistics().local_health == 1


def test_suspicion_by_one_who_is_dead_is_not_refuted(case: Case) -> None:
    case.meet()
    dead = Other(case.overlay, case.overlay.make_identity())
    end = case.other.claim(Status.DEAD, dead.who.peer)
    case.hear(case.other.say(dead.member(claim=end.signature + end.body)))

    case.hear(case.other.say(dead.claim(Status.SUSPECT, case.who.peer)))

    own = case.node.member(case.who.peer)
    assert own is not None
    assert own.incarnation == 0
    assert case.dropped == {'claim_author': 1}


def test_answer_to_a_probe_counts_from_where_the_peer_lives(
    case: Case,
) -> None:
    case.meet()
    pings: list[object] = []
    now = 0.0
    while not pings:
        now = case.node.deadline() or now
        case.node.on_deadline(now)
        pings = of_kind(case.sent(), messages.Ping)
    assert isinstance(pings[0], messages.Ping)
    answer = messages.Ack(pings[0].seq, 0)

    case.node.receive(case.other.say(answer), Address('10.9.9.9', 7400), now)
    end = now + 1.1
    while now < end:
        now = case.node.deadline() or now
        case.node.on_deadline(now)

    assert of_kind(case.happened(), events.PeerSuspected)


def test_accusations_that_were_refuted_confirm_nothing(case: Case) -> None:
    case.meet()
    accuser, confirmer, victim, *_ = case.meet_many(5)
    peer = victim.who.peer
    case.hear(case.other.say(accuser.claim(Status.SUSPECT, peer)))
    case.hear(case.other.say(victim.member(incarnation=1)))

    case.hear(case.other.say(confirmer.claim(Status.DEAD, peer, 1)))

    member = case.node.member(peer)
    assert member is not None
    assert member.status is Status.SUSPECT


def test_who_confirms_twice_is_one_witness(case: Case) -> None:
    case.meet()
    confirmer, victim, *_ = case.meet_many(5)
    peer = victim.who.peer

    case.hear(case.other.say(confirmer.claim(Status.SUSPECT, peer)))
    case.hear(case.other.say(confirmer.claim(Status.DEAD, peer)))

    member = case.node.member(peer)
    assert member is not None
    assert member.status is Status.SUSPECT


def test_waking_late_blames_nobody(case: Case) -> None:
    case.meet()
    due = case.node.deadline()
    assert due is not None
    case.node.on_deadline(due)
    case.node.on_deadline(due + 3600.0)
    case.happened()

    assert case.node.statistics().pauses == 1
    assert case.node.statistics().suspect == 0


def test_leaving_tells_others_and_then_is_silent(case: Case) -> None:
    case.meet()

    case.node.leave(1.0)

    claim, again = of_kind(case.sent(), messages.ClaimItem)
    said = codec.decode_body(messages.Claim, claim.body)  # type: ignore[attr-defined]
    assert claim == again
    assert (said.kind, said.subject) == (Status.LEFT, case.who.peer)
    assert case.node.deadline() is None
    case.hear(case.other.say(messages.Ping(1, 0)), 2.0)
    assert case.sent() == []


def test_coming_back_after_leaving_outranks_the_leave(case: Case) -> None:
    case.meet()
    case.node.leave(1.0)
    case.sent()

    case.node.join([THERE], 2.0)

    own = case.node.member(case.who.peer)
    assert own is not None
    assert own.incarnation == 1
    assert case.node.deadline() is not None


def test_new_address_is_told(case: Case) -> None:
    case.meet()

    case.node.set_address(Address('10.0.0.77', 7400), 1.0)

    own = case.node.member(case.who.peer)
    assert own is not None
    assert own.address.host == '10.0.0.77'
    assert own.incarnation == 1


def test_renewed_credential_is_told(case: Case) -> None:
    renewed = case.overlay.sign(
        case.overlay.issuer,
        case.who.private_key,
        Role.PEER,
        2 * 365 * 86400,
    )

    case.node.set_credential(renewed, case.overlay.issuer_credential, 1.0)

    own = case.node.member(case.who.peer)
    assert own is not None
    assert own.incarnation == 1
    with pytest.raises(errors.Misuse):
        case.node.set_credential(
            case.other.who.credential, case.overlay.issuer_credential, 1.0
        )


@pytest.mark.parametrize(
    'seed', ['127.0.0.1:7', ('127.0.0.1', '7'), ('::1', 7, 0, 0), 7]
)
def test_what_is_not_a_host_and_a_port_is_named(
    case: Case, seed: typing.Any
) -> None:
    with pytest.raises(errors.Misuse, match='not a host and a port'):
        case.node.join([seed], 1.0)
