# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

from gossip.descriptor import Address
from p2pcs_nova.daemon import contest

PEER = b'p' * 16
OTHER = b'o' * 16


class Clock:
    """CLOCK_BOOTTIME, as the test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_contest_is_new_once_and_over_when_nothing_more_is_said() -> None:
    clock = Clock()
    contests = contest.Contests(clock)
    assert contests.deadline() == math.inf
    assert contests.note(PEER)
    for _ in range(10):
        clock.now += contest.HELD_S / 2
        assert not contests.note(PEER)
        assert contests.take_over() == []
    assert contests.deadline() == clock.now + contest.HELD_S
    clock.now += contest.HELD_S
    assert contests.take_over() == [PEER]
    assert contests.take_over() == []
    assert contests.note(PEER)


def test_each_identity_has_its_own_time() -> None:
    clock = Clock()
    contests = contest.Contests(clock)
    contests.note(PEER)
    clock.now += contest.HELD_S / 2
    contests.note(OTHER)
    clock.now += contest.HELD_S / 2
    assert contests.take_over() == [PEER]


def test_the_owner_is_told_where_both_are_and_what_helps() -> None:
    places = Address('192.0.2.1', 7400), Address('2001:db8::1', 7400)
    text = contest.contest_to_text(PEER, places)
    assert '192.0.2.1:7400 and [2001:db8::1]:7400' in text
    assert PEER.hex() in text
    assert 'p2pcs-peer leave --force' in text
