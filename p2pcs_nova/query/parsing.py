# SPDX-License-Identifier: Apache-2.0
"""A query from its text to its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from cel_expr_python import cel

from p2pcs_nova.query import faults, language, ranks
from p2pcs_nova.wire.attributes import Attributes, Kind, Vocabulary

LENGTH_MAX = 1000
"""Characters of a query."""
LOOKS_MAX = 16
"""Looks into texts and lists: each costs 5 µs for a PC with 100 flags,
thirty times as much as a comparison, and nobody else is served meanwhile."""


@dataclasses.dataclass(frozen=True)
class Query:
    """A query that can be evaluated."""

    text: str
    names: tuple[str, ...]
    """The attributes that it asks of."""
    ranks: tuple[ranks.Rank, ...]
    _program: Any = dataclasses.field(repr=False, compare=False)

    def among(self, everyone: Iterable[Attributes]) -> Matcher:
        """The query, with its ranks as numbers.

        :param everyone: all PCs that are known, whatever their slice
        """
        found: dict[str, float | None] = {}
        if self.ranks:
            pcs = tuple(everyone)
            for rank in self.ranks:
                found[rank.variable] = rank.value(
                    pc.get(rank.attribute) for pc in pcs
                )
        return Matcher(self, found)


@dataclasses.dataclass(frozen=True)
class Matcher:
    """Tells of each PC whether the query takes it."""

    query: Query
    ranks: Mapping[str, float | None]
    """None: no PC has such a number."""

    def takes(self, attributes: Attributes) -> bool:
        """Whether it is true of a PC.

        A PC that does not say what it is asked for, or says something of
        another kind, is not taken, unless the rest of the query suffices.
        """
        data = {
            name: list(value) if isinstance(value, tuple) else value
            for name in self.query.names
            if (value := attributes.get(name)) is not None
        }
        data |= {k: v for k, v in self.ranks.items() if v is not None}
        try:
            value = self.query._program.eval(data=data).value()
        except (RuntimeError, TypeError, ValueError):
            # What CEL cannot take at all, such as half a character.
            return False
        return value is True


def parse(
    text: str, vocabulary: Vocabulary, *, is_whole: bool = True
) -> Query:
    """Check a query, and make it ready.

    :param vocabulary: the attributes that there are
    :param is_whole: whether there are no others
    :raises QueryError: it is none; says where and why
    """
    if len(text) > LENGTH_MAX:
        raise faults.QueryError(
            1, LENGTH_MAX, f'it is longer than {LENGTH_MAX} characters'
        )
    for offset, character in enumerate(text):
        if not character.isprintable() and character not in '\t\n\r ':
            raise faults.at(
                text, offset, 'a character that cannot be shown is there'
            )
    cut = ranks.cut(text)
    for word, offsets in cut.words.items():
        if language.RESERVED.fullmatch(word):
            raise faults.at(text, offsets[0], f'{word!r} is no attribute')
    looks = sorted(
        offset
        for word in ('in', *language.FUNCTIONS)
        for offset in cut.words.get(word, ())
    )
    if len(looks) > LOOKS_MAX:
        raise faults.at(
            text,
            looks[LOOKS_MAX],
            f'it looks into texts and lists more than {LOOKS_MAX} times',
        )
    kinds = {
        name: vocabulary.get(name, Kind.ANY)
        for name in cut.words
        if language.can_be_asked(name) and (name in vocabulary or not is_whole)
    }
    _check_ranks(text, cut, kinds)
    places = {rank.variable: Kind.NUMBER for rank in cut.ranks}
    try:
        type_ = language.check(cut.text, {**kinds, **places})
        program = language.compile_checked(cut.text, {**kinds, **places})
    except RuntimeError as error:
        raise faults.explain(str(error), text, vocabulary) from None
    if type_ not in (cel.Type.BOOL, cel.Type.DYN):
        raise faults.QueryError(
            1, 1, 'a query says what is true of a PC: cores >= 8'
        )
    return Query(text, tuple(sorted(kinds)), cut.ranks, program)


def _check_ranks(text: str, cut: ranks.Cut, kinds: Mapping[str, Kind]) -> None:
    for rank in cut.ranks:
        kind = kinds.get(rank.attribute, Kind.ANY)
        if kind not in (Kind.NUMBER, Kind.ANY):
            raise faults.at(
                text,
                rank.offset,
                f'{rank.attribute!r} is no number: it has no ranks',
            )
