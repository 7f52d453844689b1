# SPDX-License-Identifier: Apache-2.0
"""A gateway: what the daemon feeds, what driver and operator ask.

Answers about slices and states come from memory and never wait for a
socket, but for what only the ledger of all gateways has; everything that
asks a PC has a deadline, and a PC that does not answer delays nobody who
does not ask for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import random
from collections.abc import Callable, Mapping

import trio

from p2pcs_nova import errors, journal, texts, wire
from p2pcs_nova import layout as layouts
from p2pcs_nova.gateway import book as books
from p2pcs_nova.gateway import (
    claims,
    commands,
    entries,
    fitting,
    groups,
    images,
    instances,
    signals,
    states,
    store,
    story,
)
from p2pcs_nova.gateway import graves as tombs
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import peers as asking
from p2pcs_nova.gateway import reaper as reapers
from p2pcs_nova.gateway import reconciler as reconcilers
from p2pcs_nova.gateway import settling as settlers
from p2pcs_nova.gateway import view as views
from p2pcs_nova.gateway.holdings import Holdings
from p2pcs_nova.policy.partition import Partition

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Parts:
    """What exists while the service runs."""

    book: books.Book
    instances: instances.Instances
    images: images.Images
    teller: story.Teller
    reaper: reapers.Reaper
    reconciler: reconcilers.Reconciler
    settling: settlers.Settling


class GatewayService:
    """Speaks for the slices of a policy.

    :param peer: id of this gateway
    :param name: host name, for people
    :param sign: signs a run right with the gateway's key
    :param verify: opens one that any gateway of the overlay signed
    :param connect: makes a client for one operation on one PC
    :param clock: seconds of CLOCK_BOOTTIME
    :param journal: what this machine has logged of instances
    :param ledger: what several gateways share; None: this is the only one
    :param former: etcd that this one, now alone, shared with others before
    :param era: the admin's word that is in force; None: there is none
    :param run_blocking: how the disk, or etcd, is waited for
    """

    def __init__(
        self,
        *,
        layout: layouts.Layout,
        partition: Partition,
        peer: str,
        name: str,
        sign: Callable[[wire.RunRight], wire.Signed],
        verify: Callable[[wire.Signed], wire.RunRight],
        connect: asking.Connect,
        clock: Callable[[], float],
        journal: journal.Journal,
        rng: random.Random,
        options: config.Options = config.DEFAULTS,
        ledger: books.SharedLedger | None = None,
        former: books.Former | None = None,
        era: settlers.Word = lambda: None,
        run_blocking: books.RunBlocking = trio.to_thread.run_sync,
    ) -> None:
        self._peer = peer
        self._layout = layout
        self._name = name
        self._sign = sign
        self._verify = verify
        self._connect = connect
        self._clock = clock
        self.journal = journal
        self._rng = rng
        self._options = options
        self._ledger = ledger
        self._former = former
        self._era = era
        self._run_blocking = run_blocking
        self._view = views.View(partition)
        self._fitting = fitting.Fitting(self._view)
        self._commands = commands.Commands(clock)
        self._choices: dict[str, groups.Choice] = {}
        self._taking = trio.Lock()
        self._settling = trio.Lock()
        self._taken = signals.Signal()
        self._changed = signals.Signal()
        self._spoken = signals.Signal()
        self._states = states.States(options.settle_s, self._spoken.notify)
        self._parts: _Parts | None = None

    # -- running ------------------------------------------------------------

    async def run(
        self,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; started when the records are read."""
        database = await self._run_blocking(
            store.Store, self._layout.gateway_database
        )
        with contextlib.closing(database):
            book = books.Book(
                database,
                self._ledger or database,
                self._commands,
                self._run_blocking,
            )
            await book.read()
            self._states.begin(await book.next_number())
            async with trio.open_nursery() as nursery:
                self._parts = parts = self._compose(book, database, nursery)
                try:
                    await parts.images.clean()
                    nursery.start_soon(parts.reaper.run)
                    nursery.start_soon(parts.reconciler.run)
                    nursery.start_soon(self._end_lapsed)
                    LOG.info(
                        'gateway %s (%s) may speak for %s',
                        self._name,
                        self._peer,
                        ', '.join(self.slice_names) or 'no slice yet',
                    )
                    task_status.started()
                    await trio.sleep_forever()
                finally:
                    self._parts = None

    def _compose(
        self, book: books.Book, database: store.Store, nursery: trio.Nursery
    ) -> _Parts:
        peers = asking.Peers(self._connect, self._view, self._commands)
        reaper = reapers.Reaper(
            book,
            self._view,
            peers,
            self._options,
            self._clock,
            self._changed,
        )
        tools = claims.Tools(
            book=book,
            view=self._view,
            peers=peers,
            sign=self._sign,
            rng=self._rng,
            options=self._options,
            nursery=nursery,
            changed=self._changed,
            capacity_freed=signals.Signal(),
            buried=reaper.wake,
            choices=self._choices,
        )
        known = instances.Instances(tools, self._states, self._clock)
        reconciler = reconcilers.Reconciler(
            book,
            self._view,
            peers,
            self._states,
            self._options,
            self._clock,
            known.in_hand,
            reaper.wake,
            self._verify,
            self._may_be_lost,
        )
        return _Parts(
            book,
            known,
            images.Images(
                self._layout.images, book, self._verify, self._clock
            ),
            story.Teller(
                tools, known, self.journal, self._explain, self._run_blocking
            ),
            reaper,
            reconciler,
            settlers.Settling(
                self._peer,
                database,
                self._ledger or database,
                self._former,
                self._era,
            ),
        )

    @property
    def slice_names(self) -> tuple[str, ...]:
        """The slices that this gateway may speak for."""
        return self._view.partition.names

    async def occupied(self) -> frozenset[str]:
        """The slices that hold instances, by the books of all gateways.

        :raises Unavailable: they cannot be read now
        """
        return await self._running.book.occupied()

    async def needed(self) -> frozenset[str]:
        """The slices that somebody must command: graves count too.

        :raises Unavailable: that cannot be said now
        """
        return await self.occupied() | await self._running.book.buried()

    # -- terms --------------------------------------------------------------

    async def settle_era(self) -> None:
        """Have terms and epochs come from where we are told; idempotent.

        :raises EraRefused: they may not; says what to do
        :raises Unavailable: that cannot be said now, or not before a policy
            is in force: whoever hands it over tells of the era, too
        """
        if not self.slice_names:
            raise errors.Unavailable('there is no policy yet')
        await self._settle(self._running)

    async def _settle(self, parts: _Parts) -> None:
        # Whoever renews a term does not wait for this.
        async with self._settling:
            others = self._other_gateways()
            if await self._run_blocking(parts.settling.settle, others):
                await parts.book.begun()

    async def era_report(self) -> wire.EraReport:
        """Where terms and epochs come from.

        :raises Unavailable: etcd does not say how far it has come
        """
        return await self._run_blocking(
            self._running.settling.report, self._other_gateways()
        )

    def _other_gateways(self) -> list[str]:
        """Those of the overlay, be they in reach or not."""
        return sorted(
            one.peer
            for one in self._view.peers()
            if one.seen is not None
            and one.seen.role == 'gateway'
            and one.liveness in (*views.REACHABLE, views.Liveness.FAILED)
            and one.peer != self._peer
        )

    def _may_be_lost(self, epoch: wire.Counter) -> bool:
        """Whether an instance that nobody knows may have been known."""
        era = self._era()
        return era is not None and epoch.era <= era.lost

    async def take_term(
        self, name: str, request: wire.TermRequest
    ) -> wire.HeldTerm:
        """Command a slice until then, or go on with it.

        :raises NotFound: there is no such slice
        :raises StaleTerm: the term is over, or a higher one was seen
        :raises EraRefused: terms may not come from our counter
        """
        self.check_slice(name)
        async with self._taking:
            parts = self._running
            if request.term is None:
                await self._settle(parts)
            term = request.term or await parts.book.next_number()
            held = wire.HeldTerm(name, term, request.until_s)
            before = self._commands.highest(name)
            if self._commands.is_news(held):
                await parts.book.open(name)
            try:
                begins = self._commands.take(held)
            except errors.StaleTerm:
                # It has ended meanwhile: others may write about the slice.
                if not self._commands.holds(name):
                    parts.book.close(name)
                raise
            if begins:
                LOG.info('slice %s: term %s begins', name, term)
                self._begin(parts, name, is_new=before != term)
            self._taken.notify()
        return held

    def _begin(self, parts: _Parts, name: str, *, is_new: bool) -> None:
        """Look at all that the slice's PCs hold, as after a restart."""
        if is_new:
            parts.instances.stop(name, _over(name))
        for one in self._view.members(name, self._holdings()):
            parts.reconciler.ask_soon(one.peer)
        parts.reaper.wake.notify()
        self._states.touch(name)

    def end_term(self, command: wire.Command) -> None:
        """Its holder gives a term back.

        :raises StaleTerm: it is over already
        """
        self._commands.give_back(command)
        LOG.info('slice %s: the term is given back', command.slice)
        self._running.instances.stop(command.slice, _over(command.slice))
        self._drop(command.slice)

    def _drop(self, name: str) -> None:
        self._commands.drop(name)
        self._running.book.close(name)
        self._states.touch(name)

    async def _end_lapsed(self) -> None:
        while True:
            for name in self._commands.lapsed():
                LOG.warning('slice %s: its term was not renewed', name)
                self._drop(name)
            due = self._commands.deadline()
            pause_s = math.inf if due is None else due - self._clock()
            with trio.move_on_after(max(pause_s, 0.0)):
                await self._taken.wait()

    async def check_command(self, command: wire.Command) -> None:
        """Refuse what is asked by another term than the slice's.

        :raises StaleTerm: that term is over
        :raises Unavailable: it is not known here, for a while
        """
        await self._wait_for_term(command.slice)
        self._commands.check(command)

    async def check_commanded(self, name: str) -> None:
        """Refuse to act on a slice that is not commanded from here.

        :raises Unavailable: it is not, for a while
        """
        await self._wait_for_term(name)
        self._commands.command(name)

    async def _wait_for_term(self, name: str) -> None:
        """A daemon that was away is told the terms a moment later."""
        with trio.move_on_after(self._options.term_wait_s):
            while not self._commands.holds(name):
                await self._taken.wait()

    # -- feeding ------------------------------------------------------------

    def set_partition(self, partition: Partition) -> None:
        """The slices are so from now on."""
        self._view.partition = partition
        self._changed.notify()

    def peer_changed(self, seen: views.PeerSeen) -> None:
        """The failure detector says how a member is."""
        old = self._view.peer(seen.peer)
        self._view.see(seen)
        new = self._view.peer(seen.peer)
        if old.reachable != new.reachable:
            self._touch_slices_on(seen.peer)
        restarted = old.seen is not None and old.seen.boot != seen.boot
        if new.reachable and (restarted or not old.reachable):
            self._welcome(new)
        self._changed.notify()

    def _welcome(self, one: views.PeerView) -> None:
        LOG.info('%s is here (%s)', one.name, one.liveness)
        if self._parts is not None:
            self._parts.reconciler.ask_soon(one.peer)
            self._parts.reaper.peer_is_back(one.peer)

    def peer_barred(self, peer: str, bar: views.Bar | None) -> None:
        """A PC takes no part, whatever the detector says; None: it does."""
        old = self._view.peer(peer)
        self._view.bar(peer, bar)
        new = self._view.peer(peer)
        if old.reachable != new.reachable:
            self._touch_slices_on(peer)
        if new.reachable and not old.reachable:
            self._welcome(new)
        self._changed.notify()

    def peer_gone(self, peer: str) -> None:
        """A member left: its records are gone, what it holds is not."""
        self._view.drop(peer)
        self._states.drop_peer(peer, self._rows())
        self._touch_slices_on(peer)
        self._changed.notify()

    def peer_record(self, peer: str, record: wire.PeerRecord | None) -> None:
        """A PC says what it offers; None: it says nothing more."""
        is_first = self._view.peer(peer).record is None
        self._view.take_record(peer, record)
        if is_first and self._parts is not None:
            self._parts.reconciler.ask_soon(peer)

    def instances_record(
        self, peer: str, part: str, record: wire.InstancesRecord | None
    ) -> None:
        """A PC says how some of its instances are."""
        self._states.recorded(peer, part, record, self._rows(), self._clock())
        parts = self._parts
        if parts and record and parts.reconciler.concerns(peer, record):
            parts.reconciler.ask_soon(peer)

    def _rows(self) -> entries.Rows:
        """All rows; none before the service runs."""
        parts = self._parts
        return entries.Rows() if parts is None else parts.book.rows

    def _touch_slices_on(self, peer: str) -> None:
        for slice_ in {row.slice for row in self._rows().on(peer)}:
            self._states.touch(slice_)

    # -- answers from memory ------------------------------------------------

    @property
    def _running(self) -> _Parts:
        """All parts.

        :raises Unavailable: the service is starting or stopping
        """
        if self._parts is None:
            raise errors.Unavailable('the gateway is starting or stopping')
        return self._parts

    @property
    def instances(self) -> instances.Instances:
        """Spawn, act, look, destroy."""
        return self._running.instances

    @property
    def images(self) -> images.Images:
        """The images that PCs may fetch."""
        return self._running.images

    async def story(self, server: str) -> wire.Story:
        """What was logged of an instance here and on its PCs."""
        return await self._running.teller.tell(server)

    def _holdings(self) -> Holdings:
        return self._running.book.rows.holdings

    def check_slice(self, name: str) -> None:
        """Refuse a slice that neither policy nor any instance names.

        :raises NotFound: there is no such slice
        """
        rows = self._running.book.rows
        if name not in self.slice_names and not rows.of_slice(name):
            raise errors.NotFound(
                f'there is no slice {name}; the policy has '
                f'{", ".join(self.slice_names) or "none"}'
            )

    def slice_summary(self, name: str) -> wire.SliceSummary:
        """One slice as Placement sees it."""
        self.check_slice(name)
        return self._view.summarize(
            name, self._commands.term(name), self._holdings()
        )

    def slices(self) -> wire.SliceRows:
        """All that are not closed, drained ones last."""
        return wire.SliceRows(
            tuple(self.slice_summary(name) for name in self.slice_names)
        )

    async def holders(self) -> wire.Holders:
        """Which gateway commands each slice.

        :raises Unavailable: what gateways share cannot be read now
        """
        if self._ledger is None:
            mine = self._commands.held()
            return wire.Holders(dict.fromkeys(mine, self._name))
        return wire.Holders(await self._run_blocking(self._ledger.holders))

    async def fits(
        self, request: wire.FitRequest, request_id: str
    ) -> wire.Fits:
        """Which slices can take such an instance now, by the records.

        :raises NotFound: a slice is wished that there is not, or that
            takes nothing new
        :raises Malformed: the query is none
        """
        if request.wishes.slice:
            self.check_slice(request.wishes.slice)
        elsewhere = await self._elsewhere(request.group)
        rows = self._running.book.rows
        found = await self._fitting.answer(
            request, rows, self._choices.values(), elsewhere
        )
        for instance in request.instances:
            LOG.info(
                '[%s] instance %s: a slice is looked for; %s',
                texts.or_dash(request_id),
                instance,
                fitting.fits_to_text(found),
            )
        wished, open_ = request.wishes.slice, self._view.partition.open
        if wished and wished not in open_:
            raise errors.NotFound(
                f'slice {wished} is drained: it takes nothing new; the '
                f'policy has {", ".join(open_) or "none"}'
            )
        return found

    async def _explain(self, instance: str) -> tuple[wire.PeerFit, ...]:
        """What the PCs say to an instance that is on none of them."""
        request = self._fitting.asked(instance)
        if request is None:
            return ()
        elsewhere = await self._elsewhere(request.group)
        rows = self._rows()
        if instance in rows:
            return ()
        return await self._fitting.explain(
            request, rows, self._choices.values(), elsewhere
        )

    async def _elsewhere(
        self, group: wire.ServerGroup | None
    ) -> Mapping[str, str]:
        """PC by instance of a group that has limits, whoever wrote it down.

        Nothing if etcd does not say in time: then only our own count, and
        who commands a slice refuses what its PCs must not have.
        """
        if (
            self._ledger is None
            or group is None
            or group.policy not in groups.LIMITS
        ):
            return {}
        try:
            with trio.fail_after(self._options.group_timeout_s):
                return await self._run_blocking(
                    self._ledger.of_group, group.id, abandon_on_cancel=True
                )
        except (errors.Unavailable, trio.TooSlowError) as error:
            LOG.warning(
                'where other gateways have servers of group %s is not '
                'known: %s',
                group.id,
                str(error) or 'etcd does not answer in time',
            )
            return {}

    def wishable(self) -> wire.Wishable:
        """What a wish can name."""
        return wire.Wishable(
            self._view.vocabulary(), self._view.partition.open
        )

    def peer_rows(self) -> wire.PeerRows:
        """Every member of the overlay, and every PC that holds anything."""
        return wire.PeerRows(tuple(self._view.rows(self._holdings())))

    async def placed_rows(self) -> wire.PlacedRows:
        """All instances of all slices, whichever gateway commands them.

        :raises Unavailable: what gateways share cannot be read now
        """
        rows = await self._running.book.all_rows()
        rows.sort(key=lambda row: row.instance)
        return wire.PlacedRows(tuple(map(self.instances.placed, rows)))

    async def graves(self) -> wire.Graves:
        """All tombstones, likewise.

        :raises Unavailable: what gateways share cannot be read now
        """
        return tombs.to_wire(await self._running.book.all_graves())

    def placements(self, name: str) -> wire.Placements:
        """Every instance of a slice, as last heard."""
        self.check_slice(name)
        return wire.Placements(
            name,
            tuple(self.instances.rows(name)),
            self._states.revision(name, self._clock()),
        )

    def quarantined(self) -> wire.QuarantinedRows:
        """What PCs keep that no gateway knows, as their records say."""
        return wire.QuarantinedRows(
            tuple(
                wire.Quarantined(
                    instance, epoch, peer, self._view.peer(peer).name
                )
                for peer, instance, epoch in self._states.quarantined()
            )
        )

    async def wait_placements(
        self, name: str, after: int, wait_s: float
    ) -> wire.Placements:
        """The same, once its revision is higher than ``after``.

        :param wait_s: at most so long; then the answer is as it is
        """
        end = self._clock() + min(wait_s, self._options.poll_limit_s)
        while (now := self._clock()) < end and self._states.revision(
            name, now
        ) <= after:
            due = self._states.deadline(name)
            until = end if due is None else min(end, due)
            with trio.move_on_after(max(until - now, 0.0)):
                await self._spoken.wait()
        return self.placements(name)


def _over(name: str) -> errors.StaleTerm:
    return errors.StaleTerm(f'the term of slice {name} is over')
