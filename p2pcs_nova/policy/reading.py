# SPDX-License-Identifier: Apache-2.0
"""A policy's text, in YAML.

One slice for each kind of PC::

    version: 1
    slices:
    - name: gold
      match: {tier: gold}
    - name: rest
      match: {}

or sites, whose PCs are ranked and cut into slices::

    version: 2
    slot: {vcpus: 1, memory_mb: 2048, disk_mb: 20480}
    sites:
    - name: rome
      match: {site: [rome, 10]}
      rank: reliability
      slices:
      - {name: rome-gold, share: 25%, zone: rome, minimum: 8}
      - {name: rome-silver, share: 50%, traits: [CUSTOM_P2PCS_SILVER]}
      - {name: rome-rest, share: rest, ratios: {vcpus: 4}, placing: pack}

``doc/policies.rst`` tells all that may stand in it.  Every fault is told with
its line and field.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from p2pcs_nova import attributes, wire
from p2pcs_nova.names import whole_of
from p2pcs_nova.policy import words
from p2pcs_nova.policy.document import (
    WHOLE,
    Placing,
    Policy,
    Ratios,
    Site,
    Slice,
    number_to_word,
)
from p2pcs_nova.policy.words import PolicyError

TEXT_BYTES = 256 * 1024
"""Of a policy's text, at most."""
SLICES_MAX = 1000
OPTIONS = ('minimum', 'maximum', 'zone', 'traits', 'ratios', 'placing')
ALONE = ('name', 'match', *OPTIONS)
RANKED = ('name', 'share', *OPTIONS)
SITE = ('name', 'match', 'rank', 'slices')
AMOUNTS = ('vcpus', 'memory_mb', 'disk_mb')
RATIOS = {'vcpus': 16.0, 'memory_mb': 1.0, 'disk_mb': 1.0}
"""The highest allocation ratios."""
SLOTS_MAX = 2**20
"""Of a slice."""


def load_text(path: pathlib.Path) -> str:
    """The text of a file.

    :raises PolicyError: it cannot be read
    """
    try:
        with path.open('rb') as file:
            found = file.read(TEXT_BYTES + 1)
    except OSError as error:
        raise PolicyError(f'{path}: {error.strerror}') from None
    if len(found) > TEXT_BYTES:
        raise _too_long(str(path))
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        line = found.count(b'\n', 0, error.start) + 1
        raise PolicyError(f'{path}:{line}: is no text in UTF-8') from None


def read_policy(
    text: str, source: str = 'policy', *, is_new: bool = True
) -> Policy:
    """The policy of a YAML text.

    :param source: the file's name, for messages
    :param is_new: False: it was signed, perhaps by an earlier release; a
        value that no PC can have is no reason to be without a policy
    :raises PolicyError: says line and field of the first fault
    """
    if len(text.encode(errors='replace')) > TEXT_BYTES:
        raise _too_long(source)
    return _Reader(source, is_new=is_new).policy(text)


def _too_long(source: str) -> PolicyError:
    return PolicyError(f'{source}: has more than {TEXT_BYTES} bytes')


