# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova.policy.assignment import Pc, assign, number_of
from p2pcs_nova.policy.document import WHOLE, Policy, Site, Slice
from p2pcs_nova.policy.partition import Partition

CUTS = {'gold': 250_000, 'silver': 500_000, 'bronze': 250_000}
THREE = tuple(Slice(name, share) for name, share in CUTS.items())


def partition(slices: Sequence[Slice] = THREE) -> Partition:
    site = Site('rome', (('site', ('rome',)),), tuple(slices), 'score')
    return Partition(Policy((site,)))


def office(scores: Sequence[float]) -> list[Pc]:
    return [
        Pc(f'{number:032x}', {'site': 'rome', 'score': score})
        for number, score in enumerate(scores)
    ]


def moved(pcs: Sequence[Pc], to: Partition) -> list[Pc]:
    """The PCs after they have gone where they belong."""
    found = assign(to, pcs).slices
    return [dataclasses.replace(pc, slice=found[pc.peer]) for pc in pcs]


def changes(before: Sequence[Pc], after: Sequence[Pc]) -> int:
    old = {pc.peer: pc.slice for pc in before}
    return sum(pc.peer in old and old[pc.peer] != pc.slice for pc in after)


shares = st.lists(st.integers(1, 100), min_size=1, max_size=5).map(
    lambda parts: [
        sum(parts[: number + 1]) * WHOLE // sum(parts)
        - sum(parts[:number]) * WHOLE // sum(parts)
        for number in range(len(parts))
    ]
)
some_slices = shares.map(
    lambda parts: [Slice(f's{n}', share) for n, share in enumerate(parts)]
)
scores = st.lists(st.integers(0, 20), max_size=60)


def test_the_best_are_in_the_first_slice() -> None:
    found = moved(
        office([0.5, 0.9, 0.1, 0.7, 0.3, 0.8, 0.2, 0.6]), partition()
    )
    assert [pc.slice for pc in found] == [
        'silver',
        'gold',
        'bronze',
        'silver',
        'silver',
        'gold',
        'bronze',
        'silver',
    ]


