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
from collections.abc import Iterable, Mapping

from p2pcs_nova import wire
from p2pcs_nova.gateway import store

Policy = wire.GroupPolicy


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
    spec: wire.InstanceSpec,
    rows: Iterable[store.InstanceRow],
    choices: Iterable[Choice],
) -> Company:
    """The others of a spec's group, as run rights and choices are now."""
    group = spec.group
    if group is None:
        return ALONE
    found: list[Choice | store.InstanceRow] = [*rows, *choices]
    where = {one.spec.instance: one for one in found}
    where.pop(spec.instance, None)
    return Company(
        group,
        collections.Counter(
            one.peer
            for one in where.values()
            if one.spec.group is not None and one.spec.group.id == group.id
        ),
    )
