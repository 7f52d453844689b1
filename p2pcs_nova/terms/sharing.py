# SPDX-License-Identifier: Apache-2.0
"""Which slices a gateway takes and gives up, so that all have their share.

Rules, for each gateway by itself:

1. a free slice is taken by who has less than the larger share: together
   they take all; one that stays free, for it does not run where there is
   room for it, by anybody;
2. who has more than the larger share gives one up; who has more than the
   smaller share does so as long as another has less than that; of its own it
   gives the one that it wants least, and none while any slice is free;
3. one slice at a time is given up so: its nova-compute starts elsewhere, and
   its users wait for that;
4. at once all those go that there are no more, and all that a gateway has
   which does not want any.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Sequence

from p2pcs_nova.terms.holder import Shares


@dataclasses.dataclass(frozen=True)
class Move:
    """What a gateway does next."""

    take: tuple[str, ...] = ()
    """Free slices, in the order in which they are tried."""
    give: tuple[str, ...] = ()
    """Slices of its own."""


def next_move(
    me: str,
    slices: Sequence[str],
    shares: Shares,
    held: Collection[str],
    stranded: Collection[str] = (),
) -> Move:
    """What this gateway does next.

    :param slices: all that there are, drained ones too, in this gateway's
        order of preference
    :param held: what it commands
    :param stranded: free slices that nobody has taken for long
    """
    gone = tuple(sorted(set(held) - set(slices)))
    if me not in shares.gateways:
        return Move(give=tuple(sorted(held)))
    smaller, rest = divmod(len(slices), len(shares.gateways))
    larger = smaller + bool(rest)
    mine = [name for name in slices if name in held]
    free = [name for name in slices if name not in shares.holders]
    others = [name for name in free if name not in held]
    room = max(larger - len(mine), 0)
    take = (
        *others[:room],
        *(name for name in others[room:] if name in stranded),
    )
    if gone or take or free:
        return Move(take, gone)
    counts = collections.Counter(shares.holders.values())
    someone_has_less = any(
        counts[gateway] < smaller for gateway in shares.gateways
    )
    if len(mine) > larger or (someone_has_less and len(mine) > smaller):
        return Move(give=(mine[-1],))
    return Move()
