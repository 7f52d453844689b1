# SPDX-License-Identifier: Apache-2.0
"""What the hypervisor last said of our domains, and waiting for a change.

Events tell when to look again; whoever waits also looks by himself now
and then, since an event can be lost with the connection.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable

import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.hypervisor import Domain, Happening, Hypervisor

LOOK_AGAIN_S = 2.0

Condition = Callable[[Domain | None], bool]


class Watch:
    """The last known state of every domain of ours.

    :param on_change: told when something was seen to change
    """

    def __init__(
        self, hypervisor: Hypervisor, on_change: Callable[[], None]
    ) -> None:
        self._hypervisor = hypervisor
        self._on_change = on_change
        self._changed = trio.Event()
        self._domains: dict[str, Domain] = {}
        self._looks = itertools.count(1)
        self._known_at: dict[str, int] = {}
        self._reboots: Counter[str] = Counter()
        self.reached = False
        """Whether the hypervisor has listed its domains once."""

    def domain(self, instance: str) -> Domain | None:
        """What was last seen of it."""
        return self._domains.get(instance)

    def domains(self) -> tuple[Domain, ...]:
        """All that were last seen."""
        return tuple(self._domains.values())

    async def diagnostics(self, instance: str) -> wire.Diagnostics:
        """Counters of one.

        :raises NotFound: it is absent
        """
        return await self._hypervisor.diagnostics(instance)

    async def refresh(self, instance: str) -> Domain | None:
        """Look at one."""
        look = next(self._looks)
        seen = await self._hypervisor.domain(instance)
        if self._learn(look, instance, seen):
            self._tell()
        return self.domain(instance)

    def _learn(self, look: int, instance: str, seen: Domain | None) -> bool:
        """Take what a look has seen, unless a later look has returned.

        :returns: whether that changed anything
        """
        if look < self._known_at.get(instance, 0):
            return False
        self._known_at[instance] = look
        before = self._domains.pop(instance, None)
        if seen is not None:
            self._domains[instance] = seen
        return seen != before

    async def refresh_all(self) -> None:
        """Look at all."""
        look = next(self._looks)
        seen = {d.mark.instance: d for d in await self._hypervisor.domains()}
        changed = [
            self._learn(look, instance, seen.get(instance))
            for instance in sorted(seen.keys() | self._domains.keys())
        ]
        self._known_at = {
            instance: at
            for instance, at in self._known_at.items()
            if at > look or instance in self._domains
        }
        if any(changed) or not self.reached:
            self.reached = True
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
        self._on_change()

    async def run(self) -> None:
        """Follow the hypervisor's events until cancelled."""
        while True:
            events = await self._hypervisor.wait_events()
            for event in events:
                if event.what is Happening.REBOOTED:
                    self._reboots[event.instance] += 1
            # Whoever resyncs will meet the same error, and say it.
            with contextlib.suppress(errors.P2PcsError):
                for event in events:
                    await self.refresh(event.instance)
            self._changed.set()
            self._changed = trio.Event()

    async def wait(
        self, instance: str, condition: Condition, timeout_s: float
    ) -> bool:
        """Wait until the domain meets the condition; False: too late."""
        with trio.move_on_after(timeout_s):
            while not condition(self.domain(instance)):
                changed = self._changed
                with trio.move_on_after(LOOK_AGAIN_S) as pause:
                    await changed.wait()
                if pause.cancelled_caught:
                    await self.refresh(instance)
            return True
        return False

    def reboots(self, instance: str) -> int:
        """How often it was seen to reboot."""
        return self._reboots[instance]
