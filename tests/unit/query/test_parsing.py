# SPDX-License-Identifier: Apache-2.0
"""What a query is true of, and how one that is none is refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import query, wire
from p2pcs_nova.query import parsing

VOCABULARY = {
    'cores': wire.Kind.NUMBER,
    'reliability': wire.Kind.NUMBER,
    'country': wire.Kind.TEXT,
    'cpu_flags': wire.Kind.TEXTS,
    'laptop': wire.Kind.TRUTH,
    'floor': wire.Kind.ANY,
}
PC: Mapping[str, wire.Attribute] = {
    'cores': 8,
    'reliability': 0.75,
    'country': 'IT',
    'cpu_flags': ('avx2', 'sse4_2'),
    'laptop': False,
    'floor': 3,
}


def takes(text: str, pc: wire.Attributes = PC) -> bool:
    return query.parse(text, VOCABULARY).among([pc]).takes(pc)


@pytest.mark.parametrize(
    'text',
    [
        'true',
        'cores >= 8',
        '8 <= cores',
        'cores > 7.5 && cores < 8.5',
        'cores == 8.0 && cores != 9',
        'cores in [4, 8]',
        'cores in [8.0, 16]',
        'reliability > 0 && reliability < 1',
        "country in ['IT', 'FR']",
        'country == "IT"',
        "country.startsWith('I') && !country.endsWith('I')",
        "'avx2' in cpu_flags && size(cpu_flags) == 2",
        '!laptop',
        'laptop ? cores >= 4 : cores >= 8',
        'laptop == false',
        'floor == 3 || floor == "third"',
        'cores >= 8 // as many as a server wants',
        'cores\n>=\n8',
        "'cores' != 'p(9) cores'",
    ],
)
def test_query_that_is_true_of_a_pc_takes_it(text: str) -> None:
    assert takes(text)


@pytest.mark.parametrize(
    'text',
    [
        'false',
        'cores > 8',
        "country == 'it'",
        "'avx512' in cpu_flags",
        'floor',
    ],
)
def test_query_that_is_not_true_of_a_pc_does_not(text: str) -> None:
    assert not takes(text)


@pytest.mark.parametrize('text', ['cores >= 1', '!(cores >= 1)', '!laptop'])
def test_pc_that_does_not_say_what_it_is_asked_is_not_taken(
    text: str,
) -> None:
    assert not takes(text, {'country': 'IT'})


def test_pc_that_does_not_say_it_is_taken_if_the_rest_suffices() -> None:
    assert takes("country == 'IT' || cores >= 8", {'country': 'IT'})


@pytest.mark.parametrize('lie', ['8', True, ('8',), float('nan'), '\ud800'])
def test_pc_that_says_another_kind_is_not_taken(lie: wire.Attribute) -> None:
    assert not takes('cores >= 1', {'cores': lie})


@pytest.mark.parametrize(
    ('text', 'line', 'column', 'what'),
    [
        ('', 1, 1, 'it ends too early'),
        ('cores >= ', 1, 10, 'it ends too early'),
        ('corse > 3', 1, 1, "there is no attribute 'corse'; near: cores"),
        (
            'laptop &&\n  zeal > 3',
            2,
            3,
            "there is no attribute 'zeal'; there are cores, country, cpu_fla",
        ),
        ('cores > "x"', 1, 7, "'>' does not take a number and a text"),
        ("country > 'é' && x", 1, 18, "there is no attribute 'x'"),
        ("'a' in cores", 1, 5, "'in' does not take a text and a number"),
        ('cores', 1, 1, 'a query says what is true of a PC: cores >= 8'),
        ('cores + 1 > 3', 1, 7, "'+' is not part of the query language"),
        ('cores[0] > 3', 1, 6, "'[]' is not part of the query language"),
        ('near(3)', 1, 1, "there is no function 'near'; there are contains"),
        ('cores = 8', 1, 7, "'=' is not expected here: write '=='"),
        ('laptop and x', 1, 8, "'and' is not expected here: write '&&'"),
        ('not laptop', 1, 5, "write '!' for 'not'"),
        ("country == 'IT", 1, 12, 'a text is not closed'),
        ("country == r'IT'", 1, 12, "a text is in single quotes: 'IT'"),
        ('for > 3', 1, 1, "'for' is no attribute"),
        ('laptop\x00', 1, 7, 'a character that cannot be shown'),
        ('[1, 2].all(x, x > 0)', 1, 12, "there is no attribute 'x'"),
        ("country.matches('(a+)+')", 1, 9, "there is no function 'matches'"),
    ],
)
def test_what_is_no_query_is_refused_with_its_place(
    text: str, line: int, column: int, what: str
) -> None:
    with pytest.raises(query.QueryError) as caught:
        query.parse(text, VOCABULARY)
    error = caught.value
    assert (error.line, error.column) == (line, column)
    assert error.what.startswith(what)
    assert str(error) == f'line {line}, column {column}: {error.what}'


@pytest.mark.parametrize('name', ['int', 'type', 'in', 'a-b', 'a.b', '', '_0'])
def test_name_that_no_query_can_have_harms_no_other(name: str) -> None:
    vocabulary = {**VOCABULARY, name: wire.Kind.TEXT}
    assert query.parse(f'cores > 3 && "{name}" != ""', vocabulary)
    with pytest.raises(query.QueryError):
        query.parse(f'{name} == "x"', vocabulary)


def test_other_names_are_of_any_kind_if_not_all_are_known() -> None:
    def parse(text: str) -> query.Query:
        return query.parse(text, VOCABULARY, is_whole=False)

    found = parse("shelf >= p(90) && shelf != 'top' && size(cpu_flags) > 0")
    assert found.among([{'shelf': 1}]).ranks == {'_0': 1.0}
    for wrong in ('shelf >', 'near(shelf)', "cores > 'x'", 'for > 3'):
        with pytest.raises(query.QueryError):
            parse(wrong)


BOMBS = {
    'nested': '(' * 400 + 'laptop' + ')' * 400,
    'negated': '!' * 990 + 'laptop',
    'lists': '[' * 400 + ']' * 400,
    'long': ' ' * parsing.LENGTH_MAX + 'laptop',
    'number': '9' * 900 + ' > 1',
    'doubled': '[country].map(a, a + a + a)'
    + '.map(a, a + a + a)' * 40
    + '.size() > 0',
    'loops': ''.join(f'[1,2,3,4,5,6,7].all(x{n}, ' for n in range(30))
    + 'true'
    + ')' * 30,
    'regex': "country.matches('" + '(a{99}){99}' * 80 + "')",
    'chosen': 'laptop ? true : ' * 60 + 'laptop',
    'and': ' && '.join(['laptop'] * 90),
    'quotes': "'" * 999,
    'open texts': '"\\' * 499,
    'ranks': ' || '.join(['cores>p(9)'] * 70),
    'names': ' || '.join(f'x{n}' for n in range(130)),
}


def parsed(text: str) -> query.Query | query.QueryError:
    try:
        return query.parse(text, VOCABULARY)
    except query.QueryError as error:
        return error


@pytest.mark.parametrize('text', BOMBS.values(), ids=BOMBS)
def test_hostile_query_is_refused_or_answered(text: str) -> None:
    found = parsed(text)
    if isinstance(found, query.QueryError):
        assert len(str(found)) < 200
    else:
        found.among([PC]).takes(PC)


@pytest.mark.parametrize(
    'text',
    [
        'cpu_flags.all(one, one == "a")',
        'cpu_flags.exists(one, one == "a")',
        'cpu_flags.map(one, one).size() > 0',
        'cpu_flags.filter(one, one == "a").size() > 0',
        'country.matches("(a*)*b")',
        'country + country == "a"',
        'cores + 1 > 2',
        'cores * 9 > 2',
    ],
)
def test_nothing_of_cel_that_loops_or_grows_is_taken(text: str) -> None:
    assert isinstance(parsed(text), query.QueryError)


PIECES = st.sampled_from(
    [
        *VOCABULARY,
        *('p(90)', 'p(', ')', '(', '[', ']', ',', '.', '&&', '||', '!', '<='),
        *("'IT'", '"', "'", '8', '0.5', 'in', '==', '//', '\n', '?', ':', '-'),
        *('r"', '{', '}', 'true', 'null', 'int', '`', '\\', 'é', 'size'),
    ]
)


@given(st.lists(PIECES, max_size=30).map(' '.join) | st.text(max_size=60))
def test_any_text_is_a_query_or_a_query_error(text: str) -> None:
    found = parsed(text)
    if isinstance(found, query.QueryError):
        assert 1 <= found.line <= text.count('\n') + 1
        assert found.column >= 1
    else:
        found.among([PC, {}]).takes(PC)


@given(
    st.dictionaries(
        st.sampled_from(sorted(VOCABULARY)),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.lists(st.text() | st.integers()).map(tuple),
    )
)
def test_whatever_a_pc_says_a_query_is_answered(
    said: Mapping[str, wire.Attribute],
) -> None:
    text = (
        "cores >= p(50) && country == 'IT' && 'avx2' in cpu_flags "
        '&& !laptop && floor > 2'
    )
    found = query.parse(text, VOCABULARY).among([said, PC])
    assert found.takes(said) in (True, False)


def test_query_looks_into_texts_and_lists_so_often_at_most() -> None:
    look = "'avx2' in cpu_flags"
    most = [look] * (parsing.LOOKS_MAX - 1) + ["country.contains('in in')"]
    assert takes(' || '.join(most))
    with pytest.raises(query.QueryError) as caught:
        query.parse(' || '.join([*most, 'size(country) == 2']), VOCABULARY)
    assert 'looks into texts and lists' in caught.value.what
