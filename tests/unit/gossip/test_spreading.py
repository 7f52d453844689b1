# SPDX-License-Identifier: Apache-2.0
"""News go down a tree, are answered, and go round the silent."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip import codec, errors, messages, spreading, throwaway
from gossip.config import NodeConfig
from gossip.descriptor import NEWS_MAX, Address, Role, Status
from gossip.events import NewsHeard, RecordChanged
from gossip.simulator import NetworkConfig, Simulation
from tests.support.gossip_case import WALL, Case, Other, of_kind

ALL = 0, 2**32 - 1


def heard(many: Simulation, payload: bytes) -> dict[int, int]:
    """How often each peer has heard this."""
    counts: dict[int, int] = {}
    for seen in many.seen(NewsHeard):
        assert isinstance(seen.event, NewsHeard)
        if seen.event.payload == payload:
            counts[seen.number] = counts.get(seen.number, 0) + 1
    return counts


def settled(peers: int, seed: int = 1, loss: float = 0.0) -> Simulation:
    many = Simulation(seed)
    many.add_many(peers)
    many.run_until(many.is_whole, 60)
    many.run(5)
    many.network = NetworkConfig(loss=loss)
    return many


def test_each_hears_once_by_one_datagram_and_an_answer() -> None:
    many = settled(60)
    before = many.datagrams

    many.broadcast(7, b'fire')
    many.run(0.2)

    assert heard(many, b'fire') == dict.fromkeys(range(60), 1)
    at_rest = 60 * 2 * 0.2
    assert many.datagrams - before < 60 * 2 + 2 * at_rest


def test_none_is_missed_at_a_loss_of_a_fifth() -> None:
    many = settled(40, loss=0.2)
    for number in range(20):
        many.broadcast(number, b'%d' % number)
        many.run(1.0)
    many.run(10)

    for number in range(20):
        assert heard(many, b'%d' % number) == dict.fromkeys(range(40), 1)


def test_those_behind_a_peer_that_has_just_died_hear_too() -> None:
    many = settled(60)
    for number in range(10, 30):
        many.kill(number)

    many.broadcast(0, b'fire')

    rest = {*range(10), *range(30, 60)}
    many.run_until(lambda: set(heard(many, b'fire')) == rest, 15)


def test_who_was_away_hears_of_it_within_ten_minutes_and_not_later() -> None:
    many = settled(5)
    many.partition([0, 1, 2, 3], [4])
    many.run(30)
    many.broadcast(0, b'old')
    many.run(620)
    many.broadcast(0, b'new')
    many.run(5)

    many.partition()
    many.run(60)

    assert heard(many, b'new')[4] == 1
    assert 4 not in heard(many, b'old')


def test_news_outlive_a_restart_of_the_writer() -> None:
    many = settled(5)
    many.partition([0, 1, 2, 3], [4])
    many.broadcast(0, b'fire')
    many.run(1)
    many.kill(0)
    many.restart(0, [1])
    many.run(30)

    many.partition()
    many.run(60)

    assert heard(many, b'fire')[4] == 1
    assert not many.seen(RecordChanged)


def test_the_last_eight_long_ones_of_a_writer_are_kept() -> None:
    many = settled(3)
    many.partition([0, 1], [2])
    long = [b'%d' % number * (NEWS_MAX // 2) for number in range(10, 22)]
    for payload in long:
        many.broadcast(0, payload)
        many.run(3)

    many.partition()
    many.run(60)

    assert [payload for payload in long if 2 in heard(many, payload)] == long[
        4:
    ]


@pytest.mark.parametrize('gap', [0.0, 0.05, 0.5])
def test_a_burst_of_news_is_heard_by_all_at_a_loss_of_a_fifth(
    gap: float,
) -> None:
    many = settled(20, loss=0.2)
    for number in range(64):
        many.broadcast(1, b'%d' % number)
        many.run(gap)
    many.run(15)

    for number in range(64):
        assert heard(many, b'%d' % number) == dict.fromkeys(range(20), 1)


def test_whatever_is_accepted_is_heard_by_all_at_a_loss_of_a_fifth() -> None:
    many = settled(20, seed=2, loss=0.2)
    accepted = []
    for number in range(600):
        payload = b'%d' % number * 100
        try:
            many.broadcast(1, payload)
        except errors.Misuse:
            pass
        else:
            accepted.append(payload)
        many.run(0.1)
    many.run(20)

    assert len(accepted) > 20
    for payload in accepted:
        assert heard(many, payload) == dict.fromkeys(range(20), 1)


def test_too_much_news_at_once_is_refused_with_when_there_is_room() -> None:
    case = Case()
    for _ in range(8):
        case.node.broadcast(bytes(NEWS_MAX), 0.0)
    with pytest.raises(errors.Misuse, match='no room for 13 s'):
        case.node.broadcast(bytes(NEWS_MAX), 7.5)
    case.node.broadcast(bytes(NEWS_MAX), 20.0)

    assert len(of_kind(case.happened(), NewsHeard)) == 9


def test_news_of_a_former_boot_are_not_replaced_by_those_of_the_next() -> None:
    many = settled(6)
    many.partition(range(5), [5])
    many.broadcast(1, b'first')
    many.run(2)
    many.restart(1, [0])
    many.broadcast(1, b'second')
    many.run(30)

    many.partition()
    many.run(30)

    for payload in (b'first', b'second'):
        assert heard(many, payload)[5] == 1


@pytest.mark.parametrize('off', [-3600, 3600])
def test_news_are_heard_whatever_the_clocks_say(off: float) -> None:
    many = settled(5)
    reader = many.peers[2].node
    reader.set_wall_clock(throwaway.WALL + many.now + off, many.now)

    many.broadcast(1, b'to')
    many.broadcast(2, b'from')
    many.run(5)

    for payload in (b'to', b'from'):
        assert heard(many, payload) == dict.fromkeys(range(5), 1)


def test_old_news_from_a_store_are_counted_and_told_no_more() -> None:
    case = Case()
    case.meet()
    news = messages.News(bytes(8), WALL - 3600, b'fire')
    item = case.other.record(codec.encode_body(news), part='@0')

    case.hear(case.other.say(messages.Bulk(), item))

    assert not of_kind(case.happened(), NewsHeard)
    assert case.dropped == {'news_old': 1}


def test_of_one_writer_so_many_parts_are_passed_on_and_all_are_kept() -> None:
    case = Case()
    case.meet()
    third = Other(case.overlay, case.overlay.make_identity())
    case.hear(case.other.say(third.member()))
    case.sent()
    for n in range(1, 101):
        relay = messages.Relay(0, 0, 2**32 - 1)
        item = case.other.record(b'%d' % n, n)
        case.hear(case.other.say(relay, item))
        case.hear(case.other.say(relay, item))

    assert len(of_kind(case.sent(), messages.RecordItem)) == 64
    record = case.node.record(case.other.who.peer, 'a')
    assert record is not None
    assert record.payload == b'100'
    assert case.dropped == {'not_passed_on': 36}


def test_news_of_an_earlier_release_are_heard() -> None:
    case = Case()
    case.meet()
    news = msgspec.msgpack.encode([bytes(8), WALL, b'fire'])

    case.hear(case.other.say(case.other.record(news, part='@0')))

    assert len(of_kind(case.happened(), NewsHeard)) == 1


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_any_range_may_be_asked_for(low: int, high: int) -> None:
    case = Case()
    case.meet()

    case.hear(
        case.other.say(
            messages.Relay(7, low, high), case.other.record(b'x', part='a')
        )
    )

    assert of_kind(case.sent(), messages.Relayed) == [messages.Relayed(7)]
    assert case.node.record(case.other.who.peer, 'a')


def letters(
    case: Case,
) -> list[tuple[Address, messages.Relay, list[messages.Message]]]:
    """What the node sends down trees: to whom, how far, and what."""
    many = []
    for to, datagram in case.node.outgoing():
        head, *rest = codec.decode(case.opener.open(datagram).plain).messages
        if isinstance(head, messages.Relay):
            many.append((to, head, rest))
    return many


def relayed(case: Case) -> list[messages.Message]:
    """What the node passes on down a tree, whatever its range."""
    return [item for *_, items in letters(case) for item in items]


def test_a_claim_that_is_known_goes_on_for_those_behind_us() -> None:
    case = Case()
    case.meet()
    accuser, victim, _ = case.meet_many(3)
    suspicion = accuser.claim(Status.SUSPECT, victim.who.peer, refused=True)
    death = case.other.claim(Status.DEAD, victim.who.peer, refused=True)
    case.hear(case.other.say(suspicion))
    case.hear(case.other.say(messages.Relay(7, *ALL), suspicion))
    assert suspicion in relayed(case)

    case.hear(case.other.say(death))
    case.hear(case.other.say(messages.Relay(8, *ALL), suspicion, death))

    assert death in relayed(case)


def test_a_revocation_that_is_known_goes_on_for_those_behind_us() -> None:
    case = Case()
    case.meet()
    victim, *_ = case.meet_many(3)
    gateway = Other(case.overlay, case.overlay.make_identity(Role.GATEWAY))
    item = messages.RevocationItem(
        *gateway.sign(messages.Revocation(victim.who.peer, WALL)),
        gateway.who.credential,
    )
    case.hear(case.other.say(messages.Bulk(), item))

    case.hear(case.other.say(messages.Relay(7, *ALL), item))

    assert item in relayed(case)


def test_each_range_is_told_once() -> None:
    case = Case()
    case.meet()
    case.meet_many(3)
    record = case.other.record(b'x')

    case.hear(case.other.say(messages.Relay(7, *ALL), record))
    first = relayed(case)
    case.hear(case.other.say(messages.Relay(8, *ALL), record))
    again = relayed(case)
    case.hear(case.other.say(messages.Relay(9, 0, 2**32 - 2), record))

    assert record in first
    assert again == []
    assert record in relayed(case)


def test_parts_of_a_range_leave_out_nobody_but_who_cuts_it() -> None:
    case = Case()
    case.meet()
    case.meet_many(11)

    case.hear(case.other.say(messages.Relay(7, *ALL), case.other.record(b'x')))

    ranges = sorted((relay.low, relay.high) for _, relay, _ in letters(case))
    ends = [-1, *(high for _, high in ranges)]
    begins = [*(low for low, _ in ranges), 2**32]
    own = int.from_bytes(case.who.peer[:4], 'big')
    assert len(ranges) == NodeConfig().fanout
    assert [
        left_out
        for end, begin in zip(ends, begins, strict=True)
        for left_out in range(end + 1, begin)
    ] == [own]


def test_what_was_told_longest_ago_is_forgotten_and_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spreading, '_PASSED_MAX', 3)
    case = Case()
    case.meet()
    case.meet_many(3)
    record = case.other.record(b'x')
    case.hear(case.other.say(messages.Relay(0, *ALL), record))
    for high in (10, 20):
        case.hear(case.other.say(messages.Relay(0, 0, high), record))
    relayed(case)

    case.hear(case.other.say(messages.Relay(0, *ALL), record))
    before = relayed(case)
    case.hear(case.other.say(messages.Relay(0, 0, 30), record))
    case.hear(case.other.say(messages.Relay(0, *ALL), record))

    assert before == []
    assert record in relayed(case)


def test_so_many_answers_are_waited_for_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spreading, '_WAITING_MAX', 2)
    case = Case()
    case.meet()
    case.meet_many(3)

    case.node.broadcast(b'fire', 0.0)
    case.run(0.1)
    first = relayed(case)
    case.run(0.3)

    assert len(of_kind(first, messages.RecordItem)) == 4
    assert len(of_kind(relayed(case), messages.RecordItem)) == 2


def test_what_is_known_is_told_to_so_many_ranges_for_one_who_asks() -> None:
    case = Case()
    case.meet()
    case.meet_many(1)
    record = case.other.record(b'x')
    case.hear(case.other.say(messages.Bulk(), record))
    case.sent()

    for number in range(100):
        whom = messages.Relay(0, 0, 2**32 - 1 - number)
        case.hear(case.other.say(whom, record))

    assert relayed(case).count(record) == 64


def test_who_does_not_answer_is_told_again_and_then_another_of_its_part() -> (
    None
):
    case = Case()
    case.meet()
    case.meet_many(23)
    tried: dict[tuple[int, int], list[Address]] = {}

    case.node.broadcast(b'fire', 0.0)
    case.run(2.0)
    for to, relay, items in letters(case):
        if of_kind(items, messages.RecordItem):
            tried.setdefault((relay.low, relay.high), []).append(to)

    assert len(tried) == NodeConfig().fanout
    for first, again, *others in tried.values():
        assert first == again
        assert len(others) == 1
        assert others != [first]


def test_what_is_answered_by_who_was_told_is_told_once() -> None:
    case = Case()
    case.meet()
    third, *_ = case.meet_many(1)
    case.node.broadcast(b'fire', 0.0)
    case.run(0.1)

    for _, relay, _ in letters(case):
        case.hear(case.other.say(messages.Relayed(relay.seq)), 0.1)
    case.run(1.0)

    again = {
        to
        for to, _, items in letters(case)
        if of_kind(items, messages.RecordItem)
    }
    assert again == {third.address}


def test_nothing_forged_goes_further() -> None:
    case = Case()
    case.meet()
    forged = messages.RecordItem(case.other.record(b'x').body, bytes(64))

    case.hear(case.other.say(messages.Relay(7, 0, 2**32 - 1), forged))

    assert of_kind(case.sent(), messages.RecordItem) == []
    assert case.dropped == {'record_signature': 1}


@pytest.mark.parametrize('payload', [b'', bytes(NEWS_MAX + 1), 'text'])
def test_news_of_a_wrong_size_or_kind_are_our_own_fault(
    payload: bytes,
) -> None:
    with pytest.raises(errors.Misuse):
        Case().node.broadcast(payload, 0.0)


def test_parts_kept_for_news_are_not_published() -> None:
    with pytest.raises(errors.Misuse):
        Case().node.publish('@0', b'x', 0.0)
