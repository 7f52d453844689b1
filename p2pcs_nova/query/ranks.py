# SPDX-License-Identifier: Apache-2.0
"""Ranks as values: ``reliability >= p(90)``.

``p(90)`` is the 90th percentile, among all PCs, of the attribute that it is
compared with.  CEL has nothing of the kind, so each rank is taken out
before CEL sees the query: a variable takes its place, as long as it was,
so that places in messages stay true.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping

from p2pcs_nova.query import faults

RANKS_MAX = 16
"""Each costs a sort over all PCs."""
COMPARISONS = frozenset({'<', '<=', '>', '>=', '==', '!='})

# Texts as CEL's grammar has them: a rank inside one is none.  Those of its
# other forms are refused, since a mistake here would change what they say.
_TOKEN = re.compile(
    r"""
    (?P<other_text>[rRbB]{1,2}["']|\"{3}|'{3})
    | (?P<text>"(?:\\[^\r\n]|[^"\\\r\n])*"|'(?:\\[^\r\n]|[^'\\\r\n])*')
    | (?P<nothing>//[^\n]*|\s+)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<sign>[<>=!]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Rank:
    """A percentile of an attribute, and the variable in its place."""

    variable: str
    attribute: str
    percent: float
    offset: int
    """Of the attribute, in the query."""

    def value(self, values: Iterable[object]) -> float | None:
        """The percentile of the numbers among these; None if none is one.

        A number that a PC says: so many percent of all say less, rounded
        down, so that the best tenth of ten PCs is one.  There is nothing
        between two of them (as in definitions 1 to 3 of Hyndman and Fan 1996,
        and not in 7): whoever says an absurd number takes the place of one
        PC, and no more.
        """
        numbers = sorted(
            value
            for value in values
            if isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
        )
        if not numbers:
            return None
        below = int(len(numbers) * self.percent / 100)
        return float(numbers[min(below, len(numbers) - 1)])


@dataclasses.dataclass(frozen=True)
class Cut:
    """A query without its ranks."""

    text: str
    """For CEL; as long as the query was."""
    words: Mapping[str, tuple[int, ...]]
    """All that may name an attribute, and more; where each is."""
    ranks: tuple[Rank, ...]


def cut(text: str) -> Cut:
    """Take the ranks out of a query.

    :raises QueryError: one stands where no attribute is, or is no percent
    """
    tokens = [m for m in _TOKEN.finditer(text) if m.lastgroup != 'nothing']
    ranks: list[Rank] = []
    parts: list[str] = []
    done = 0
    for number, token in enumerate(tokens):
        if token.lastgroup == 'other_text':
            raise faults.at(
                text, token.start(), "a text is in single quotes: 'IT'"
            )
        if not _begins(tokens, number):
            continue
        if len(ranks) == RANKS_MAX:
            raise faults.at(
                text, token.start(), f'there are more than {RANKS_MAX} ranks'
            )
        rank = _read(text, tokens, number, f'_{len(ranks)}')
        ranks.append(rank)
        end = tokens[number + 3].end()
        blank = re.sub(r'[^\n]', ' ', text[token.start() : end])
        parts += [
            text[done : token.start()],
            rank.variable + blank[len(rank.variable) :],
        ]
        done = end
    words: dict[str, tuple[int, ...]] = {}
    for token in tokens:
        if token.lastgroup == 'word':
            words[token[0]] = (*words.get(token[0], ()), token.start())
    return Cut(''.join([*parts, text[done:]]), words, tuple(ranks))


def _begins(tokens: list[re.Match[str]], number: int) -> bool:
    """Whether a rank begins with this token."""
    here = [m[0] for m in tokens[max(number - 1, 0) : number + 2]]
    return here[-2:] == ['p', '('] and here[:-2] != ['.']


def _read(
    text: str, tokens: list[re.Match[str]], number: int, variable: str
) -> Rank:
    """The rank that begins with this token.

    :raises QueryError: it is not ``p(90)`` beside an attribute
    """
    start = tokens[number].start()
    inner = tokens[number + 2 : number + 4]
    if (
        [m.lastgroup for m in inner] != ['number', 'sign']
        or inner[1][0] != ')'
        or float(inner[0][0]) > 100
    ):
        raise faults.at(text, start, 'a rank is p(0) to p(100)')
    before = tokens[max(number - 3, 0) : number]
    after = tokens[number + 4 : number + 7]
    attribute = _beside(before[::-1], '.') or _beside(after, '.([')
    if attribute is None:
        raise faults.at(
            text,
            start,
            'a rank is compared with an attribute: reliability >= p(90)',
        )
    return Rank(variable, attribute[0], float(inner[0][0]), attribute.start())


def _beside(side: list[re.Match[str]], parts: str) -> re.Match[str] | None:
    """The attribute of a comparison that begins or ends so.

    :param side: from the rank: sign, attribute, and what is beyond it
    :param parts: signs beyond it by which it is only part of something
    """
    if len(side) < 2 or side[0][0] not in COMPARISONS:
        return None
    alone = len(side) < 3 or side[2][0] not in parts
    return side[1] if side[1].lastgroup == 'word' and alone else None
