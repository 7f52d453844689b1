# SPDX-License-Identifier: Apache-2.0
"""Many nodes on real sockets in one trio task: for tests and trials.

A task and a trio socket for each node cost more than the node itself. Here
one epoll object holds all sockets, trio waits for that one, and one heap
holds all deadlines.
"""

import heapq
import itertools
import math
import select
from collections.abc import Iterable

import trio

from gossip import runtime

_EVENTS_MAX = 1024


class Crowd:
    """Drives many nodes. All methods are for the trio thread."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._members: dict[int, runtime.Runtime] = {}
        self._heap: list[tuple[float, int, runtime.Runtime]] = []
        self._due: dict[runtime.Runtime, float] = {}
        self._order = itertools.count()
        self._scope: trio.CancelScope | None = None

    def add(self, member: runtime.Runtime) -> None:
        """Drive this one too, from now on.

        :raises Misuse: it is driven already
        """
        member.begin(lambda: self._schedule(member))
        number = member.socket.fileno()
        self._members[number] = member
        self._epoll.register(number, select.EPOLLIN)
        self._schedule(member)

    def remove(self, member: runtime.Runtime) -> None:
        """Drive it no more; before its socket is closed."""
        number = member.socket.fileno()
        if self._members.pop(number, None) is member:
            self._epoll.unregister(number)
            del self._due[member]
            member.end()

    async def run(self) -> None:
        """Drive them all until cancelled, and let go of them then."""
        try:
            while True:
                with trio.CancelScope(deadline=self._next()) as self._scope:
                    await trio.lowlevel.wait_readable(self._epoll)
                await trio.lowlevel.checkpoint_if_cancelled()
                self._turn(self._awake())
        finally:
            self._scope = None
            for member in list(self._members.values()):
                self.remove(member)
            self._epoll.close()

    def _awake(self) -> Iterable[runtime.Runtime]:
        """Who has something to take, and whose time has come."""
        found: dict[runtime.Runtime, None] = {}
        for number, _ in self._epoll.poll(0, _EVENTS_MAX):
            found[self._members[number]] = None
        now = trio.current_time()
        while self._heap and self._heap[0][0] <= now:
            due, _, member = heapq.heappop(self._heap)
            if self._due.get(member) == due:
                found[member] = None
        return found

    def _turn(self, awake: Iterable[runtime.Runtime]) -> None:
        for member in awake:
            if member in self._due:
                self._due[member] = math.nan
                member.turn()
                self._schedule(member)

    def _schedule(self, member: runtime.Runtime) -> None:
        due = member.due()
        if self._due.get(member) != due:
            self._due[member] = due
            if due == math.inf:
                return
            heapq.heappush(self._heap, (due, next(self._order), member))
            if self._scope is not None and due < self._scope.deadline:
                self._scope.deadline = due

    def _next(self) -> float:
        return self._heap[0][0] if self._heap else math.inf
