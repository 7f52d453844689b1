# SPDX-License-Identifier: Apache-2.0
"""What holds the terms of one gateway, alone or among others.

All calls block: they ask a daemon, or etcd.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from p2pcs_nova import wire

TTL_S = 8.0
"""So long after its last renewal a term lasts, at most: the longest time
that a slice waits for another gateway, its start aside."""


class Lapsed(Exception):
    """What was held is held no more, or no more for sure: begin anew."""


@dataclasses.dataclass(frozen=True)
class Shares:
    """Who is there, and who commands what."""

    gateways: frozenset[str]
    """Those that want slices."""
    holders: Mapping[str, str]
    """Gateway by slice; a slice that is not in it has none."""


class Holder(Protocol):
    """Takes terms and keeps them.

    Every call raises Unavailable, or Unreachable, if that cannot be said
    now: whether anything has changed is not known, and what is held is held
    as long as it was.
    """

    name: str
    """Of this gateway, among the others."""

    def renew(self) -> float:
        """Go on with all that is held.

        :returns: until when, in seconds of CLOCK_BOOTTIME
        :raises Lapsed: nothing is held any more
        """

    def want(self, wanted: bool) -> None:
        """Whether this gateway is one of those that share the slices."""

    def shares(self) -> Shares:
        """Who is there, and who commands what."""

    def take(self, slice_: str) -> wire.Counter | None:
        """A new term of a slice, or None: another gateway has it.

        It lasts as long as what the last :meth:`renew` said.

        :raises NotFound: the policy has no such slice; nothing is taken
        :raises EraRefused: terms may not come from here; nothing is taken
        """

    def give_back(self, command: wire.Command) -> None:
        """The slice is free for others; idempotent."""

    def close(self) -> None:
        """Give everything back."""
