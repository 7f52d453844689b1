# SPDX-License-Identifier: Apache-2.0
"""Words and numbers of a YAML text, refused by their line and field."""

from __future__ import annotations

import math
import re
import unicodedata

import yaml

from p2pcs_nova import texts
from p2pcs_nova.policy.document import WHOLE

NAME = re.compile('[a-z0-9]([a-z0-9-]{0,56}[a-z0-9])?')
"""As :data:`p2pcs_nova.wire.SliceName`, a host name's single label; with
room for the number of a part when the slice is divided."""
ZONE = re.compile('[A-Za-z0-9][A-Za-z0-9_.-]{0,62}')
TRAIT = re.compile('CUSTOM_P2PCS_[A-Z0-9_]{1,242}')
SHARE = re.compile(r'(\d{1,3})(?:\.(\d{1,4}))? ?%')
BRACKET = re.compile('[][{}]')
DEPTH_MAX = 50
"""Brackets that are open at once; a policy has five."""
REST = 'rest'
NULL = 'tag:yaml.org,2002:null'
TRUTH = 'tag:yaml.org,2002:bool'
INTEGER = 'tag:yaml.org,2002:int'
NUMBER = 'tag:yaml.org,2002:float'
STRING = 'tag:yaml.org,2002:str'
WORDS = (STRING, INTEGER, NUMBER)
"""What may be an attribute's value; taken as it is written."""
NO_TEXT = frozenset(['Cc', 'Cn', 'Co', 'Cs', 'Zl', 'Zp'])
"""Kinds of Unicode's characters that are in no name of anything."""


class PolicyError(ValueError):
    """The policy cannot be used; says file, line and field."""


