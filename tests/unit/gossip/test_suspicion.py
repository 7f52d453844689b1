# SPDX-License-Identifier: Apache-2.0
"""How long a suspect has, and how local health moves."""

import pytest

from gossip import awareness, messages, suspicion

CLAIM = messages.ClaimItem(b'', bytes(64))


def suspect(suffice: int) -> suspicion.Suspicion:
    return suspicion.Suspicion(
        (1, 0),
        CLAIM,
        started=100.0,
        shortest=5.0,
        longest=15.0,
        suffice=suffice,
    )


def test_lone_accuser_waits_longest() -> None:
    one = suspect(3)

    assert one.accuse(b'a')

    assert one.deadline() == 115.0


def test_each_accuser_brings_the_end_nearer() -> None:
    one = suspect(3)
    ends = []
    for author in (b'a', b'b', b'c', b'd'):
        assert one.accuse(author)
        ends.append(one.deadline())

    assert ends == sorted(ends, reverse=True)
    assert ends[-1] == pytest.approx(105.0)


def test_accuser_counts_once_and_no_more_than_suffice() -> None:
    one = suspect(1)

    assert one.accuse(b'a')
    assert not one.accuse(b'a')
    assert one.accuse(b'b')
    assert not one.accuse(b'c')
    assert one.accusers == 2


def test_where_nobody_else_is_the_least_time_holds() -> None:
    one = suspect(0)
    one.accuse(b'a')

    assert one.deadline() == 105.0


def test_time_in_which_we_were_stopped_does_not_count() -> None:
    one = suspect(0)
    one.accuse(b'a')

    one.postpone(7.0)

    assert one.deadline() == 112.0


def test_health_stays_within_its_bounds() -> None:
    health = awareness.Awareness(3)

    health.add(-1)
    assert health.scale(2.0) == 2.0
    health.add(9)
    assert health.score == 3
    assert health.scale(2.0) == 8.0
