# SPDX-License-Identifier: Apache-2.0
"""A gateway's slices: their terms are renewed, their nova-computes kept.

Rules:

1. whoever acts by a term is told each renewal: the daemon, which asks the
   PCs, and nova-compute, by its file;
2. when a term is over, that nova-compute is killed at once, and all begins
   anew: see :class:`p2pcs_nova.terms.holder.Lapsed`;
3. a slice is given back only when its nova-compute has ended, and is our
   own until that has worked: its key goes on as long as the lease;
4. when a nova-compute has ended by itself, frozen perhaps and killed, the
   next acts by another term: what the first has asked, and nobody has heard
   yet, comes too late;
5. a gateway whose daemon does not answer for a while, or whose
   nova-computes do not keep running, is of no use to its slices, and gives
   them up, if there are others; see also
   :mod:`p2pcs_nova.supervisor.fitness`;
6. slices are taken only while the daemon finds that terms may come from
   where they come from; if it refuses that, all ends.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import random
from collections.abc import Callable, Mapping

import msgspec
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.supervisor import blocking, compute, fitness
from p2pcs_nova.supervisor.trouble import Trouble
from p2pcs_nova.terms import holder, sharing

LOG = logging.getLogger(__name__)


RENEW_S = 2.0
"""Between two renewals: a term outlives some that fail."""
SHARE_S = 1.0
"""Between two looks at what the others have."""
STRANDED_S = 20.0
"""So long a slice may be free before whoever has his share takes it too: it
is taken within some seconds, unless its nova-compute does not keep running
at the gateway that has room for it."""
DEAF_S = 15.0
"""So long the daemon may not answer before the slices are given up."""


@dataclasses.dataclass
class Kept:
    """A slice that this gateway commands."""

    held: wire.HeldTerm
    compute: compute.Compute
    scope: trio.CancelScope = dataclasses.field(
        default_factory=trio.CancelScope
    )
    """Cancelled: it is being given up."""

    def __post_init__(self) -> None:
        self.telling = Trouble(f'slice {self.held.slice}: telling the daemon')
        self.writing = Trouble(f'slice {self.held.slice}: its term')

    def renew(self, until_s: float) -> None:
        """Let its nova-compute go on until then; not told, it ends."""
        self.held = msgspec.structs.replace(self.held, until_s=until_s)
        try:
            self.compute.renew(self.held)
        except OSError as error:
            self.writing.note(str(error))
        else:
            self.writing.note('')

    @property
    def command(self) -> wire.Command:
        """By which the daemon commands it."""
        return wire.Command(self.held.slice, self.held.term)


class Keeper:
    """Keeps the slices of a gateway, until it is told to stop.

    :param client: of the gateway's daemon
    :param make: the nova-compute of a slice, not yet started
    :param clock: seconds of CLOCK_BOOTTIME
    """

    def __init__(
        self,
        terms: holder.Holder,
        client: LocalClient,
        make: Callable[[str], compute.Compute],
        clock: Callable[[], float],
    ) -> None:
        self._terms = terms
        self._client = client
        self._make = make
        self._clock = clock
        self._kept: dict[str, Kept] = {}
        self._fitness = fitness.Fitness()
        self._slices: list[str] = []
        """Of the policy, in the order in which we want them."""
        self._free_since: dict[str, float] = {}
        """When a slice that nobody has was first seen so."""
        self._rescued: set[str] = set()
        """Those of ours that others may not be able to keep: the last that
        we give up."""
        self._until_s = 0.0
        """As long as what we hold is ours for sure."""
        self._heard_at = clock()
        """When the daemon last answered."""
        self._settled = False
        """Whether terms may come from where they come from."""
        self._stopping = False
        self._look = trio.Event()
        self._renewal = Trouble('renewing the terms')
        self._daemon = Trouble('asking the daemon')
        self._era = Trouble('settling the era')
        self._others = Trouble('sharing the slices')
        self._computes = Trouble('keeping nova-computes')

    def stop(self) -> None:
        """Give all up in order; :meth:`run` returns when that is done."""
        self._stopping = True
        for kept in self._kept.values():
            kept.scope.cancel()
        self._look.set()

    async def run(self) -> None:
        """Until stopped.

        In an ExceptionGroup:

        :raises Lapsed: a term was not renewed in time, or is over by the
            daemon's word; all nova-computes are dead
        :raises EraRefused: terms may not come from where they come from
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_in_time)
                nursery.start_soon(self._renew)
                await self._share(nursery)
                nursery.cancel_scope.cancel()
        except BaseException:
            self._kill()
            raise
        await blocking.call(_quietly, self._terms.close)

    def _kill(self) -> None:
        for kept in self._kept.values():
            kept.compute.kill()

    def _lapsed(self, why: str) -> holder.Lapsed:
        """Rule 2: each that is told to end would be given time for it."""
        self._kill()
        return holder.Lapsed(why)

    # -- renewing -----------------------------------------------------------

    async def _renew(self) -> None:
        while True:
            try:
                until_s = await blocking.call(self._terms.renew)
            except errors.P2PcsError as error:
                self._renewal.note(error.message)
            else:
                self._renewal.note('')
                await self._go_on(until_s)
            await trio.sleep(RENEW_S)

    async def _go_on(self, until_s: float) -> None:
        """Tell all of the new time, the daemon if it answers."""
        self._check_time()
        if self._clock() >= self._until_s:
            self._look.set()  # There was none, or it was over.
        self._until_s = until_s
        for kept in self._kept.values():
            kept.renew(until_s)
        stale: list[str] = []
        # However many there are, a daemon that hangs delays no renewal.
        with trio.move_on_after(RENEW_S):
            async with trio.open_nursery() as nursery:
                for kept in self._kept.values():
                    nursery.start_soon(self._tell, kept, stale)
        if stale:
            raise self._lapsed(stale[0])

    async def _tell(self, kept: Kept, stale: list[str]) -> None:
        """Let the daemon command the slice."""
        request = wire.TermRequest(kept.held.until_s, kept.held.term)
        try:
            await blocking.call(
                self._client.take_term, kept.held.slice, request
            )
        except errors.StaleTerm as error:
            if not kept.scope.cancel_called:
                stale.append(error.message)
        except errors.P2PcsError as error:
            kept.telling.note(error.message)
        else:
            kept.telling.note('')

    async def _end_in_time(self) -> None:
        """Notice at once when a term is over."""
        while True:
            self._check_time()
            due = self._until_s if self._kept else math.inf
            pause_s = min(due - self._clock(), RENEW_S)
            await trio.sleep(max(pause_s, 0.0))

    def _check_time(self) -> None:
        if self._kept and self._clock() >= self._until_s:
            names = ', '.join(sorted(self._kept))
            raise self._lapsed(f'not renewed in time: {names}')

    # -- sharing ------------------------------------------------------------

    async def _share(self, nursery: trio.Nursery) -> None:
        """Take slices and give them up, until stopped and all is given."""
        while self._kept or not self._stopping:
            await self._hear()
            try:
                await self._move(nursery)
            except errors.P2PcsError as error:
                self._others.note(error.message)
            else:
                self._others.note('')
            with trio.move_on_after(SHARE_S):
                await self._look.wait()
            self._look = trio.Event()

    async def _hear(self) -> None:
        """Ask the daemon for the slices of the policy."""
        try:
            rows = await blocking.call(self._client.slices)
        except errors.P2PcsError as error:
            self._daemon.note(error.message)
        else:
            self._daemon.note('')
            self._heard_at = self._clock()
            self._slices = [row.name for row in rows.slices]
            # Gateways that come at once do not all try the same one first.
            random.Random(self._terms.name).shuffle(self._slices)  # noqa: S311
            await self._settle()

    async def _settle(self) -> None:
        """Ask the daemon whether terms may come from here.

        :raises EraRefused: they may not
        """
        self._settled = False
        try:
            await blocking.call(self._client.settle_era)
        except errors.EraRefused:
            raise
        except errors.P2PcsError as error:
            self._era.note(error.message)
        else:
            self._era.note('')
            self._settled = True

    async def _move(self, nursery: trio.Nursery) -> None:
        if self._clock() >= self._until_s:
            return  # Nothing has been renewed yet, or all ends now.
        me, shares = self._terms.name, await blocking.call(self._terms.shares)
        others = shares.gateways - {me}
        now = self._clock()
        is_deaf = now - self._heard_at > DEAF_S
        is_of_use = not (is_deaf or (others and self._is_failing(now)))
        wants = is_of_use and not self._stopping
        await blocking.call(self._terms.want, wants)
        if self._stopping or (is_deaf and not others):
            return
        stranded = self._find_stranded(shares.holders, now)
        move = sharing.next_move(
            me,
            sorted(self._slices, key=lambda name: self._rank(name, now)),
            holder.Shares(others | {me} if wants else others, shares.holders),
            self._kept.keys(),
            stranded,
        )
        for name in move.take if self._settled else ():
            if self._may(name, now):
                await self._take(name, nursery)
        self._rescued |= stranded & self._kept.keys()
        if not any(k.scope.cancel_called for k in self._kept.values()):
            for name in move.give:
                # What was taken meanwhile took time: it may have ended.
                if (kept := self._kept.get(name)) is not None:
                    LOG.info('slice %s is given up', name)
                    kept.scope.cancel()

    def _find_stranded(
        self, holders: Mapping[str, str], now: float
    ) -> set[str]:
        """The slices that have been free for long."""
        self._free_since = {
            name: self._free_since.get(name, now)
            for name in self._slices
            if name not in holders
        }
        return {
            name
            for name, since in self._free_since.items()
            if now - since >= STRANDED_S
        }

    def _rank(self, name: str, now: float) -> tuple[bool, bool]:
        """The lower, the more we want a slice."""
        return name not in self._rescued, not self._may(name, now)

    def _may(self, name: str, now: float) -> bool:
        return self._fitness.may_start(name, now)

    def _is_failing(self, now: float) -> bool:
        """Whether other gateways are better for our slices."""
        lives = [
            kept.compute.lived_s
            for kept in self._kept.values()
            if not kept.scope.cancel_called
        ]
        is_failing = self._fitness.is_failing(lives, now)
        self._computes.note(
            'they end soon after their start: others may have the slices for '
            f'{fitness.FAILING_S:g} s'
            if is_failing
            else ''
        )
        return is_failing

    async def _take(self, name: str, nursery: trio.Nursery) -> None:
        term = await blocking.call(self._terms.take, name)
        if term is None:
            return
        LOG.info('slice %s: term %s begins', name, term)
        held = wire.HeldTerm(name, term, self._until_s)
        kept = Kept(held, self._make(name))
        self._kept[name] = kept
        kept.renew(self._until_s)
        self._check_time()
        await self._tell(kept, [])
        if self._stopping:
            kept.scope.cancel()
        nursery.start_soon(self._keep, kept)

    async def _keep(self, kept: Kept) -> None:
        """Until its nova-compute has ended, or it is given up."""
        name = kept.held.slice
        with kept.scope:
            lived_s = await kept.compute.keep()
            self._fitness.ended(name, lived_s, self._clock())
        kept.scope.cancel()
        await blocking.call(_quietly, self._client.end_term, kept.command)
        await self._give_back(kept.command)
        del self._kept[name]
        self._rescued.discard(name)
        self._look.set()

    async def _give_back(self, command: wire.Command) -> None:
        """Until it has worked, or our lease ends with us."""
        while not await blocking.call(
            _quietly, self._terms.give_back, command
        ):
            if self._stopping:
                return
            await trio.sleep(SHARE_S)


def _quietly(call: Callable[..., None], *arguments: object) -> bool:
    """Say what is over by itself before long; whether it was heard."""
    try:
        call(*arguments)
    except errors.P2PcsError as error:
        LOG.info('not told: %s', error.message)
        return False
    return True
