# SPDX-License-Identifier: Apache-2.0
"""The policy: which slices there are, and which PCs are in which.

First form, a file on the gateway::

    slices:
    - name: gold
      match: {tier: gold}
    - name: silver
      match: {site: [rome, milan]}

A PC belongs to the first slice all of whose attributes it has; a list of
values takes any of them, ``match: {}`` takes every PC.  Slices cannot
overlap, since the first match wins.  A slice's name is the name of a Nova
compute host.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterator

import yaml

from p2pcs_nova import attributes, wire

NAME = re.compile('[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?')
"""As :data:`p2pcs_nova.wire.SliceName`: a host name's single label."""
SLICE_FIELDS = ('name', 'match')
STRING = 'tag:yaml.org,2002:str'
WORDS = (
    STRING,
    'tag:yaml.org,2002:int',
    'tag:yaml.org,2002:float',
)
"""What may be an attribute's value; taken as it is written."""


class PolicyError(ValueError):
    """The policy cannot be used; says file, line and field."""


@dataclasses.dataclass(frozen=True)
class SlicePolicy:
    """One slice: its name, and what a PC needs to be in it."""

    name: str
    match: tuple[tuple[str, tuple[str, ...]], ...]
    """(attribute, accepted values); all of them must hold."""

    def takes(self, words: wire.Attributes) -> bool:
        """Whether a PC with these attributes has all that is asked."""
        return all(
            key in words and attributes.write(words[key]) in values
            for key, values in self.match
        )


@dataclasses.dataclass(frozen=True)
class Policy:
    """All slices, in the order in which they are tried."""

    slices: tuple[SlicePolicy, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the slices, in order."""
        return tuple(one.name for one in self.slices)

    def slice_of(self, words: wire.Attributes) -> str:
        """The first slice that takes a PC; '' if none does."""
        for one in self.slices:
            if one.takes(words):
                return one.name
        return ''


def load_policy(path: pathlib.Path) -> Policy:
    """The policy of a file.

    :raises PolicyError: it cannot be read, or is no policy
    """
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f'{path}: {error}') from None
    return read_policy(text, str(path))


def read_policy(text: str, source: str) -> Policy:
    """The policy of a YAML text.

    :param source: the file's name, for messages
    :raises PolicyError: says line and field of the first fault
    """
    return _Reader(source).policy(text)


class _Reader:
    """Walks YAML's nodes, which know their lines."""

    def __init__(self, source: str) -> None:
        self.source = source

    def fault(
        self, node: yaml.Node | None, field: str, what: str
    ) -> PolicyError:
        line = 1 if node is None else node.start_mark.line + 1
        return PolicyError(f'{self.source}:{line}: {field}: {what}')

    def policy(self, text: str) -> Policy:
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = 1 if mark is None else mark.line + 1
            raise PolicyError(
                f'{self.source}:{line}: not YAML: {error.problem}'
            ) from None
        except yaml.YAMLError as error:
            raise PolicyError(f'{self.source}: not YAML: {error}') from None
        fields = self.fields(root, 'policy', ('slices',))
        if 'slices' not in fields:
            raise self.fault(root, 'slices', 'is missing')
        rows = fields['slices']
        if not isinstance(rows, yaml.SequenceNode) or not rows.value:
            raise self.fault(rows, 'slices', 'must list at least one slice')
        return Policy(tuple(self.slices(rows.value)))

    def slices(self, rows: list[yaml.Node]) -> Iterator[SlicePolicy]:
        seen: dict[str, SlicePolicy] = {}
        for number, row in enumerate(rows):
            field = f'slices[{number}]'
            one = self.slice(row, field)
            if one.name in seen:
                raise self.fault(
                    row, f'{field}.name', f'{one.name!r} is there twice'
                )
            for earlier in seen.values():
                if not earlier.match:
                    raise self.fault(
                        row,
                        field,
                        f'no PC can be in {one.name!r}: {earlier.name!r} '
                        'before it takes every PC',
                    )
            seen[one.name] = one
            yield one

    def slice(self, row: yaml.Node, field: str) -> SlicePolicy:
        fields = self.fields(row, field, SLICE_FIELDS)
        for key in SLICE_FIELDS:
            if key not in fields:
                raise self.fault(row, f'{field}.{key}', 'is missing')
        name = self.word(fields['name'], f'{field}.name')
        if not NAME.fullmatch(name):
            raise self.fault(
                fields['name'],
                f'{field}.name',
                f'{name!r} cannot be the name of a Nova host: at most 63 '
                'of a-z, 0-9 and inner "-"',
            )
        match = self.pairs(fields['match'], f'{field}.match')
        return SlicePolicy(
            name,
            tuple(
                (key, self.values(node, f'{field}.match.{key}'))
                for key, node in match
            ),
        )

    def values(self, node: yaml.Node, field: str) -> tuple[str, ...]:
        if isinstance(node, yaml.SequenceNode):
            if not node.value:
                raise self.fault(node, field, 'must list at least one value')
            return tuple(self.word(one, field) for one in node.value)
        return (self.word(node, field),)

    def word(self, node: yaml.Node, field: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.tag not in WORDS:
            said = (
                f'{node.value!r} is no text: quote it'
                if isinstance(node, yaml.ScalarNode)
                else 'must be a text'
            )
            raise self.fault(node, field, said)
        if not node.value:
            raise self.fault(node, field, 'is empty')
        return str(node.value)

    def fields(
        self, node: yaml.Node | None, field: str, known: tuple[str, ...]
    ) -> dict[str, yaml.Node]:
        found = dict(self.pairs(node, field))
        for key in found:
            if key not in known:
                raise self.fault(
                    node,
                    field,
                    f'unknown field {key!r}; known: {", ".join(known)}',
                )
        return found

    def pairs(
        self, node: yaml.Node | None, field: str
    ) -> list[tuple[str, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            raise self.fault(node, field, 'must be a mapping')
        found: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = self.word(key_node, field)
            if key in found:
                raise self.fault(key_node, field, f'{key!r} is there twice')
            found[key] = value
        return list(found.items())
