# SPDX-License-Identifier: Apache-2.0
"""The era of terms and epochs: an admin's word, and what a gateway knows."""

from __future__ import annotations

from typing import Annotated

import msgspec

from p2pcs_nova.wire.basics import Count, Counter, PeerId, Positive

Reason = Annotated[str, msgspec.Meta(max_length=500)]
Place = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Era(msgspec.Struct, frozen=True):
    """From now on terms and epochs are of this era, and come from there."""

    number: Positive
    gateway: PeerId
    """Which begins it, and brings what it knows of the era before."""
    place: Place
    """Where its numbers come from: ``counter``, that of this gateway, or
    ``etcd CLUSTER PREFIX``."""
    reason: Reason = ''
    lost: Count = 0
    """What gateways wrote in eras up to this one may be lost; 0: in none.
    Instances of these eras that no gateway knows are taken as their PCs
    report them."""


class SignedEra(msgspec.Struct, frozen=True):
    """An era, and the root's signature."""

    payload: bytes
    signature: bytes


class EraReport(msgspec.Struct, frozen=True):
    """Where a gateway's numbers come from, and whether they may."""

    place: Place
    """By its configuration."""
    stands: Counter | None
    """The highest number of that place; None: it has given none."""
    last_place: str
    """Where those came from that were last used here; '': none were."""
    last: Counter
    """The highest that this gateway knows of there."""
    era: Era | None
    """The word that is in force."""
    problem: str = ''
    """Why the gateway may not go on from here; '': it may."""
    loses: str = ''
    """Why an era that began here would be without what was written before;
    '': it would not."""
