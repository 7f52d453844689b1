# SPDX-License-Identifier: Apache-2.0
"""Gateways share the slices, each by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova.terms.holder import Shares
from p2pcs_nova.terms.sharing import Move, next_move

SLICES = ('bronze', 'gold', 'silver')


def test_the_only_gateway_takes_all() -> None:
    shares = Shares(frozenset({'a'}), {})
    assert next_move('a', SLICES, shares, ()) == Move(take=SLICES)


def test_free_slice_is_left_to_who_has_less() -> None:
    shares = Shares(frozenset({'a', 'b'}), {'gold': 'a', 'silver': 'a'})
    assert next_move('a', SLICES, shares, ('gold', 'silver')) == Move()
    assert next_move('b', SLICES, shares, ()) == Move(take=('bronze',))


def test_slice_that_stays_free_is_taken_by_who_has_enough_too() -> None:
    shares = Shares(frozenset({'a', 'b'}), {'gold': 'a', 'silver': 'a'})
    move = next_move('a', SLICES, shares, ('gold', 'silver'), {'bronze'})
    assert move == Move(take=('bronze',))
    move = next_move('b', SLICES, shares, (), {'bronze'})
    assert move == Move(take=('bronze',))


def test_who_has_too_much_gives_one_up() -> None:
    shares = Shares(frozenset({'a', 'b'}), dict.fromkeys(SLICES, 'a'))
    assert next_move('a', SLICES, shares, SLICES) == Move(give=('silver',))


def test_slice_that_the_policy_has_no_more_is_given_up() -> None:
    shares = Shares(frozenset({'a'}), {'gold': 'a', 'old': 'a'})
    move = next_move('a', ('gold',), shares, ('gold', 'old'))
    assert move == Move(give=('old',))


def test_gateway_that_wants_nothing_gives_all_up() -> None:
    shares = Shares(frozenset({'b'}), {'gold': 'a'})
    assert next_move('a', SLICES, shares, ('gold',)) == Move(give=('gold',))


@given(
    gateways=st.integers(1, 6),
    slices=st.integers(1, 12),
    data=st.data(),
)
def test_all_slices_come_to_have_a_gateway_and_all_gateways_their_share(
    gateways: int, slices: int, data: st.DataObject
) -> None:
    names = [f'slice-{n}' for n in range(slices)]
    there = [f'gw{n}' for n in range(gateways)]
    holders = {
        name: who
        for name in names
        if (who := data.draw(st.sampled_from(['', *there])))
    }
    for _ in range(3 * slices):
        for me in there:
            shares = Shares(frozenset(there), dict(holders))
            held = [name for name in names if holders.get(name) == me]
            move = next_move(me, names, shares, held)
            assert not set(move.take) & holders.keys()
            holders |= dict.fromkeys(move.take, me)
            for name in move.give:
                assert holders.pop(name) == me
    counts = [list(holders.values()).count(me) for me in there]
    assert holders.keys() == set(names)
    assert max(counts) - min(counts) <= 1
