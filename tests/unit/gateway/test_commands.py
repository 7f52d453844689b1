# SPDX-License-Identifier: Apache-2.0
"""Which slices a gateway commands: the rules of terms."""

from __future__ import annotations

import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import commands


def term(n: int) -> wire.Counter:
    return wire.Counter(1, n)


def held(n: int, until_s: float, name: str = 'gold') -> wire.HeldTerm:
    return wire.HeldTerm(name, term(n), until_s)


def test_term_goes_on_until_nobody_renews_it() -> None:
    now = [0.0]
    known = commands.Commands(lambda: now[0])
    assert known.take(held(5, 8.0))
    now[0] = 7.0
    assert not known.take(held(5, 15.0))
    now[0] = 14.0
    assert known.command('gold') == wire.Command('gold', term(5))
    now[0] = 15.0
    assert (known.holds('gold'), known.lapsed()) == (False, ['gold'])
    with pytest.raises(errors.Unavailable, match='not commanded'):
        known.command('gold')


def test_term_that_was_not_renewed_in_time_goes_on_if_nobody_had_it() -> None:
    now = [0.0]
    known = commands.Commands(lambda: now[0])
    known.take(held(5, 8.0))
    now[0] = 9.0
    known.drop('gold')
    with pytest.raises(errors.Unavailable):
        known.check(wire.Command('gold', term(5)))
    assert known.take(held(5, 17.0))
    known.check(wire.Command('gold', term(5)))


@pytest.mark.parametrize('n', [4, 5])
def test_term_that_was_given_back_does_not_begin_again(n: int) -> None:
    known = commands.Commands(lambda: 0.0)
    known.take(held(5, 8.0))
    known.give_back(wire.Command('gold', term(5)))
    for refused in (
        lambda: known.take(held(n, 8.0)),
        lambda: known.check(wire.Command('gold', term(n))),
        lambda: known.give_back(wire.Command('gold', term(n))),
    ):
        with pytest.raises(errors.StaleTerm):
            refused()
    assert known.take(held(6, 8.0))


def test_word_that_comes_after_its_time_begins_nothing() -> None:
    known = commands.Commands(lambda: 9.0)
    with pytest.raises(errors.StaleTerm):
        known.take(held(5, 8.0))
    assert known.take(held(5, 17.0))


def test_higher_term_takes_the_place_of_a_lower_one() -> None:
    known = commands.Commands(lambda: 0.0)
    known.take(held(5, 8.0))
    assert known.take(held(6, 8.0))
    with pytest.raises(errors.StaleTerm):
        known.check(wire.Command('gold', term(5)))
    known.check(wire.Command('gold', term(6)))


def test_term_of_a_driver_that_is_not_known_here_yet_is_no_old_one() -> None:
    known = commands.Commands(lambda: 0.0)
    with pytest.raises(errors.Unavailable):
        known.check(wire.Command('gold', term(5)))
    known.take(held(4, 8.0))
    with pytest.raises(errors.Unavailable):
        known.check(wire.Command('gold', term(5)))


def test_slices_have_terms_of_their_own() -> None:
    known = commands.Commands(lambda: 0.0)
    known.take(held(5, 8.0))
    known.take(held(3, 9.0, 'silver'))
    known.drop('gold')
    assert known.held() == ['silver']
    assert known.deadline() == 9.0
