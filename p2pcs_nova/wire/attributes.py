# SPDX-License-Identifier: Apache-2.0
"""What a PC says of itself: names, and values of five kinds."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

Whole = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
"""So that it is the same number as a float."""
Attribute = str | bool | Whole | float | tuple[str, ...]
Attributes = Mapping[str, Attribute]


class Kind(enum.StrEnum):
    """Of which kind the values of an attribute are."""

    TEXT = 'text'
    NUMBER = 'number'
    TRUTH = 'truth'
    TEXTS = 'texts'
    ANY = 'any'
    """Of several: PCs do not agree."""


Vocabulary = Mapping[str, Kind]
"""All attributes that there are."""


def kind_of(value: object) -> Kind:
    """The kind of a value."""
    match value:
        case str():
            return Kind.TEXT
        case bool():
            return Kind.TRUTH
        case int() | float():
            return Kind.NUMBER
        case Sequence():
            return Kind.TEXTS
    return Kind.ANY
