# SPDX-License-Identifier: Apache-2.0
"""The part of CEL that a query may use.

A query is compiled twice: once to check it, by rules that let whole and
other numbers be compared and nothing else be mixed (CEL's own refuse
``cores >= 7.5``), and once to run it, where numbers may be of both types.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping
from typing import Any

from cel_expr_python import cel

from p2pcs_nova.wire.attributes import Kind

LOGIC = ('_&&_', '_||_', '!_', '_?_:_')
FUNCTIONS = ('contains', 'endsWith', 'size', 'startsWith')
EQUALITY = ('_==_', '_!=_')
ORDER = ('_<_', '_<=_', '_>_', '_>=_')
IN = '@in'

RESERVED = re.compile(
    'as|bool|break|bytes|const|continue|double|dyn|else|for|function|if|'
    'import|int|let|list|loop|map|namespace|null_type|package|return|string|'
    'type|uint|var|void|while'
)
"""Words that CEL keeps for itself, and that have no use here."""
_USED = ('false', 'in', 'null', 'true')
_NAME = re.compile('[A-Za-z][A-Za-z0-9_]*')


def can_be_asked(name: str) -> bool:
    """Whether a query can name this attribute."""
    return (
        _NAME.fullmatch(name) is not None
        and RESERVED.fullmatch(name) is None
        and name not in _USED
    )


_NUMBERS = (cel.Type.INT, cel.Type.DOUBLE)
_TYPES = {
    Kind.TEXT: cel.Type.STRING,
    Kind.TRUTH: cel.Type.BOOL,
    Kind.TEXTS: cel.Type.List(cel.Type.STRING),
    Kind.ANY: cel.Type.DYN,
}


def check(text: str, kinds: Mapping[str, Kind]) -> Any:
    """The type of the query's value.

    :param kinds: of the attributes that it may name
    :raises RuntimeError: CEL's message, with line and column
    """
    types = {**_TYPES, Kind.NUMBER: cel.Type.DOUBLE}
    environment = cel.NewEnv(
        config=_library((*LOGIC, *FUNCTIONS)),
        variables={name: types[kind] for name, kind in kinds.items()},
        functions=_COMPARISONS,
    )
    return environment.compile(text).return_type()


def compile_checked(text: str, kinds: Mapping[str, Kind]) -> Any:
    """The query, ready to be evaluated; for one that was checked."""
    types = {**_TYPES, Kind.NUMBER: cel.Type.DYN}
    environment = cel.NewEnv(
        config=_library((*LOGIC, *FUNCTIONS, *EQUALITY, *ORDER, IN)),
        variables={name: types[kind] for name, kind in kinds.items()},
    )
    return environment.compile(text)


def _library(names: Collection[str]) -> Any:
    """Of CEL's functions these, and none of its macros, which loop."""
    lines = ['stdlib:', '  disable_macros: true', '  include_functions:']
    lines += [f'  - name: "{name}"' for name in names]
    return cel.NewEnvConfigFromYaml('\n'.join(lines))


def _comparison(name: str, *more: tuple[Any, Any]) -> Any:
    pairs = (*itertools.product(_NUMBERS, _NUMBERS), *more)
    return cel.FunctionDecl(
        name,
        [
            cel.Overload(f'{name}{number}', cel.Type.BOOL, list(pair))
            for number, pair in enumerate(pairs)
        ],
    )


_TEXTS = (cel.Type.STRING, cel.Type.STRING)
_TRUTHS = (cel.Type.BOOL, cel.Type.BOOL)
_COMPARISONS = [
    *(_comparison(name, _TEXTS, _TRUTHS) for name in EQUALITY),
    *(_comparison(name, _TEXTS) for name in ORDER),
    cel.FunctionDecl(
        IN,
        [
            cel.Overload(
                f'{IN}{number}', cel.Type.BOOL, [one, cel.Type.List(other)]
            )
            for number, (one, other) in enumerate(
                (*itertools.product(_NUMBERS, _NUMBERS), _TEXTS)
            )
        ],
    ),
]