class _Reader(words.Words):
    """Walks the document from the top."""

    def policy(self, text: str) -> Policy:
        root = self.compose(text)
        fields = self.fields(
            root, 'policy', ('version', 'slot', 'sites', 'slices')
        )
        if not fields.keys() & {'sites', 'slices'}:
            raise self.fault(root, 'slices', 'is missing')
        if fields.keys() >= {'sites', 'slices'}:
            raise self.fault(
                root, 'policy', 'has sites and slices: one of them only'
            )
        if 'sites' in fields:
            sites = tuple(self.sites(fields['sites']))
        else:
            sites = tuple(self.kinds(fields['slices']))
        found = Policy(sites)
        if 'version' in fields:
            version = self.integer(fields['version'], 'version', 1, 2**40)
            found = dataclasses.replace(found, version=version)
        if 'slot' in fields:
            found = dataclasses.replace(found, slot=self.slot(fields['slot']))
        return found

    def slot(self, node: yaml.Node) -> wire.Capacity:
        fields = self.fields(node, 'slot', AMOUNTS)
        amounts = {
            key: self.integer(value, f'slot.{key}', 0, 2**28)
            for key, value in fields.items()
        }
        if not any(amounts.values()):
            raise self.fault(node, 'slot', 'is empty')
        return wire.Capacity(**amounts)

    # -- slices by attributes alone -----------------------------------------

    def kinds(self, node: yaml.Node) -> Iterator[Site]:
        rows = self.rows(node, 'slices', 'slice')
        names = Names(self, len(rows))
        earlier: list[Site] = []
        for number, row in enumerate(rows):
            field = f'slices[{number}]'
            fields = self.fields(row, field, ALONE, ('name', 'match'))
            one = self.slice(fields, field, WHOLE)
            names.add(row, f'{field}.name', one.name)
            site = Site(one.name, self.match(fields, field), (one,))
            self.check_apart(row, field, earlier, site)
            earlier.append(site)
            yield site

    # -- slices by rank -----------------------------------------------------

    def sites(self, node: yaml.Node) -> Iterator[Site]:
        rows = self.rows(node, 'sites', 'site')
        names, places = Names(self, SLICES_MAX), Names(self, len(rows))
        earlier: list[Site] = []
        for number, row in enumerate(rows):
            field = f'sites[{number}]'
            fields = self.fields(row, field, SITE, ('name', 'match', 'slices'))
            name = self.host(fields['name'], f'{field}.name')
            places.add(row, f'{field}.name', name)
            rank = ''
            if 'rank' in fields:
                rank = self.word(fields['rank'], f'{field}.rank')
            site = Site(
                name,
                self.match(fields, field),
                self.cuts(fields['slices'], f'{field}.slices', names),
                rank,
            )
            if len(site.slices) > 1 and not rank:
                raise self.fault(
                    row, f'{field}.rank', 'is missing: what orders the PCs?'
                )
            self.check_apart(row, field, earlier, site)
            earlier.append(site)
            yield site

    def cuts(
        self, node: yaml.Node, field: str, names: Names
    ) -> tuple[Slice, ...]:
        rows = self.rows(node, field, 'slice')
        cut = [
            self.fields(row, f'{field}[{number}]', RANKED, ('name', 'share'))
            for number, row in enumerate(rows)
        ]
        shares = self.shares(node, field, [one['share'] for one in cut])
        slices = []
        for number, fields in enumerate(cut):
            where = f'{field}[{number}]'
            slices.append(self.slice(fields, where, shares[number]))
            names.add(rows[number], f'{where}.name', slices[-1].name)
        return tuple(slices)

    def shares(
        self, node: yaml.Node, field: str, cut: list[yaml.Node]
    ) -> list[int]:
        """Millionths that make a whole, in order."""
        said = [
            self.share(one, f'{field}[{number}].share')
            for number, one in enumerate(cut)
        ]
        last = f'{field}[{len(cut) - 1}].share'
        if None in said[:-1]:
            number = said.index(None)
            raise self.fault(
                cut[number],
                f'{field}[{number}].share',
                'takes the rest: what comes after it overlaps with it',
            )
        found = [one for one in said if one is not None]
        left = WHOLE - sum(found)
        percent = f'the shares are {(WHOLE - left) / 10000:.10g} %'
        if left < 0:
            raise self.fault(node, field, f'overlap: {percent}')
        if said[-1] is None:
            if not left:
                raise self.fault(cut[-1], last, 'is empty: nothing is left')
            return [*found, left]
        if left:
            raise self.fault(
                node, field, f'leave PCs out: {percent}; see "rest"'
            )
        return found

    # -- one slice ----------------------------------------------------------

    def slice(
        self, fields: dict[str, yaml.Node], field: str, share: int
    ) -> Slice:
        one = Slice(self.host(fields['name'], f'{field}.name'), share)
        readers: dict[str, Callable[[yaml.Node, str], Any]] = {
            'minimum': functools.partial(self.slots, least=0),
            'maximum': functools.partial(self.slots, least=1),
            'zone': self.zone,
            'traits': self.traits,
            'ratios': self.ratios,
            'placing': self.placing,
        }
        one = dataclasses.replace(
            one,
            **{
                key: readers[key](node, f'{field}.{key}')
                for key, node in fields.items()
                if key in readers
            },
        )
        if one.minimum > one.maximum:
            raise self.fault(
                fields.get('minimum', fields['name']),
                f'{field}.minimum',
                f'{one.minimum} slots are more than the maximum of '
                f'{one.maximum}',
            )
        return one

    def slots(self, node: yaml.Node, field: str, *, least: int) -> int:
        return self.integer(node, field, least, SLOTS_MAX)

    def placing(self, node: yaml.Node, field: str) -> Placing:
        word = self.word(node, field)
        if word not in list(Placing):
            known = ', '.join(Placing)
            raise self.fault(node, field, f'{word!r} is none of {known}')
        return Placing(word)

    def ratios(self, node: yaml.Node, field: str) -> Ratios:
        return Ratios(
            **{
                key: self.number(value, f'{field}.{key}', 0.01, RATIOS[key])
                for key, value in self.fields(node, field, AMOUNTS).items()
            }
        )

    def match(
        self, fields: dict[str, yaml.Node], field: str
    ) -> tuple[tuple[str, tuple[str, ...]], ...]:
        found = []
        for key, node in self.pairs(fields['match'], f'{field}.match'):
            where = f'{field}.match.{key}'
            values = self.values(node, where)
            found.append(
                (key, tuple(self.said(node, where, key, v) for v in values))
            )
        return tuple(found)

    def said(self, node: yaml.Node, field: str, name: str, value: str) -> str:
        """A value as a PC says it, which an owner has written so."""
        try:
            read = attributes.read({name: value})[name]
        except attributes.BadAttribute as error:
            if self.is_new:
                raise self.fault(node, field, str(error)) from None
            return value
        if isinstance(read, tuple) and read != (value,) and self.is_new:
            raise self.fault(
                node,
                field,
                f'{value!r} is a list: ask for one of its texts',
            )
        if isinstance(read, bool) or not isinstance(read, int | float):
            return value
        return number_to_word(read)

    def check_apart(
        self, row: yaml.Node, field: str, earlier: list[Site], site: Site
    ) -> None:
        """Refuse a site whose PCs an earlier one takes, or some of them."""
        for other in earlier:
            if not other.match:
                raise self.fault(
                    row,
                    field,
                    f'no PC can be in {site.name!r}: {other.name!r} '
                    'before it takes every PC',
                )
            both = other.common(site)
            if site.match and both is not None:
                said = ', '.join(f'{key}: {both[key]}' for key in both)
                raise self.fault(
                    row,
                    field,
                    f'a PC with {said} would be in {other.name!r} and in '
                    f'{site.name!r}',
                )


class Names:
    """Names that must differ, also from those of divided slices."""

    def __init__(self, reader: words.Words, most: int) -> None:
        self._reader = reader
        self._most = min(most, SLICES_MAX)
        self._seen: set[str] = set()
        self._heads: dict[str, str] = {}

    def add(self, node: yaml.Node, field: str, name: str) -> None:
        """Take one more.

        :raises PolicyError: it is there already, or there are too many
        """
        if name in self._seen:
            raise self._reader.fault(node, field, f'{name!r} is there twice')
        if len(self._seen) >= self._most:
            raise self._reader.fault(
                node, field, f'there are more than {self._most}'
            )
        head = whole_of(name)
        is_part = head in self._seen
        if is_part or name in self._heads:
            whole = head if is_part else name
            part = name if is_part else self._heads[name]
            raise self._reader.fault(
                node,
                field,
                f'{part!r} is the name of a part of {whole!r} when that is '
                'divided',
            )
        if head:
            self._heads[head] = name
        self._seen.add(name)
