# SPDX-License-Identifier: Apache-2.0
"""Ranks among all PCs, as numbers in a query."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import query, wire
from p2pcs_nova.query import ranks

VOCABULARY = {'score': wire.Kind.NUMBER, 'site': wire.Kind.TEXT}
OFFICE = [{'score': score} for score in range(1, 11)]


def taken(text: str) -> list[int]:
    matcher = query.parse(text, VOCABULARY).among(OFFICE)
    return [pc['score'] for pc in OFFICE if matcher.takes(pc)]


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('score >= p(90)', [10]),
        ('score >= p(80)', [9, 10]),
        ('p(75)<=score', [8, 9, 10]),
        ('score < p(10)', [1]),
        ('score >= p(0)', list(range(1, 11))),
        ('score == p(100)', [10]),
        ('score > p(33.3) && score < p(66.6)', [5, 6]),
        ('score >= p( 90 ) // p(10)', [10]),
        ('(score >= p(\n90\n))', [10]),
    ],
)
def test_rank_is_a_percentile_of_all(text: str, expected: list[int]) -> None:
    assert taken(text) == expected


def test_rank_of_what_no_pc_says_takes_nobody() -> None:
    matcher = query.parse('score >= p(0)', VOCABULARY).among([{'site': 'x'}])
    assert not matcher.takes({'score': 1})


def test_pc_cannot_bring_its_own_rank() -> None:
    matcher = query.parse('score >= p(90)', VOCABULARY).among([])
    assert not matcher.takes({'score': 1, '_0': 0})


@pytest.mark.parametrize(
    ('text', 'column', 'what'),
    [
        ('score >= p(101)', 10, 'a rank is p(0) to p(100)'),
        ('score >= p()', 10, 'a rank is p(0) to p(100)'),
        ('score >= p(90', 10, 'a rank is p(0) to p(100)'),
        ('score >= p(-1)', 10, 'a rank is p(0) to p(100)'),
        ('p(9) > p(8)', 1, 'a rank is compared with an attribute'),
        ('3 > p(90)', 5, 'a rank is compared with an attribute'),
        ('site.score > p(90)', 14, 'a rank is compared with an attribute'),
        ('size(site) > p(9)', 14, 'a rank is compared with an attribute'),
        ('p(9) < site.size()', 1, 'a rank is compared with an attribute'),
        ('site >= p(90)', 1, "'site' is no number: it has no ranks"),
        ('score >= p(9) && scor', 18, "there is no attribute 'scor'"),
    ],
)
def test_rank_that_is_none_is_refused_with_its_place(
    text: str, column: int, what: str
) -> None:
    with pytest.raises(query.QueryError) as caught:
        query.parse(text, VOCABULARY)
    assert (caught.value.line, caught.value.column) == (1, column)
    assert caught.value.what.startswith(what)


def test_query_has_so_many_ranks_and_no_more() -> None:
    many = ['score > p(9)'] * ranks.RANKS_MAX
    query.parse(' || '.join(many), VOCABULARY)
    with pytest.raises(query.QueryError, match='more than 16 ranks') as caught:
        query.parse(' || '.join([*many, 'score > p(8)']), VOCABULARY)
    assert caught.value.column == 16 * len('score > p(9) || ') + 9


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
    st.integers(0, 100),
)
def test_so_many_percent_of_the_pcs_are_below_a_rank(
    values: list[float], percent: int
) -> None:
    found = ranks.Rank('_0', 'score', percent, 0).value(values)
    assert found in values
    below = sum(value < found for value in values)
    assert below <= len(values) * percent / 100
    assert percent == 100 or sum(value >= found for value in values) >= (
        len(values) * (100 - percent) / 100
    )


@pytest.mark.parametrize('absurd', [1e6, 1.7e308, -1.7e308])
def test_absurd_word_moves_a_rank_by_one_pc(absurd: float) -> None:
    matcher = query.parse('score >= p(80)', VOCABULARY).among(
        [*OFFICE, {'score': absurd}, {'score': -absurd}]
    )
    taken = [pc['score'] for pc in OFFICE if matcher.takes(pc)]
    assert taken in ([9, 10], [10])


def test_values_that_are_no_numbers_have_no_rank() -> None:
    rank = ranks.Rank('_0', 'score', 50, 0)
    odd = ['9', True, None, float('nan'), float('inf'), (1,)]
    assert rank.value(odd) is None
    assert rank.value([*odd, 5]) == 5.0


@given(st.text(alphabet='ps(9)<>="\'\\r /\n', max_size=40))
def test_query_without_its_ranks_is_as_long_as_it_was(text: str) -> None:
    try:
        cut = ranks.cut(text)
    except query.QueryError:
        return
    assert len(cut.text) == len(text)
    assert cut.text.count('\n') == text.count('\n')
