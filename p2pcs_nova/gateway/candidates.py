# SPDX-License-Identifier: Apache-2.0
"""Which PCs to ask for an instance, and which of their grants to take.

Batch sampling as in Sparrow (Ousterhout et al. 2013): some PCs that
probably fit are asked at once, the best grant is taken.  The departures:
sampling is weighted by free capacity, which the records tell roughly (a
slice that packs asks the fuller PCs sooner, one that spreads the emptier
ones), and before a spawn is given up every PC is asked whose offer is large
enough, whatever its record says is in use.
"""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from p2pcs_nova import texts, wire
from p2pcs_nova.gateway import groups
from p2pcs_nova.gateway import view as views
from p2pcs_nova.gateway.holdings import Holdings
from p2pcs_nova.policy.document import Placing

REASON_LIMIT = 200
"""Characters of a refusal: a server's fault holds 255 with Nova's own."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A PC that may be asked."""

    peer: str
    slots: int
    """How many such instances fit by its record; it may be 0."""
    suspect: bool = False
    distance: int = 0
    """From what its server group likes."""


@dataclasses.dataclass(frozen=True)
class Screening:
    """The PCs of a slice, seen by a claim."""

    candidates: tuple[Candidate, ...]
    refused: Mapping[str, str]
    """Those that cannot serve it: reason by peer."""


def screen(
    members: Iterable[views.PeerView],
    holdings: Holdings,
    claim: wire.Claim,
    mismatch: Callable[[views.PeerView], str],
    company: groups.Company = groups.ALONE,
) -> Screening:
    """Split a slice's PCs into who may be asked and who cannot serve.

    :param mismatch: why the user's wishes do not allow a PC; '' if they do
    """
    candidates: list[Candidate] = []
    refused: dict[str, str] = {}
    for one in members:
        reason = (
            mismatch(one)
            or refusal(one, claim.need, claim.networks)
            or company.refusal(one.peer)
        )
        if reason or one.record is None:
            refused[one.peer] = reason
            continue
        free = one.record.offer.total.less(one.used(holdings.on(one.peer)))
        slots = free.slots(claim.need)
        suspect = one.liveness is views.Liveness.SUSPECT
        distance = company.distance(one.peer)
        candidates.append(Candidate(one.peer, slots, suspect, distance))
    return Screening(tuple(candidates), refused)


def refusal(
    one: views.PeerView, need: wire.Capacity, networks: Collection[str]
) -> str:
    """Why a PC cannot serve a claim whatever is free; '' if it may."""
    if not one.reachable:
        return 'unreachable'
    if one.record is None:
        return 'not yet known'
    if one.record.draining:
        return 'draining'
    offer = one.record.offer
    if not set(networks) <= set(offer.networks):
        return 'without the network'
    if not offer.total.fits(need):
        return 'too small'
    return ''


def sample(
    candidates: Iterable[Candidate],
    width: int,
    rng: random.Random,
    placing: Placing = Placing.SPREAD,
) -> list[Candidate]:
    """At most ``width`` candidates, at random, weighted by their slots.

    Without replacement (Efraimidis and Spirakis 2006: the largest of
    u^(1/weight), which is the smallest of as many exponential draws).  A
    slice that packs weighs by the inverse of the slots.  A suspect comes after
    everyone else, one that is full by its record after those with room; of
    those the ones that the server group likes come first.
    """

    def rank(one: Candidate) -> tuple[bool, bool, int, float]:
        slots = max(one.slots, 1)
        weight = slots if placing is Placing.SPREAD else 1 / slots
        draw = rng.expovariate(weight)
        return (one.suspect, one.slots == 0, one.distance, draw)

    return sorted(candidates, key=rank)[:width]


def best(
    grants: Mapping[str, wire.Reservation],
    need: wire.Capacity,
    last: Collection[str] = (),
    placing: Placing = Placing.SPREAD,
    company: groups.Company = groups.ALONE,
) -> str:
    """The PC whose grant to take: room for most, or fewest, more such.

    :param last: PCs that are taken only if there is no other

    What the server group likes comes first; of PCs that are equally loaded
    one that has the image is taken.
    """
    sign = 1 if placing is Placing.SPREAD else -1

    def rank(peer: str) -> tuple[bool, int, int, bool, int, str]:
        grant = grants[peer]
        slots = grant.free.slots(need)
        return (
            peer not in last,
            -company.distance(peer),
            sign * slots,
            grant.has_image,
            sign * grant.free.memory_mb,
            peer,
        )

    return max(grants, key=rank)


def reasons_to_text(reasons: Sequence[str]) -> str:
    """How many PCs refused for which reason, the most frequent first."""
    if not reasons:
        return 'the slice has no PCs'
    return texts.counts_to_text(collections.Counter(reasons), REASON_LIMIT)