def test_the_best_stays_above_while_others_hold_on_in_a_drained_slice() -> (
    None
):
    halves = partition([Slice(name, WHOLE // 2) for name in ('gold', 'rest')])
    scores = {'gold': 1, 'rest': 2, 'drained': 3}
    held = ['gold', 'rest', 'rest', 'drained', 'drained']
    pcs = [
        Pc(f'{n:032x}', {'site': 'rome', 'score': scores[name]}, name, True)
        for n, name in enumerate(held)
    ]
    best = Pc(f'{9:032x}', {'site': 'rome', 'score': 4}, 'gold')
    assert assign(halves, [*pcs, best]).slices[best.peer] == 'gold'


@given(some_slices, scores, st.integers(0, 9))
def test_every_pc_is_in_one_slice_or_named_as_left_out(
    slices: list[Slice], values: list[int], strangers: int
) -> None:
    outside = [
        Pc(f'{n:032x}', {'site': 'oslo'}) for n in range(99, 99 + strangers)
    ]
    pcs = [*office(values), *outside]
    found = assign(partition(slices), pcs)
    assert {*found.slices, *found.left_out} == {pc.peer for pc in pcs}
    assert set(found.left_out) == {pc.peer for pc in outside}
    assert len(found.slices) + len(found.left_out) == len(pcs)
    assert set(found.slices.values()) <= {one.name for one in slices}


@given(some_slices, scores, st.randoms(use_true_random=False))
def test_shares_are_held_within_one_pc_whatever_was_before(
    slices: list[Slice], values: list[int], rng: random.Random
) -> None:
    names = [one.name for one in slices]
    pcs = [
        dataclasses.replace(pc, slice=rng.choice([*names, 'gone', '']))
        for pc in office(values)
    ]
    counts = collections.Counter(
        pc.slice for pc in moved(pcs, partition(slices))
    )
    for one in slices:
        assert abs(counts[one.name] - one.share * len(pcs) / WHOLE) <= 1


@given(some_slices, scores, st.randoms(use_true_random=False))
def test_order_of_the_records_does_not_matter_and_the_result_is_at_rest(
    slices: list[Slice], values: list[int], rng: random.Random
) -> None:
    names = [one.name for one in slices]
    pcs = [
        dataclasses.replace(pc, slice=rng.choice(names))
        for pc in office(values)
    ]
    result = moved(pcs, partition(slices))
    assert moved(result, partition(slices)) == result
    shuffled = rng.sample(pcs, len(pcs))
    assert dict(assign(partition(slices), shuffled).slices) == {
        pc.peer: pc.slice for pc in result
    }


@given(some_slices, scores, st.randoms(use_true_random=False))
def test_who_holds_a_claim_never_moves(
    slices: list[Slice], values: list[int], rng: random.Random
) -> None:
    names = [one.name for one in slices]
    pcs = [
        dataclasses.replace(
            pc,
            slice=rng.choice([*names, 'retired']),
            bound=rng.random() < 0.3,
        )
        for pc in office(values)
    ]
    found = moved(pcs, partition(slices))
    for before, after in zip(pcs, found, strict=True):
        assert not before.bound or before.slice == after.slice
    counts = collections.Counter(pc.slice for pc in found)
    held = collections.Counter(pc.slice for pc in pcs if pc.bound)
    for one in slices:
        share = one.share * len(pcs) / WHOLE
        assert counts[one.name] <= max(share + 1, held[one.name])


def test_free_pcs_make_up_for_one_that_is_held_elsewhere() -> None:
    halves = partition([Slice('a', 500_000), Slice('b', 500_000)])
    worse, better = office([1, 2])
    pcs = [
        dataclasses.replace(worse, slice='a', bound=True),
        dataclasses.replace(better, slice='a'),
    ]
    assert [pc.slice for pc in moved(pcs, halves)] == ['a', 'b']


@given(
    st.lists(st.integers(0, 1000), min_size=2, max_size=80, unique=True),
    st.data(),
)
def test_two_neighbours_that_change_places_do_not_move(
    values: list[int], data: st.DataObject
) -> None:
    before = moved(office(sorted(values)), partition())
    one = data.draw(st.integers(0, len(values) - 2))
    swapped = sorted(values)
    swapped[one], swapped[one + 1] = swapped[one + 1], swapped[one]
    after = [
        dataclasses.replace(pc, attributes=new.attributes)
        for pc, new in zip(before, office(swapped), strict=True)
    ]
    assert changes(after, moved(after, partition())) == 0


@given(
    st.integers(30, 90),
    st.randoms(use_true_random=False),
)
def test_ranks_that_tremble_move_nobody(
    count: int, rng: random.Random
) -> None:
    pcs = moved(office(list(range(count))), partition())
    first = pcs
    for _ in range(10):
        trembling = office(
            [number + rng.uniform(-0.5, 0.5) for number in range(count)]
        )
        pcs = moved(
            [
                dataclasses.replace(new, slice=pc.slice)
                for pc, new in zip(pcs, trembling, strict=True)
            ],
            partition(),
        )
    assert changes(first, pcs) == 0


@given(some_slices, scores.filter(bool), st.data())
def test_one_pc_that_goes_moves_at_most_one_over_each_edge(
    slices: list[Slice], values: list[int], data: st.DataObject
) -> None:
    before = moved(office(values), partition(slices))
    gone = data.draw(st.sampled_from(before))
    left = [pc for pc in before if pc is not gone]
    assert changes(before, moved(left, partition(slices))) < len(slices)


def test_a_pc_far_beyond_its_edge_moves() -> None:
    before = moved(office(range(20)), partition())
    worst = dataclasses.replace(
        before[0], attributes={'site': 'rome', 'score': 99}
    )
    after = moved([worst, *before[1:]], partition())
    assert (before[0].slice, after[0].slice) == ('bronze', 'gold')
    assert changes(before, after) == 3


def test_ties_are_broken_by_a_digest_not_by_order_or_name() -> None:
    pcs = office([1] * 40)
    gold = [pc.peer for pc in moved(pcs, partition()) if pc.slice == 'gold']
    assert gold != sorted(pc.peer for pc in pcs)[:10]
    again = moved(pcs[::-1], partition())
    assert gold == sorted(pc.peer for pc in again if pc.slice == 'gold')


@pytest.mark.parametrize(
    ('value', 'number'),
    [
        (3, 3.0),
        ('0.5', 0.5),
        (True, 1.0),
        ('fast', float('-inf')),
        (None, float('-inf')),
        (('1',), float('-inf')),
        ('nan', float('-inf')),
        (10**400, float('-inf')),
    ],
)
def test_what_is_no_number_ranks_last(value: object, number: float) -> None:
    assert number_of(value) == number  # type: ignore[arg-type]


def test_who_is_left_out_and_holds_a_claim_stays_where_it_is() -> None:
    pc = Pc('a' * 32, {'site': 'oslo'}, 'gold', bound=True)
    found = assign(partition(), [pc])
    assert (dict(found.slices), found.left_out) == ({pc.peer: 'gold'}, ())
