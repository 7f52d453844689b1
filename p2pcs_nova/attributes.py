# SPDX-License-Identifier: Apache-2.0
"""The attributes of PCs: which there are, and how an owner writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from p2pcs_nova import wire
from p2pcs_nova.wire import Kind

KNOWN: wire.Vocabulary = {
    'arch': Kind.TEXT,
    'cores': Kind.NUMBER,
    'country': Kind.TEXT,
    'cpu_flags': Kind.TEXTS,
    'cpu_score': Kind.NUMBER,
    'disk_mb': Kind.NUMBER,
    'gpus': Kind.TEXTS,
    'kvm': Kind.TRUTH,
    'memory_mb': Kind.NUMBER,
    'network_mbps': Kind.NUMBER,
    'owner': Kind.TEXT,
    'reliability': Kind.NUMBER,
    'site': Kind.TEXT,
    'switch': Kind.TEXT,
}
"""Those that mean the same everywhere; operators add their own."""
SEPARATOR = ';'
"""Between the texts of a list, where an owner writes it."""
_TRUTHS = {'true': True, 'false': False}
_NUMBER = re.compile('-?(0|[1-9][0-9]{0,14})([.][0-9]{1,9})?')


class BadAttribute(ValueError):
    """The owner's word for an attribute cannot be used."""


def merge(
    known: wire.Vocabulary, said: Iterable[wire.Attributes]
) -> wire.Vocabulary:
    """The vocabulary of these PCs, and what is known beforehand.

    A known name keeps its kind, whatever a PC says by it.
    """
    found: dict[str, Kind] = {}
    for attributes in said:
        for name, value in attributes.items():
            kind = wire.kind_of(value)
            if found.setdefault(name, kind) is not kind:
                found[name] = Kind.ANY
    return found | dict(known)


def read(written: Mapping[str, str]) -> wire.Attributes:
    """An owner's words: ``floor: 3``, ``laptop: true``, ``owner: ann``.

    A known name has its kind; another is a number, a truth or a list of
    texts if it looks like one.

    :raises BadAttribute: it has not the kind of its name
    """
    return {name: _read(name, word) for name, word in written.items()}


def _read(name: str, word: str) -> wire.Attribute:
    kind = KNOWN.get(name, Kind.ANY)
    value: wire.Attribute = word
    if kind is Kind.TEXTS or (kind is Kind.ANY and SEPARATOR in word):
        value = tuple(one for one in word.split(SEPARATOR) if one)
    elif kind is not Kind.TEXT and word in _TRUTHS:
        value = _TRUTHS[word]
    elif kind is not Kind.TEXT and (number := _NUMBER.fullmatch(word)):
        value = float(word) if number[2] else int(word)
    if kind not in (Kind.ANY, wire.kind_of(value)):
        raise BadAttribute(f'attribute {name}: {word!r} is no {kind.value}')
    return value


def write(value: wire.Attribute) -> str:
    """A value as an owner would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return SEPARATOR.join(value)
    return str(value)
