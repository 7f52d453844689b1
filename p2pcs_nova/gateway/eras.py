# SPDX-License-Identifier: Apache-2.0
"""Where terms and epochs come from, and whether they may.

A number is never given twice, nor a lower one after a higher.  Within an era
one *place* sees to that: the counter of an only gateway, or etcd's revision.
A place that has forgotten what it gave, or another one in its stead, would
give numbers that PCs have seen: that begins a new era, by an admin's word.
Rules:

1. the word names the place, and the gateway that begins the era there; only
   the first era, that of a counter, has no word, and a gateway that has used
   none yet does not begin in it beside another one;
2. a gateway goes on where it was, as long as that place has come no less far
   than the gateway has seen;
3. a later era than all that a gateway has seen is begun by somebody who was
   allowed to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from p2pcs_nova import errors, wire

COUNTER = 'counter'
"""The place of an only gateway's numbers."""
FIRST = 1
"""The era that no admin has raised: of counters only."""


@dataclasses.dataclass(frozen=True)
class Stand:
    """How far a place has come."""

    place: str
    number: wire.Counter | None
    """The highest that it has given; None: none, or it has forgotten all."""
    begun_by: str = ''
    """Id of the gateway that has begun its era; '': that is not told."""

    @property
    def era(self) -> int:
        """Which it has come to; 0: none."""
        return 0 if self.number is None else self.number.era


@dataclasses.dataclass(frozen=True)
class Last:
    """What a gateway has last used, by its own disk."""

    place: str
    """'': none yet."""
    number: wire.Counter
    """The highest that it knows of."""


def must_begin(
    me: str,
    stand: Stand,
    last: Last,
    word: wire.Era | None,
    others: Collection[str] = (),
) -> bool:
    """Whether the era in force is to be begun here; else it goes on.

    :param me: id of this gateway
    :param others: ids of the other gateways of the overlay
    :raises EraRefused: numbers may not come from here
    """
    era = FIRST if word is None else word.number
    if word is not None and stand.era <= era:
        _check_place(me, stand.place, word)
    if word is None and stand.place == COUNTER and not last.place and others:
        raise errors.EraRefused(
            f'another gateway is here already ({", ".join(others)}), and only '
            'one may count by itself: name etcd in [terms] of p2pcs.conf; or, '
            f'if this one is to be the only one: {HOW}'
        )
    if stand.era >= era:
        if is_behind(stand, last):
            raise _refused(stand, last)
        return False
    if last.number.era >= era:
        raise _refused(stand, last)
    if word is None:
        raise errors.EraRefused(
            f'no era has begun in {named(stand.place)}: {HOW}, or on the one '
            'that has the servers until now'
        )
    if word.gateway != me:
        raise errors.EraRefused(
            f'era {era} has not begun in {named(stand.place)}: start '
            f'p2pcs-gateway on gateway {word.gateway} first; if that '
            f'cannot be, or if this etcd has lost what it had: {HOW_LOST}'
        )
    return True


def is_behind(stand: Stand, last: Last) -> bool:
    """Whether numbers of this place may have been given already."""
    if stand.number is None:
        return bool(last.place)
    if last.place in ('', stand.place):
        return stand.number < last.number
    return stand.era <= last.number.era


def named(place: str) -> str:
    """A place, for people."""
    return "this gateway's own counter" if place == COUNTER else place


HOW = (
    'run `p2pcs-manage era raise --ca-dir DIR` on this gateway, then start '
    'p2pcs-gateway again'
)
HOW_LOST = (
    'run `p2pcs-manage era raise --lost --ca-dir DIR` on this gateway, then '
    'start p2pcs-gateway again'
)


def _check_place(me: str, place: str, word: wire.Era) -> None:
    mine = word.gateway == me or place != COUNTER
    if place == word.place and mine:
        return
    where = named(word.place)
    if word.place == COUNTER and word.gateway != me:
        where = f'the counter of gateway {word.gateway}'
    raise errors.EraRefused(
        f'terms of era {word.number} come from {where}, and not from '
        f'{named(place)}: correct [terms] in p2pcs.conf; if they are to come '
        f'from here from now on: {HOW}'
    )


def _refused(stand: Stand, last: Last) -> errors.EraRefused:
    if stand.place != last.place:
        return errors.EraRefused(
            f'terms came from {named(last.place)} until now (the last is '
            f'{last.number}), and not from {named(stand.place)}; if they are '
            f'to come from here from now on: {HOW}'
        )
    if stand.number is None:
        return errors.EraRefused(
            f'{named(stand.place)} has lost what it had (the last number was '
            f'{last.number}): restore it, or {HOW_LOST}'
        )
    return errors.EraRefused(
        f'{named(stand.place)} is an older copy: it has come to '
        f'{stand.number}, and {last.number} has been given: {HOW_LOST}'
    )
