# SPDX-License-Identifier: Apache-2.0
"""What a policy says, once it has been read.

*Sites* divide the PCs by their attributes; *slices* divide a site by rank.
A slice's share of its site is in millionths, so that shares add up exactly.
"""

from __future__ import annotations

import dataclasses
import enum
import functools

from p2pcs_nova import wire

WHOLE = 1_000_000
"""All of a site, as a share."""
SLOT = wire.Capacity(1, 2048, 20480)
SLOTS_MAX = 200
"""Of one PC: as many as a slice has, so that one PC's word makes one slice
more at most, unless the policy has smaller ones."""


class Placing(enum.StrEnum):
    """Which of the PCs with room a slice prefers."""

    SPREAD = 'spread'
    """The emptiest, so that no owner feels all instances."""
    PACK = 'pack'
    """The fullest, so that large instances still find room."""


@dataclasses.dataclass(frozen=True)
class Ratios:
    """How much of what its PCs offer a slice gives.

    Processors may be given several times; an owner's memory and disk are
    given once at most.
    """

    vcpus: float = 1.0
    memory_mb: float = 1.0
    disk_mb: float = 1.0

    def apply(self, total: wire.Capacity) -> wire.Capacity:
        """What is given of an offer."""
        return wire.Capacity(
            int(total.vcpus * self.vcpus),
            int(total.memory_mb * self.memory_mb),
            int(total.disk_mb * self.disk_mb),
        )


ALL_ONCE = Ratios()


@dataclasses.dataclass(frozen=True)
class Slice:
    """One slice: a compute host of Nova."""

    name: str
    share: int = WHOLE
    """Of the PCs of its site, in millionths."""
    minimum: int = 0
    """Slots; if its share of the site's are fewer, it is merged into its
    neighbour."""
    maximum: int = 200
    """Slots; if its share of the site's are more, it is divided.  So many
    instances one nova-compute carries well."""
    zone: str = ''
    """Availability zone; '' for Nova's default."""
    traits: tuple[str, ...] = ()
    ratios: Ratios = ALL_ONCE
    placing: Placing = Placing.SPREAD


@dataclasses.dataclass(frozen=True)
class Site:
    """Some PCs, and the slices that they are divided into."""

    name: str
    match: tuple[tuple[str, tuple[str, ...]], ...]
    """(attribute, accepted values); all of them must hold."""
    slices: tuple[Slice, ...]
    """The best PCs are in the first."""
    rank: str = ''
    """The attribute that orders the PCs, the largest number first."""

    def takes(self, attributes: wire.Attributes) -> bool:
        """Whether a PC with these attributes has all that is asked."""
        return all(
            not words_of(attributes.get(key)).isdisjoint(values)
            for key, values in self._accepted.items()
        )

    def common(self, other: Site) -> dict[str, str] | None:
        """Attributes of a PC that both would take; None: there is none.

        Of a PC whose attributes have one value each.
        """
        mine, theirs = self._accepted, other._accepted
        if any(
            mine[key].isdisjoint(theirs[key])
            for key in mine.keys() & theirs.keys()
        ):
            return None
        return {
            key: min(mine.get(key, values) & theirs.get(key, values))
            for key, values in (mine | theirs).items()
        }

    @functools.cached_property
    def _accepted(self) -> dict[str, frozenset[str]]:
        return {key: frozenset(values) for key, values in self.match}


@dataclasses.dataclass(frozen=True)
class Policy:
    """All sites, in the order in which they are tried."""

    sites: tuple[Site, ...]
    version: int = 1
    """Grows with every change: who has a newer one refuses an older."""
    slot: wire.Capacity = SLOT
    """What minimum and maximum count."""

    @property
    def slices(self) -> tuple[Slice, ...]:
        """All slices, in order."""
        return tuple(one for site in self.sites for one in site.slices)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the slices, in order."""
        return tuple(one.name for one in self.slices)

    def site_of(self, attributes: wire.Attributes) -> Site | None:
        """The first site that takes a PC; None if none does."""
        return next((s for s in self.sites if s.takes(attributes)), None)

    def slots_of(self, total: wire.Capacity) -> int:
        """How many slots a PC has that offers so much."""
        return min(total.slots(self.slot), SLOTS_MAX)


NOTHING = Policy((), version=0)
"""The policy of who has none."""


def number_to_word(value: float) -> str:
    """The one way in which a number is written: 8 and not 8.0."""
    return str(int(value) if float(value).is_integer() else value)


def words_of(value: wire.Attribute | None) -> frozenset[str]:
    """What a policy may ask of an attribute, as one writes it."""
    if value is None:
        return frozenset()
    if isinstance(value, bool):
        return frozenset([str(value).lower()])
    if isinstance(value, int | float):
        return frozenset([f'{value:g}', str(value), number_to_word(value)])
    return frozenset([value] if isinstance(value, str) else value)
