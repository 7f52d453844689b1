# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a query, in words for who wrote it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

from p2pcs_nova import texts
from p2pcs_nova.query import language

WHAT_LIMIT = 120
"""Characters: a server's fault holds 255 with what is around them."""
LISTED = 8
"""Names that are listed when none is near."""
COMPARED = 1000
"""Names that are looked at: any PC may make up more."""

_PLACED = re.compile(r'ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)')
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD = re.compile(
    r"found no matching overload for '([^']*)' applied to '\((.*)\)'"
)
_INPUT = re.compile(r"Syntax error: \w+ input '(.*?)' expecting")
_TOKEN = re.compile(r"Syntax error: token recognition error at: '(.*?)'?$")
_TYPE = re.compile(
    r'list\(\w+\)|\b(?:bool|double|dyn|int|null_type|string|uint)\b'
)
_WORDS = {
    'bool': 'a truth value',
    'double': 'a number',
    'dyn': 'something',
    'int': 'a number',
    'null_type': 'null',
    'string': 'a text',
    'uint': 'an unsigned number',
}
_INSTEAD = {
    '=': '==',
    '&': '&&',
    '|': '||',
    'and': '&&',
    'or': '||',
    'not': '!',
}


class QueryError(ValueError):
    """The text is no query; says where and what."""

    def __init__(self, line: int, column: int, what: str) -> None:
        self.line = line
        """From 1."""
        self.column = column
        """In characters, from 1."""
        self.what = texts.printable(what, WHAT_LIMIT)
        super().__init__(f'line {line}, column {column}: {self.what}')


def at(text: str, offset: int, what: str) -> QueryError:
    """The error at this character of the text."""
    before = text[:offset]
    return QueryError(
        before.count('\n') + 1, offset - before.rfind('\n'), what
    )


def explain(message: str, text: str, known: Collection[str]) -> QueryError:
    """The first of CEL's complaints as an error of ours.

    :param known: the attributes that there are
    """
    found = _PLACED.search(message)
    if found is None or int(found[1]) < 1:
        if 'recursion' in message:
            return QueryError(1, 1, 'it is nested too deeply')
        return QueryError(1, 1, message.partition(' [')[0])
    line, column = int(found[1]), int(found[2])
    said = found[3].partition(' [INVALID_ARGUMENT]')[0]
    row = (text.split('\n') + [''] * line)[line - 1]
    undeclared = _UNDECLARED.match(said)
    if undeclared is None:
        return QueryError(line, column, _plain(said, row[: column - 1]))
    name = undeclared[1]
    if not re.fullmatch(r'[\w.]+', name) or name.strip('_') != name:
        what = f'{_operator(name)!r} is not part of the query language'
    elif row[column - 1 : column] == '(':
        column -= len(name)
        what = f'there is no function {name!r}; there are ' + ', '.join(
            (*language.FUNCTIONS, 'p')
        )
    else:
        what = f'there is no attribute {name!r}{_near(name, known)}'
    return QueryError(line, column, what)


def _plain(said: str, before: str) -> str:
    """Other complaints, without CEL's inner names as far as we can."""
    if overload := _OVERLOAD.match(said):
        name = _operator(overload[1])
        takes = ' and '.join(_types(overload[2]))
        return f'{name!r} does not take {takes}'
    if unexpected := _INPUT.match(said):
        word = unexpected[1]
        if word == '<EOF>':
            return 'it ends too early'
        last = re.search(r'\w+(?=\s*$)', before)
        if last is not None and last[0] == 'not':
            return "write '!' for 'not'"
        return f'{word!r} is not expected here{_instead(word)}'
    if token := _TOKEN.match(said):
        word = token[1].strip()
        if word.startswith(('"', "'")):
            return 'a text is not closed, or has an escape that CEL has not'
        return f'{word!r} is not expected here{_instead(word)}'
    return said


def _operator(name: str) -> str:
    """CEL's name of an operator as it is written."""
    return 'in' if name == language.IN else name.replace('_', '')


def _types(said: str) -> Iterable[str]:
    for kind in _TYPE.findall(said):
        yield _WORDS.get(kind, 'a list')


def _instead(word: str) -> str:
    other = _INSTEAD.get(word)
    return '' if other is None else f': write {other!r}'


def _near(name: str, known: Collection[str]) -> str:
    """What the user may have meant."""
    names = sorted(filter(language.can_be_asked, known))[:COMPARED]
    near = difflib.get_close_matches(name, names, 3)
    if near:
        return f'; near: {", ".join(near)}'
    more = ', …' if len(names) > LISTED else ''
    shown = ', '.join(names[:LISTED]) + more
    return f'; there are {shown}' if shown else ''
