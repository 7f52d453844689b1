# SPDX-License-Identifier: Apache-2.0
"""What the daemon needs of a role, whatever it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import trio
from starlette.routing import Route

from gossip import events as news
from p2pcs_nova import wire
from p2pcs_nova.client.remote import RemoteClient

Connect = Callable[[str, str, wire.Command | None, float, str], RemoteClient]
"""(peer id, role, authority, seconds, request id) -> requests to a daemon;
raises Unreachable if the overlay does not know the peer."""


_NOTHING = wire.Capacity()


@dataclasses.dataclass(frozen=True)
class Share:
    """What a role adds to the daemon's status."""

    offer: wire.Offer | None = None
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    used: wire.Capacity = _NOTHING
    slice: str = ''
    draining: bool = False
    instances: tuple[wire.InstanceStatus, ...] = ()
    reasons: tuple[str, ...] = ()


class Role(Protocol):
    """A PC, or what speaks for slices."""

    def remote_routes(self) -> list[Route]:
        """What other daemons may ask, over mutual TLS."""

    def local_routes(self) -> list[Route]:
        """What this machine may ask, over the UNIX socket."""

    def on_event(self, event: news.Event) -> None:
        """Take an event of the overlay; in order, never blocks."""

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
