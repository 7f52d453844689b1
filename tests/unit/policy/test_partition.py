# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import wire
from p2pcs_nova.names import PARTS_MAX
from p2pcs_nova.policy.document import WHOLE, Policy, Site, Slice
from p2pcs_nova.policy.partition import NO_MAP, Partition, next_map
from p2pcs_nova.wire import SliceState

GOLD = Slice('gold', 250_000, minimum=10, maximum=100)
SILVER = Slice('silver', 500_000, minimum=10, maximum=100)
BRONZE = Slice('bronze', 250_000, minimum=30, maximum=100)


def policy(*slices: Slice, version: int = 1) -> Policy:
    site = Site('rome', (), slices or (GOLD, SILVER, BRONZE), 'score')
    return Policy((site,), version)


def follow(
    old: wire.SliceMap,
    slots: int,
    occupied: Collection[str] = (),
    *,
    of: Policy | None = None,
) -> wire.SliceMap:
    """What follows when Nova sends nothing to what is drained."""
    idle = [row.name for row in old.rows]
    return next_map(of or policy(), old, {'rome': slots}, occupied, idle=idle)


def states(found: wire.SliceMap) -> dict[str, tuple[str, int]]:
    return {row.name: (row.state.value, row.share) for row in found.rows}


def test_without_pcs_the_slices_are_as_the_policy_says() -> None:
    found = follow(NO_MAP, 0)
    assert (found.policy, found.generation) == (1, 1)
    assert Partition(policy(), found).rows == Partition(policy()).rows
    assert follow(found, 0) is found


def test_a_slice_below_its_minimum_is_merged_and_drained() -> None:
    first = follow(NO_MAP, 200)
    merged = follow(first, 100, {'bronze'})
    assert states(merged) == {
        'gold': ('open', 250_000),
        'silver': ('open', 750_000),
        'bronze': ('draining', 0),
    }
    assert merged.generation == first.generation + 1
    closed = follow(merged, 100)
    assert states(closed)['bronze'] == ('closed', 0)


def test_a_merged_slice_comes_back_with_a_quarter_to_spare() -> None:
    small = policy(Slice('most', 750_000, maximum=500), BRONZE)
    drained = follow(follow(NO_MAP, 200, of=small), 100, of=small)
    assert states(drained)['bronze'] == ('draining', 0)
    merged = follow(drained, 100, of=small)
    assert states(merged)['bronze'] == ('closed', 0)
    assert follow(merged, 149, of=small) is merged
    assert states(follow(merged, 150, of=small))['bronze'][0] == 'open'


def test_of_a_site_that_is_too_small_one_slice_stays() -> None:
    assert states(follow(NO_MAP, 5)) == {'silver': ('open', WHOLE)}


def test_the_last_slice_is_merged_into_the_one_before() -> None:
    tiny = policy(SILVER, Slice('rest', 500_000, minimum=90))
    found = follow(NO_MAP, 100, of=tiny)
    assert states(found) == {'silver': ('open', WHOLE)}


def test_a_slice_above_its_maximum_is_divided_and_comes_together() -> None:
    first = follow(NO_MAP, 200)
    divided = follow(first, 201)
    assert states(divided) == {
        'gold': ('open', 250_000),
        'silver': ('open', 250_000),
        'silver-2': ('open', 250_000),
        'bronze': ('open', 250_000),
    }
    parts = Partition(policy(), divided)
    assert parts.options('silver-2') == SILVER
    assert follow(divided, 161) is divided
    assert states(follow(divided, 160, {'silver-2'}))['silver-2'] == (
        'draining',
        0,
    )


def test_a_slice_that_the_policy_drops_is_drained_then_closed() -> None:
    first = follow(NO_MAP, 200)
    newer = policy(GOLD, Slice('copper', 750_000), version=2)
    second = follow(first, 200, {'silver'}, of=newer)
    assert second.policy == 2
    assert states(second) == {
        'gold': ('open', 250_000),
        'copper': ('open', 750_000),
        'silver': ('draining', 0),
        'bronze': ('draining', 0),
    }
    third = follow(second, 200, {'silver'}, of=newer)
    assert states(third)['bronze'] == ('closed', 0)
    assert states(third)['silver'] == ('draining', 0)
    now = Partition(newer, second)
    assert now.names == ('gold', 'copper', 'silver', 'bronze')
    assert now.open == ('gold', 'copper')
    assert now.options('silver') is None
    assert now.state('silver') is SliceState.DRAINING
    assert now.state('nobody') is SliceState.CLOSED


