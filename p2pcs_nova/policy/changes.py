# SPDX-License-Identifier: Apache-2.0
"""What another policy would do to the PCs and slices that there are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from p2pcs_nova import texts, wire
from p2pcs_nova.names import whole_of
from p2pcs_nova.policy.assignment import Pc, assign
from p2pcs_nova.policy.document import Policy, Slice, words_of
from p2pcs_nova.policy.partition import Partition, next_map

FAULTS_MAX = 20
"""That are told at once."""


def plan(
    now: Partition,
    new: Policy,
    pcs: Sequence[Pc],
    known: Sequence[Pc],
    names: Mapping[str, str],
    occupied: Collection[str],
    slots: Mapping[str, int],
) -> wire.PolicyPlan:
    """Whether a policy can follow the one in force, and who would move.

    :param pcs: those that are on
    :param known: all of the overlay, those that are off too
    :param names: their host names, by peer id
    :param occupied: the slices that hold instances
    :param slots: of all PCs of a site of the new policy, by its name
    """
    faults = [
        *_version(now.policy, new),
        *_zones(now, new, occupied),
        *_claims(new, known, names),
    ]
    after = Partition(new, next_map(new, now.map, slots, occupied))
    slices = assign(after, pcs).slices
    moves = sorted(
        (names.get(pc.peer, pc.peer), pc.slice, slices.get(pc.peer, ''))
        for pc in pcs
        if pc.slice != slices.get(pc.peer, '')
    )
    return wire.PolicyPlan(
        now.policy.version,
        tuple(map(texts.printable, faults[:FAULTS_MAX])),
        tuple(wire.PolicyMove(*move) for move in moves),
        opened=_missing(after.open, now.open),
        drained=_missing(now.open, after.open),
        merged=_missing(new.names, after.open),
    )


def _missing(names: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in there)


def _version(old: Policy, new: Policy) -> Iterator[str]:
    if new.version <= old.version:
        yield (
            f'version: {new.version} is not above {old.version}, which is '
            'in force'
        )


def _zones(
    now: Partition, new: Policy, occupied: Collection[str]
) -> Iterator[str]:
    for row in now.rows:
        after = _named(new, row.name)
        if row.name not in occupied or row.zone is None or after is None:
            continue
        if row.zone != after.zone:
            yield (
                f'{after.name}: zone: slice {row.name} holds instances, so '
                f'it cannot go from zone {row.zone or "(none)"} to '
                f'{after.zone or "(none)"}'
            )


def _named(policy: Policy, name: str) -> Slice | None:
    """The slice that one of this name is, or is a part of when divided."""
    found = {one.name: one for one in policy.slices}
    return found.get(name) or found.get(whole_of(name))


def _claims(
    new: Policy, pcs: Sequence[Pc], names: Mapping[str, str]
) -> Iterator[str]:
    asked = {key for site in new.sites for key, _ in site.match}
    for pc in sorted(pcs, key=lambda pc: names.get(pc.peer, pc.peer)):
        name = names.get(pc.peer, pc.peer)
        takers = [site.name for site in new.sites if site.takes(pc.attributes)]
        chosen = [
            site.name
            for site in new.sites
            if site.match and site.takes(pc.attributes)
        ]
        said = ', '.join(
            f'{key}: {" and ".join(sorted(words_of(pc.attributes[key])))}'
            for key in sorted(asked & pc.attributes.keys())
        )
        if not takers:
            yield (
                f'match: {name} ({said or "nothing that is asked for"}) is '
                'left out; a last one with `match: {}` takes the others'
            )
        elif len(chosen) > 1:
            yield (
                f'match: {name} ({said}) would be in {" and in ".join(chosen)}'
            )
