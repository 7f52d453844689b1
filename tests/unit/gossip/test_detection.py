# SPDX-License-Identifier: Apache-2.0
"""One node at a time: when it asks others, and when it gives a peer up."""

from gossip import codec, config, entry, messages
from gossip.descriptor import Status
from tests.support.gossip_case import WALL, Case, Other, of_kind

CONFIG = config.NodeConfig()
#: A suspect has exactly five seconds, whoever accuses it besides.
FIVE_S = config.NodeConfig(suspicion_min_s=5.0, suspicion_max_s=5.0)
CALL_S = FIVE_S.last_call_s


def probed(case: Case, count: int) -> tuple[Other, list[Other], float]:
    """Have the node meet so many, and begin a probe.

    :returns: who is probed, the others, and when
    """
    case.meet()
    many = [case.other, *case.meet_many(count - 1)]
    while True:
        now = case.node.deadline()
        assert now is not None
        case.node.on_deadline(now)
        for to, datagram in case.node.outgoing():
            plain = case.opener.open(datagram).plain
            if of_kind(codec.decode(plain).messages, messages.Ping):
                (victim,) = (one for one in many if one.address == to)
                return victim, [one for one in many if one != victim], now


def refuse(case: Case, one: Other, author: Other, now: float) -> None:
    """An author says that the peer's machine refused it too."""
    said = author.claim(Status.SUSPECT, one.who.peer, refused=True)
    case.hear(case.other.say(said), now)


def test_a_refusal_needs_the_words_of_three_others() -> None:
    case = Case()
    victim, others, now = probed(case, 7)
    first, second, third, *_ = others

    case.node.unreachable(victim.address, now)
    for author in (first, second, second):
        refuse(case, victim, author, now + 0.01)
    case.node.on_deadline(now + CONFIG.refusal_wait_s)
    assert case.status(victim) is Status.ALIVE
    refuse(case, victim, third, now + 0.15)

    assert case.status(victim) is Status.DEAD


def test_a_refusal_before_the_peer_had_time_to_answer_is_no_death() -> None:
    case = Case()
    victim, others, now = probed(case, 7)

    case.node.unreachable(victim.address, now)
    for author in others:
        refuse(case, victim, author, now + 0.01)
    assert case.status(victim) is Status.ALIVE
    case.node.on_deadline(now + CONFIG.refusal_wait_s)

    assert case.status(victim) is Status.DEAD


def test_others_are_asked_as_soon_as_an_answer_is_late() -> None:
    case = Case()
    victim, _, now = probed(case, 7)

    case.run(now + CONFIG.ack_timeout_s - 0.01)
    assert of_kind(case.sent(), messages.PingRequest) == []
    case.run(now + CONFIG.ack_timeout_s)

    asked = of_kind(case.sent(), messages.PingRequest)
    assert len(asked) == CONFIG.indirect_probes
    assert {one.target for one in asked} == {victim.who.peer}  # type: ignore[attr-defined]


def test_a_suspect_is_called_once_more_before_it_is_given_up() -> None:
    case = Case(FIVE_S)
    case.meet()
    victim, accuser, *_ = case.meet_many(4)
    accused = accuser.claim(Status.SUSPECT, victim.who.peer)
    case.hear(case.other.say(accused))
    case.run(4.99)
    case.sent()

    case.run(5.0)
    assert case.status(victim) is Status.SUSPECT
    assert accused in case.sent()
    case.run(5.0 + CALL_S - 0.01)
    assert case.status(victim) is Status.SUSPECT
    case.run(5.0 + CALL_S)

    assert case.status(victim) is Status.DEAD


def test_no_suspect_runs_out_of_time_while_we_are_stopped() -> None:
    case = Case(FIVE_S)
    case.meet()
    victim, accuser, *_ = case.meet_many(4)
    case.hear(case.other.say(accuser.claim(Status.SUSPECT, victim.who.peer)))
    case.run(2.0)
    healthy = case.node.statistics().local_health

    case.node.on_deadline(602.0)
    case.run(604.0)

    assert case.status(victim) is Status.SUSPECT
    assert case.node.statistics().local_health > healthy
    case.run(606.0 + CALL_S)
    assert case.status(victim) is Status.DEAD


def test_a_claim_outlives_its_author() -> None:
    case = Case()
    case.meet()
    accuser = Other(case.overlay, case.overlay.make_identity(lifetime_s=100))
    case.hear(case.other.say(accuser.member()))
    victim, *others = case.meet_many(4)
    peer = victim.who.peer
    for one in others:
        case.hear(case.other.say(one.claim(Status.SUSPECT, peer)))
    case.hear(case.other.say(accuser.claim(Status.DEAD, peer)))
    case.sent()

    case.node.set_wall_clock(WALL + 101, 1.0)
    case.hear(
        case.other.say(messages.Want((messages.WantItem(peer, ''),))), 1.0
    )

    assert case.status(accuser) is Status.LEFT
    (item,) = of_kind(case.sent(), messages.MemberItem)
    assert isinstance(item, messages.MemberItem)
    said = codec.decode_body(messages.Claim, entry.split_claim(item).body)
    assert said.author == case.who.peer
