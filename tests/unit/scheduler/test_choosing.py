# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import collections
import random

from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import wire
from p2pcs_nova.scheduler.choosing import FIRST, REASON_LIMIT, Choice

NONE = wire.Wishes()
GOLD = wire.Wishes(slice='gold')


def fit(
    name: str, slots: int, matching: int = 4, **refused: int
) -> wire.SliceFit:
    """A slice with a PC for each slot."""
    return wire.SliceFit(name, slots, slots, refused, matching)


def asked(
    wishes: wire.Wishes = NONE, group: wire.ServerGroup | None = None
) -> wire.FitRequest:
    return wire.FitRequest(wire.Capacity(1), wishes=wishes, group=group)


def choice(*fits: wire.SliceFit, wishes: wire.Wishes = NONE) -> Choice:
    return Choice(asked(wishes), wire.Fits(fits))


def away(wishes: wire.Wishes = NONE) -> Choice:
    """The overlay is out of reach."""
    return Choice(asked(wishes), None)


@given(
    st.lists(st.integers(0, 20), max_size=30),
    st.integers(0, 3),
    st.integers(1, 50),
    st.integers(0, 2**32),
)
def test_few_slices_with_room_come_first_and_all_that_are_none(
    rooms: list[int], others: int, count: int, seed: int
) -> None:
    fits = [fit(f's{number}', room) for number, room in enumerate(rooms)]
    hosts = [one.slice for one in fits] + [f'h{n}' for n in range(others)]
    first = choice(*fits).first(hosts, count, random.Random(seed))
    assert {host for host in first if host.startswith('h')} == {
        f'h{n}' for n in range(others)
    }
    taken = [one.slots for one in fits if one.slice in first]
    there = [one.slots for one in fits if one.slots]
    assert 0 not in taken
    if sum(sorted(there)[:FIRST]) >= count:
        assert len(taken) == min(FIRST, len(there))
    else:
        assert sum(taken) >= count or len(taken) == len(there)


def test_slices_are_drawn_by_their_room() -> None:
    fits = [fit('large', 9), *(fit(f's{n}', 1) for n in range(FIRST + 4))]
    hosts = [one.slice for one in fits]
    rng = random.Random(3)
    drawn = collections.Counter[str]()
    for _ in range(2000):
        drawn.update(choice(*fits).first(hosts, 1, rng))
    assert drawn['large'] > 1900
    assert min(drawn.values()) > 700


def test_only_hosts_that_are_offered_are_drawn() -> None:
    known = choice(fit('gold', 3), fit('silver', 3))
    assert known.first(['silver'], 1, random.Random(1)) == {'silver'}
    assert known.first([], 1, random.Random(1)) == set()


def test_without_a_wish_every_host_is_allowed() -> None:
    full = choice(fit('gold', 0, matching=0))
    for host in ('gold', 'retired', 'ordinary'):
        assert full.allows(host)
    assert not full.is_hopeless


def test_wish_allows_slices_with_a_pc_that_it_allows_and_no_other_host() -> (
    None
):
    known = choice(
        fit('gold', 0, matching=1), fit('silver', 0, 0), wishes=GOLD
    )
    assert known.allows('gold')
    assert not known.allows('silver')
    assert not known.allows('ordinary')
    assert not known.is_hopeless
    assert choice(fit('gold', 0, 0), wishes=GOLD).is_hopeless


def test_out_of_reach_only_a_slice_can_be_wished() -> None:
    stock = away()
    assert stock.allows('gold')
    assert stock.slots('gold') is None
    assert stock.first(['gold', 'tin'], 1, random.Random(1)) == {'gold', 'tin'}
    assert stock.reason() == ''
    assert away(GOLD).allows('gold')
    assert not away(GOLD).allows('tin')
    for wishes in (
        wire.Wishes(query='cores > 1'),
        wire.Wishes(not_owner='anna'),
        wire.Wishes(slice='gold', not_owner='anna'),
    ):
        assert not away(wishes).allows('gold')
        assert away(wishes).reason() == 'The overlay is out of reach'


def test_group_leaves_out_slices_that_cannot_take_another_of_it() -> None:
    group = wire.ServerGroup(
        '6e6c6e6c-0000-4000-8000-000000000000', wire.GroupPolicy.ANTI_AFFINITY
    )
    fits = wire.Fits((fit('gold', 0, 0, apart=2), fit('silver', 0, 1)))
    known = Choice(asked(group=group), fits)
    assert not known.allows('gold')
    assert known.allows('silver')
    assert known.allows('ordinary')
    assert not known.is_hopeless
    assert known.explains
    assert Choice(asked(group=group), None).allows('gold')


def test_reason_counts_pcs_of_all_slices() -> None:
    known = choice(fit('gold', 0, full=3), fit('silver', 2, full=1, away=2))
    assert known.reason() == (
        '8 PCs: 4 full, 2 away, 2 with room in slices that Nova passes over'
    )
    assert choice(fit('gold', 2)).reason() == (
        '2 PCs: 2 with room in slices that Nova passes over'
    )
    assert choice(fit('gold', 0)).reason() == '0 PCs: none'
    many = {f'{"long reason" * 3} {n}': n for n in range(30)}
    assert len(choice(fit('gold', 0, **many)).reason()) <= REASON_LIMIT


def test_overlay_explains_only_what_it_refuses_itself() -> None:
    assert choice(fit('gold', 0, full=3)).explains
    assert not choice(fit('gold', 0, full=3), fit('silver', 1)).explains
    assert choice(fit('gold', 1), wishes=GOLD).explains
    assert not away().explains
    assert away(GOLD).explains


def test_what_is_seen_is_told_in_few_words() -> None:
    fits = [fit(f's{n}', n) for n in range(8)]
    assert choice(*fits).seen() == (
        'room in s7 (7), s6 (6), s5 (5), s4 (4), s3 (3), 2 more'
    )
    assert choice(fit('gold', 0)).seen() == 'room in no slice'
    assert away().seen() == 'the overlay is out of reach'
