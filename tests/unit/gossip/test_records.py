# SPDX-License-Identifier: Apache-2.0
"""One node at a time: what it holds of what peers say of themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip import errors, events, messages, signing
from gossip.descriptor import Status
from tests.support.gossip_case import Case, of_kind


@pytest.fixture
def case() -> Case:
    return Case()


def test_who_leaves_is_gone_with_its_records_and_stays_gone(
    case: Case,
) -> None:
    case.meet()
    peer = case.other.who.peer
    case.hear(case.other.say(case.other.record(b'x')))
    case.happened()

    case.hear(case.other.say(case.other.claim(Status.LEFT, peer)))

    assert case.happened() == [events.PeerLeft(peer)]
    assert case.node.member(peer) is None
    assert case.node.record(peer, 'a') is None
    case.hear(case.other.hello())
    assert case.node.member(peer) is None
    case.other.boot = 2
    case.hear(case.other.hello())
    assert [type(event) for event in case.happened()] == [events.PeerJoined]


def test_record_is_taken_once_and_never_goes_back(case: Case) -> None:
    case.meet()
    peer = case.other.who.peer
    case.happened()

    for n in (1, 3, 2, 3):
        case.hear(case.other.say(case.other.record(b'v%d' % n, n)))

    assert case.happened() == [
        events.RecordChanged(peer, 'a', b'v1', (1, 1)),  # type: ignore[arg-type]
        events.RecordChanged(peer, 'a', b'v3', (1, 3)),  # type: ignore[arg-type]
    ]
    record = case.node.record(peer, 'a')
    assert record is not None
    assert record.payload == b'v3'


def test_deleted_part_is_absent_and_does_not_come_back(case: Case) -> None:
    case.meet()
    peer = case.other.who.peer

    case.hear(case.other.say(case.other.record(b'x', 1)))
    case.hear(case.other.say(case.other.record(b'', 2)))
    case.hear(case.other.say(case.other.record(b'x', 1)))

    assert case.node.record(peer, 'a') is None
    assert case.node.records(peer) == ()


@given(st.permutations(range(20)))
def test_of_many_parts_the_newest_are_kept_in_whatever_order_they_come(
    order: list[int],
) -> None:
    case = Case()
    case.meet()
    peer = case.other.who.peer
    told: dict[str, bytes] = {}
    for number in order:
        case.hear(
            case.other.say(
                case.other.record(b'x', 1 + number // 2, f'part{number:02}')
            )
        )

    for event in of_kind(case.happened(), events.RecordChanged):
        assert isinstance(event, events.RecordChanged)
        told[event.part] = event.payload
    kept = {record.part for record in case.node.records(peer)}
    assert kept == {f'part{number:02}' for number in range(4, 20)}
    assert kept == {part for part, payload in told.items() if payload}


def test_publish_counts_up_and_ignores_no_change(case: Case) -> None:
    first = case.node.publish('a', b'x', 0.0)
    again = case.node.publish('a', b'x', 1.0)
    second = case.node.publish('a', b'y', 2.0)

    assert first == again == (1, 1)
    assert second == (1, 2)
    record = case.node.record(case.who.peer, 'a')
    assert record is not None
    assert record.payload == b'y'
    assert case.happened() == []


def test_publish_refuses_what_does_not_fit(case: Case) -> None:
    for part, payload in (
        ('', b''),
        ('x' * 33, b''),
        ('two words', b''),
        ('gar\u00e7on', b''),
        ('a', bytes(901)),
        ('a', 'text'),
        ('a', bytearray(b'x')),
    ):
        with pytest.raises(errors.Misuse):
            case.node.publish(part, payload, 0.0)  # type: ignore[arg-type]
    for number in range(16):
        case.node.publish(f'part{number}', bytes(900), 0.0)
    with pytest.raises(errors.Misuse):
        case.node.publish('one more', b'', 0.0)
    due = case.node.deadline()
    assert due is not None
    case.node.on_deadline(due)
    assert all(len(data) <= 1200 for _, data in case.node.outgoing())


def test_part_of_an_earlier_boot_that_was_not_published_is_deleted(
    case: Case,
) -> None:
    case.meet()
    case.node.publish('kept', b'now', 0.0)
    before = signing.sign(
        case.who,
        case.overlay.overlay,
        messages.Part(case.who.peer, 'stale', 0, 5, b'then'),
    )

    case.hear(case.other.say(messages.RecordItem(*before)))

    assert [r.part for r in case.node.records(case.who.peer)] == ['kept']
    assert case.node.publish('more', b'x', 0.0) == (1, 2)


def test_deleted_parts_of_earlier_boots_make_room(case: Case) -> None:
    case.meet()
    for number in range(16):
        before = messages.Part(
            case.who.peer, f'old{number}', 0, number, b'then'
        )
        signed = signing.sign(case.who, case.overlay.overlay, before)
        case.hear(case.other.say(messages.RecordItem(*signed)))

    for number in range(16):
        case.node.publish(f'new{number}', b'now', 0.0)
    with pytest.raises(errors.Misuse):
        case.node.publish('one more', b'now', 0.0)

    parts = {record.part for record in case.node.records(case.who.peer)}
    assert parts == {f'new{number}' for number in range(16)}


def test_forgotten_boot_is_overtaken(case: Case) -> None:
    case.meet()
    case.node.publish('a', b'now', 0.0)
    for part in ('a', 'b'):
        before = signing.sign(
            case.who,
            case.overlay.overlay,
            messages.Part(case.who.peer, part, 7, 5, b'then'),
        )
        case.hear(case.other.say(messages.RecordItem(*before)))

    assert events.BootRaised(8) in case.happened()
    own = case.node.member(case.who.peer)
    assert own is not None
    assert own.boot == 8
    (record,) = case.node.records(case.who.peer)
    assert (record.part, record.payload) == ('a', b'now')
    assert record.version.boot == 8
