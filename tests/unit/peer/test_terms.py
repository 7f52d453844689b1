# SPDX-License-Identifier: Apache-2.0
"""Terms of a slice only rise."""

import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.terms import Terms


def command(era: int, n: int, slice_: str = 'gold') -> wire.Command:
    return wire.Command(slice_, wire.Counter(era, n))


def test_first_and_higher_terms_are_new() -> None:
    terms = Terms({})
    assert terms.check(command(1, 5))
    terms.accept(command(1, 5))
    assert not terms.check(command(1, 5))
    assert terms.check(command(1, 6))
    assert terms.check(command(2, 0))


def test_lower_term_is_refused() -> None:
    terms = Terms({'gold': wire.Counter(2, 1)})
    with pytest.raises(errors.StaleTerm, match=r'2\.1'):
        terms.check(command(1, 9))
    assert terms.check(command(1, 9, 'silver'))


def test_late_acceptance_of_a_lower_term_changes_nothing() -> None:
    terms = Terms({})
    terms.accept(command(1, 6))
    terms.accept(command(1, 5))
    with pytest.raises(errors.StaleTerm):
        terms.check(command(1, 5))