class Words:
    """Walks YAML's nodes, which know their lines.

    :param source: the file's name, for messages
    :param is_new: refuse, too, what harms nobody and cannot be meant
    """

    def __init__(self, source: str, *, is_new: bool) -> None:
        self.source = source
        self.is_new = is_new

    def fault(
        self, node: yaml.Node | None, field: str, what: str
    ) -> PolicyError:
        """The error to raise for what a node holds."""
        line = 1 if node is None else node.start_mark.line + 1
        said = texts.printable(f'{field}: {what}')
        return PolicyError(f'{self.source}:{line}: {said}')

    def compose(self, text: str) -> yaml.Node | None:
        """The nodes of a text."""
        self._check_depth(text)
        try:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = 1 if mark is None else mark.line + 1
            raise self._not_yaml(line, error.problem) from None
        except yaml.reader.ReaderError as error:
            line = text.count('\n', 0, error.position) + 1
            raise self._not_yaml(line, error.reason) from None
        except (yaml.YAMLError, RecursionError) as error:
            raise self._not_yaml(1, error) from None
        except (OverflowError, ValueError):
            raise self._not_yaml(
                1, 'the number of a version or of a character is too large'
            ) from None

    def _not_yaml(self, line: int, what: object) -> PolicyError:
        said = texts.printable(str(what))
        return PolicyError(f'{self.source}:{line}: not YAML: {said}')

    def _check_depth(self, text: str) -> None:
        """Refuse what a reader of YAML takes seconds to find too deep."""
        depth = 0
        for found in BRACKET.finditer(text):
            depth = max(depth + (1 if found[0] in '[{' else -1), 0)
            if depth > DEPTH_MAX:
                line = text.count('\n', 0, found.start()) + 1
                raise PolicyError(f'{self.source}:{line}: nested too deeply')

    # -- mappings and lists -------------------------------------------------

    def fields(
        self,
        node: yaml.Node | None,
        field: str,
        known: tuple[str, ...],
        needed: tuple[str, ...] = (),
    ) -> dict[str, yaml.Node]:
        """A mapping whose keys are fields of ours."""
        found = dict(self.pairs(node, field))
        assert isinstance(node, yaml.MappingNode)
        for key_node, _ in node.value:
            if key_node.value not in known:
                raise self.fault(
                    key_node,
                    field,
                    f'unknown field {key_node.value!r}; known: '
                    f'{", ".join(known)}',
                )
        for key in needed:
            if key not in found:
                raise self.fault(node, f'{field}.{key}', 'is missing')
        return found

    def pairs(
        self, node: yaml.Node | None, field: str
    ) -> list[tuple[str, yaml.Node]]:
        """A mapping whose keys are words."""
        if not isinstance(node, yaml.MappingNode):
            raise self.fault(node, field, 'must be a mapping')
        found: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = self.word(key_node, field)
            if key in found:
                raise self.fault(key_node, field, f'{key!r} is there twice')
            found[key] = value
        return list(found.items())

    def rows(self, node: yaml.Node, field: str, what: str) -> list[yaml.Node]:
        """A list that is not empty."""
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self.fault(node, field, f'must list at least one {what}')
        return list(node.value)

    def values(self, node: yaml.Node, field: str) -> tuple[str, ...]:
        """One word, or a list of them."""
        if isinstance(node, yaml.SequenceNode):
            return tuple(
                self.word(one, field)
                for one in self.rows(node, field, 'value')
            )
        return (self.word(node, field),)

    # -- scalars ------------------------------------------------------------

    def word(self, node: yaml.Node, field: str) -> str:
        """A text, as it is written."""
        if not isinstance(node, yaml.ScalarNode) or node.tag not in WORDS:
            said = (
                f'{node.value!r} is no text: quote it'
                if isinstance(node, yaml.ScalarNode)
                else 'must be a text'
            )
            raise self.fault(node, field, said)
        if not node.value:
            raise self.fault(node, field, 'is empty')
        if self.is_new and any(
            unicodedata.category(one) in NO_TEXT for one in node.value
        ):
            raise self.fault(node, field, 'has a character that is no text')
        return str(node.value)

    def host(self, node: yaml.Node, field: str) -> str:
        """The name of a slice or a site."""
        name = self.word(node, field)
        if not NAME.fullmatch(name):
            raise self.fault(
                node,
                field,
                f'{name!r} cannot be the name of a Nova host: at most 58 '
                'of a-z, 0-9 and inner "-"',
            )
        return name

    def zone(self, node: yaml.Node, field: str) -> str:
        """The name of an availability zone."""
        name = self.word(node, field)
        if not ZONE.fullmatch(name) or name == 'internal':
            raise self.fault(
                node,
                field,
                f'{name!r} cannot be an availability zone: at most 63 '
                'letters, digits, "_", "." and "-"; "internal" is Nova\'s own',
            )
        return name

    def traits(self, node: yaml.Node, field: str) -> tuple[str, ...]:
        """Names of Placement's own kind."""
        found = self.values(node, field)
        for trait in found:
            if not TRAIT.fullmatch(trait):
                raise self.fault(
                    node,
                    field,
                    f'{trait!r} is no trait of ours: CUSTOM_P2PCS_ and then '
                    'A-Z, 0-9 and "_"',
                )
        return tuple(sorted(set(found)))

    def share(self, node: yaml.Node, field: str) -> int | None:
        """Millionths; None for the rest."""
        text = self.word(node, field)
        if text == REST:
            return None
        found = SHARE.fullmatch(text)
        if found is None:
            raise self.fault(
                node, field, f'{text!r} is no share: "25%", or "rest"'
            )
        whole, part = found.groups(default='')
        share = int(whole) * WHOLE // 100 + int(part.ljust(4, '0') or 0)
        if not share:
            raise self.fault(node, field, 'is empty')
        return share

    def integer(
        self, node: yaml.Node, field: str, least: int, most: int
    ) -> int:
        """A whole number in decimal."""
        value = self.number(node, field, least, most)
        if not value.is_integer():
            raise self.fault(node, field, f'{value:g} is no whole number')
        return int(value)

    def number(
        self, node: yaml.Node, field: str, least: float, most: float
    ) -> float:
        """A number within these bounds."""
        value = math.nan
        if isinstance(node, yaml.ScalarNode) and node.tag in WORDS:
            try:
                value = float(node.value)
            except ValueError:
                value = math.nan
        if not least <= value <= most:
            said = node.value if isinstance(node, yaml.ScalarNode) else 'this'
            raise self.fault(
                node,
                field,
                f'{said!r} is no number from {least:g} to {most:.15g}',
            )
        return value