def test_a_slice_that_nova_may_send_something_to_is_not_closed() -> None:
    newer = policy(GOLD, Slice('copper', 750_000), version=2)
    drained = follow(follow(NO_MAP, 200), 200, of=newer)
    slots = {'rome': 200}
    assert next_map(newer, drained, slots, ()) is drained
    closed = next_map(newer, drained, slots, (), idle=('silver',))
    assert states(closed)['silver'] == ('closed', 0)
    assert states(closed)['bronze'] == ('draining', 0)
    again = next_map(newer, closed, slots, (), ('silver',), gone=('silver',))
    assert states(again)['silver'] == ('draining', 0)


def test_a_map_of_another_version_says_only_what_is_drained() -> None:
    first = follow(NO_MAP, 201)
    newer = policy(GOLD, Slice('copper', 750_000), version=2)
    now = Partition(newer, first)
    assert now.open == ('gold', 'copper')
    assert now.state('silver-2') is SliceState.DRAINING


def test_a_map_that_leaves_pcs_out_is_not_believed() -> None:
    rows = (wire.SliceRow('gold', of='gold', share=1),)
    now = Partition(policy(), wire.SliceMap(1, 9, rows))
    assert now.open == ('gold', 'silver', 'bronze')


def test_a_pc_can_reopen_what_was_a_slice_and_nothing_else() -> None:
    first = follow(NO_MAP, 200)
    newer = policy(GOLD, Slice('copper', 750_000), version=2)
    second = follow(first, 200, of=newer)
    bound = ('silver', 'compute1')
    third = next_map(newer, second, {'rome': 200}, None, bound)
    assert states(third)['silver'] == ('draining', 0)
    assert 'compute1' not in states(third)
    assert states(follow(NO_MAP, 5, ('tin',)))['tin'] == ('draining', 0)


def test_while_the_books_are_not_read_nothing_is_closed_or_dropped() -> None:
    first = follow(NO_MAP, 200)
    newer = policy(GOLD, Slice('copper', 750_000), version=2)
    second = next_map(newer, first, {'rome': 200}, None)
    assert states(second)['silver'] == ('draining', 0)
    third = follow(second, 200, of=newer)
    gone = ('silver', 'bronze')
    assert next_map(newer, third, {'rome': 200}, None, (), gone) is third
    fourth = next_map(newer, third, {'rome': 200}, {'bronze'}, (), gone)
    assert states(fourth)['bronze'] == ('draining', 0)
    assert 'silver' not in states(fourth)


def test_what_the_policy_merges_is_remembered() -> None:
    merged = follow(follow(NO_MAP, 200), 100)
    again = next_map(policy(), merged, {'rome': 100}, (), (), ('bronze',))
    assert again is merged


def test_a_slice_is_divided_into_so_many_parts_at_most() -> None:
    assert len(follow(NO_MAP, 2**40).rows) == 3 * PARTS_MAX


sizes = st.lists(st.integers(0, 5000), min_size=1, max_size=12)


@given(sizes, st.sets(st.sampled_from(['gold', 'silver-2', 'bronze'])))
def test_the_cuts_are_whole_whatever_the_sizes(
    history: list[int], occupied: set[str]
) -> None:
    found = NO_MAP
    for slots in history:
        found = follow(follow(found, slots, occupied), slots, occupied)
        now = Partition(policy(), found)
        cuts = now.cuts(policy().sites[0])
        assert (cuts[0].begin, cuts[-1].end) == (0, WHOLE)
        assert all(a.end == b.begin for a, b in itertools.pairwise(cuts))
        assert tuple(cut.name for cut in cuts) == now.open
        for cut in cuts:
            assert slots * (cut.end - cut.begin) / WHOLE <= 101
        for name in occupied:
            assert now.state(name) is not SliceState.CLOSED
        assert follow(found, slots, occupied) is found
