# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import collections
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import wire
from p2pcs_nova.gateway import candidates as choosing
from p2pcs_nova.policy.document import Placing

NEED = wire.Capacity(1, 10, 100)

counts = st.integers(0, 50)
capacities = st.builds(wire.Capacity, counts, counts, counts)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=30),
    st.integers(1, 8),
    st.integers(0, 2**32),
)
def test_sample_is_bounded_and_without_repetition(
    rows: list[tuple[int, bool]], width: int, seed: int
) -> None:
    all_ = [
        choosing.Candidate(str(number), slots, suspect)
        for number, (slots, suspect) in enumerate(rows)
    ]
    chosen = choosing.sample(all_, width, random.Random(seed))
    assert len(chosen) == min(width, len(all_))
    assert len(set(chosen)) == len(chosen)
    left_out = set(all_) - set(chosen)
    if left_out and any(one.suspect for one in chosen):
        assert all(one.suspect for one in left_out)


def test_sampling_follows_the_free_slots() -> None:
    rng = random.Random(7)
    all_ = [choosing.Candidate('large', 9), choosing.Candidate('small', 1)]
    first = collections.Counter(
        choosing.sample(all_, 1, rng)[0].peer for _ in range(5000)
    )
    assert 0.88 < first['large'] / 5000 < 0.92


def test_slice_that_packs_asks_the_fuller_pcs_sooner() -> None:
    rng = random.Random(7)
    all_ = [
        choosing.Candidate('empty', 3),
        choosing.Candidate('fuller', 1),
        choosing.Candidate('full', 0),
    ]
    first = collections.Counter(
        choosing.sample(all_, 1, rng, Placing.PACK)[0].peer
        for _ in range(5000)
    )
    assert 0.73 < first['fuller'] / 5000 < 0.77
    assert first['full'] == 0


def reservation(memory_mb: int, has_image: bool = False) -> wire.Reservation:
    free = wire.Capacity(100, memory_mb, 10_000)
    return wire.Reservation('0', 30.0, free, has_image)


@pytest.mark.parametrize(
    ('grants', 'expected'),
    [
        ({'a': reservation(10), 'b': reservation(90)}, 'b'),
        ({'a': reservation(10, True), 'b': reservation(90)}, 'b'),
        ({'a': reservation(90, True), 'b': reservation(90)}, 'a'),
        ({'a': reservation(10, True), 'b': reservation(20, True)}, 'b'),
    ],
    ids=['roomiest', 'roomier', 'tie', 'both'],
)
def test_best_grant_has_most_room_then_the_image(
    grants: dict[str, wire.Reservation], expected: str
) -> None:
    assert choosing.best(grants, NEED) == expected


@pytest.mark.parametrize(
    ('grants', 'expected'),
    [
        ({'a': reservation(10), 'b': reservation(90)}, 'a'),
        ({'a': reservation(10), 'b': reservation(90, True)}, 'a'),
        ({'a': reservation(10), 'b': reservation(10, True)}, 'b'),
        ({'a': reservation(12), 'b': reservation(11)}, 'b'),
    ],
    ids=['fullest', 'fuller', 'tie', 'memory'],
)
def test_best_grant_of_a_slice_that_packs_leaves_least_room(
    grants: dict[str, wire.Reservation], expected: str
) -> None:
    assert choosing.best(grants, NEED, placing=Placing.PACK) == expected


@pytest.mark.parametrize(
    ('reasons', 'expected'),
    [
        ([], 'the slice has no PCs'),
        (['full'], '1 PC: 1 full'),
        (
            ['full', 'draining', 'full', 'full'],
            '4 PCs: 3 full, 1 draining',
        ),
    ],
)
def test_reasons_are_counted(reasons: list[str], expected: str) -> None:
    assert choosing.reasons_to_text(reasons) == expected


@given(st.lists(st.text(min_size=1, max_size=40), max_size=100))
def test_reasons_fit_into_a_fault(reasons: list[str]) -> None:
    assert len(choosing.reasons_to_text(reasons)) <= choosing.REASON_LIMIT
