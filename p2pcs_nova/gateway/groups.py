# SPDX-License-Identifier: Apache-2.0
"""Server groups inside a slice: kept together, or apart, PC by PC.

To Nova a slice is one host, but what a user means by a group is machines.
A member counts from the moment when its PC is chosen, before its run
right is written down.  Looking who is where and noting a choice are one
step, in which nothing is waited for: of two spawns at once the second
sees what the first has chosen.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping

from p2pcs_nova import wire
from p2pcs_nova.gateway import store

Policy = wire.GroupPolicy
LIMITS = (Policy.AFFINITY, Policy.ANTI_AFFINITY)
"""They say where a server may be; the others what is better."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """The PC that is about to get a run right of an instance."""

    spec: wire.InstanceSpec
    peer: str


@dataclasses.dataclass(frozen=True)
class Company:
    """Where the others of an instance's group are."""

    group: wire.ServerGroup | None = None
    others: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """How many, by PC; only PCs that have any."""

    def refusal(self, peer: str) -> str:
        """Why a PC must not have the instance; '' if it may."""
        if self.group is None:
            return ''
        here = self.others.get(peer, 0)
        if (
            self.group.policy is Policy.ANTI_AFFINITY
            and here >= self.group.limit
        ):
            return 'kept apart by its group'
        if self.group.policy is Policy.AFFINITY and self.others and not here:
            return 'away from its group'
        return ''

    def room(self, peer: str, slots: int) -> int:
        """How many more of the group a PC may have of those that fit."""
        if self.refusal(peer):
            return 0
        if self.group and self.group.policy is Policy.ANTI_AFFINITY:
            return min(slots, self.group.limit - self.others.get(peer, 0))
        return slots

    def most(self, slots: int) -> int:
        """The same of a PC that has none of the others."""
        if self.group and self.group.policy is Policy.ANTI_AFFINITY:
            return self.group.limit
        return slots

    def changes(self, peers: Collection[str]) -> Collection[str]:
        """Those of these PCs that are not as for an instance by itself.

        But for a limit that is the same for all of them.
        """
        if self.group is None or not self.others:
            return ()
        if self.group.policy is Policy.AFFINITY:
            return peers
        if self.group.policy is Policy.ANTI_AFFINITY:
            return self.others
        return ()

    def distance(self, peer: str) -> int:
        """How far a PC is from what the group likes: 0 is best."""
        if self.group is None:
            return 0
        here = self.others.get(peer, 0)
        if self.group.policy in (Policy.AFFINITY, Policy.SOFT_AFFINITY):
            return max(self.others.values(), default=0) - here
        return here


ALONE = Company()
"""Of an instance that is in no group."""


def find_company(
    group: wire.ServerGroup | None,
    rows: Iterable[store.InstanceRow],
    choices: Iterable[Choice],
    instances: Collection[str],
    elsewhere: Mapping[str, str] | None = None,
) -> Company:
    """The others of a group, as run rights and choices are now.

    :param instances: those that a PC is looked for
    :param elsewhere: PC by instance of the group, as all gateways have
        written; what is ours is newer
    """
    if group is None:
        return ALONE
    found: list[Choice | store.InstanceRow] = [*rows, *choices]
    where = dict(elsewhere or {})
    where |= {
        one.spec.instance: one.peer
        for one in found
        if one.spec.group is not None and one.spec.group.id == group.id
    }
    others = (peer for key, peer in where.items() if key not in instances)
    return Company(group, collections.Counter(others))
