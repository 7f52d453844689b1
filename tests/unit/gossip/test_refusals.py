# SPDX-License-Identifier: Apache-2.0
"""How many words, and by when, make a refusal a death."""

from gossip import messages, refusals
from gossip.descriptor import Status

PEER = bytes(16)
ORDER = (1, 0)
WAIT_S = 0.1


def refused() -> refusals.Refusals:
    """A peer's machine refused us at 0."""
    many = refusals.Refusals(WAIT_S)
    many.begin(PEER, ORDER, 0.0)
    return many


def hear(many: refusals.Refusals, author: int) -> messages.ClaimItem:
    """Another says that it was refused too."""
    claim = messages.Claim(
        Status.SUSPECT, bytes([author]) * 16, PEER, *ORDER, True
    )
    item = messages.ClaimItem(bytes([author]), bytes(64))
    assert many.hears(claim, item)
    return item


def test_fewer_words_than_the_quorum_are_waited_for() -> None:
    many = refused()
    words = [hear(many, author) for author in (1, 2)]

    assert many.due(WAIT_S) == [PEER]
    assert many.judge(PEER, ORDER, 3, WAIT_S) == []
    words.append(hear(many, 3))
    assert many.judge(PEER, ORDER, 3, 2 * WAIT_S) == words
    assert many.deadline() is None


def test_an_author_is_counted_once() -> None:
    many = refused()
    for _ in range(3):
        hear(many, 1)

    assert many.judge(PEER, ORDER, 2, WAIT_S) == []


def test_the_peer_has_its_time_to_answer() -> None:
    many = refused()
    for author in (1, 2, 3):
        hear(many, author)

    assert many.judge(PEER, ORDER, 3, WAIT_S / 2) == []
    assert many.deadline() == WAIT_S
    many.end(PEER)
    assert many.judge(PEER, ORDER, 3, WAIT_S) == []


def test_words_about_another_incarnation_confirm_nothing() -> None:
    many = refused()
    for author in (1, 2, 3):
        hear(many, author)

    assert many.judge(PEER, (1, 1), 3, WAIT_S) == []
    assert many.deadline() is None


def test_after_a_second_it_is_over() -> None:
    many = refused()
    assert many.judge(PEER, ORDER, 1, WAIT_S) == []
    due = many.deadline()
    assert due == 1.0
    hear(many, 1)

    assert many.judge(PEER, ORDER, 1, due) == []

    assert many.deadline() is None


def test_a_pause_ends_it() -> None:
    many = refused()

    many.on_pause()

    assert many.due(600.0) == []
    assert many.deadline() is None
