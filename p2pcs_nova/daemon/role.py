# SPDX-License-Identifier: Apache-2.0
"""What the daemon needs of a role, whatever it is."""

from __future__ import annotations

from typing import Protocol

import trio
from starlette.routing import Route

from gossip import events as news
from p2pcs_nova.daemon.share import Share
from p2pcs_nova.policy.partition import Partition


class Role(Protocol):
    """A PC, or what speaks for slices."""

    def remote_routes(self) -> list[Route]:
        """What other daemons may ask, over mutual TLS."""

    def local_routes(self) -> list[Route]:
        """What this machine may ask, over the UNIX socket."""

    def on_event(self, event: news.Event) -> None:
        """Take an event of the overlay; in order, never blocks."""

    def on_policy(self, partition: Partition) -> None:
        """Take the slices as they are now; never blocks."""

    def on_out(self, peer: bytes, why: str, reason: str) -> None:
        """A member is to take no part, we ourselves perhaps.

        :param why: ``contested`` or ``revoked``
        :param reason: for people; '' when it is over
        """

    async def let_go(self, force: bool) -> None:
        """Be ready to leave the overlay: take nothing new, hold nothing.

        :param force: give up what is held
        :raises WrongState: something is held, and no ``force``
        :raises Forbidden: this role does not leave
        """

    async def occupied(self) -> frozenset[str]:
        """The slices that it knows to hold instances.

        :raises Unavailable: that cannot be said now
        """

    def share(self) -> Share:
        """What it adds to the daemon's status; no I/O."""

    async def run(
        self,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Work until cancelled.

        Started once requests may come and all records are published: what
        the overlay remembers of an earlier run and is not published again
        before joining is deleted.
        """
