# SPDX-License-Identifier: Apache-2.0
"""All that a PC does, behind one object that the daemon embeds.

The service starts whatever the state of libvirt is: without it the PC
offers nothing, says why, and offers again when libvirt is back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
import uuid as uuids
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import msgspec
import trio

from p2pcs_nova import errors, journal, wire
from p2pcs_nova.layout import Layout
from p2pcs_nova.peer import (
    capacity,
    console,
    disks,
    filters,
    images,
    networks,
    terms,
)
from p2pcs_nova.peer.authority import Authority, GatewayKey
from p2pcs_nova.peer.builder import Builder
from p2pcs_nova.peer.capacity import OwnerRules
from p2pcs_nova.peer.copies import Copies
from p2pcs_nova.peer.errands import Errands
from p2pcs_nova.peer.health import MEMINFO, Health, Probe
from p2pcs_nova.peer.hypervisor import Hypervisor
from p2pcs_nova.peer.instances import FetchImage, Instances
from p2pcs_nova.peer.memories import Memories
from p2pcs_nova.peer.power import PowerSwitch
from p2pcs_nova.peer.reservations import Grant, Reservations
from p2pcs_nova.peer.steps import Passed, Step, log_step
from p2pcs_nova.peer.store import Store
from p2pcs_nova.peer.watch import Watch
from p2pcs_nova.policy.document import ALL_ONCE, Ratios

LOG = logging.getLogger(__name__)

T = TypeVar('T')
Ts = TypeVarTuple('Ts')

RESYNC_S = 10.0
"""How often everything is looked at, whatever the events say."""
RETRY_S = 2.0
"""The same while something is wrong."""
FRESH_S = 3.0
"""How long a look at one instance may hold up the answer."""


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What the daemon gives to the service."""

    peer_id: str
    name: str
    boot_id: str
    release: str
    clock: Callable[[], float]
    """Seconds of CLOCK_BOOTTIME."""
    gateway_key: GatewayKey
    fetch_image: FetchImage
    journal: journal.Journal
    on_change: Callable[[], None]
    """The records may have changed; called in the trio thread."""
    probe: Probe | None = None
    """Whether KVM works here; None: it is not even tried."""
    measured: Callable[[], wire.Attributes] = dict
    """What is known of this PC now, its owner's words aside."""


class PeerService:
    """One PC.  Opens its database at once.

    :param reservation_s: how long a claim's grant lasts
    :param restore_after_s: nothing is run again earlier after the start:
        a cloned disk is found out meanwhile
    :param emulator: QEMU binary; '' lets libvirt choose
    :param apply_filters: makes nftables match a set of ports
    :param passed: told of every durable step
    """

    def __init__(
        self,
        layout: Layout,
        rules: OwnerRules,
        hypervisor: Hypervisor,
        around: Surroundings,
        *,
        reservation_s: float = 30.0,
        restore_after_s: float = 0.0,
        emulator: str = '',
        apply_filters: filters.Apply = filters.apply,
        sysfs: pathlib.Path = networks.SYSFS,
        meminfo: pathlib.Path = MEMINFO,
        passed: Passed = log_step,
    ) -> None:
        self._rules = rules
        self._hypervisor = hypervisor
        self._around = around
        self._passed = passed
        self._store = Store(layout.peer_database)
        loaded = self._store.load()
        self._authority = Authority(
            self._store,
            terms.Terms(loaded.terms),
            around.peer_id,
            around.gateway_key,
            passed,
        )
        self._draining = loaded.draining
        self._chosen = loaded.slice
        self._drained: frozenset[str] = frozenset()
        """Slices that take nothing new."""
        self._ratios = ALL_ONCE
        self._layout = layout
        self._sysfs = sysfs
        self._health = Health(
            layout, rules, hypervisor, sysfs, meminfo, self._images_in_use
        )
        self._problem = ''
        self._restore_at = around.clock() + restore_after_s
        self._out: dict[str, str] = {}
        """Why this PC is to take no part, by cause."""
        self._errands = Errands()
        self._expiries = trio.Event()
        self._look_again = trio.Event()
        self._reservations = Reservations(
            self._health.finding.offer, reservation_s
        )
        self._watch = Watch(hypervisor, around.on_change)
        self._images = images.Images(
            layout.images, self._images_in_use, self._spared
        )
        self._filters = filters.Filters(apply_filters)
        self._builder = Builder(
            layout,
            hypervisor,
            self._images,
            self._filters,
            rules.bridge_mappings,
            emulator,
            passed,
        )
        memories = Memories(
            hypervisor, self._builder, self._reservations, passed
        )
        self._instances = Instances(
            self._store,
            self._reservations,
            self._watch,
            self._builder,
            PowerSwitch(
                hypervisor, self._watch, self._builder, memories, passed
            ),
            memories,
            Copies(
                hypervisor,
                self._watch,
                self._builder,
                self._reservations,
                passed,
            ),
            around.fetch_image,
            around.on_change,
            passed,
        )
        self._instances.load(loaded)
        self._images.open()
        layout.instances.mkdir(parents=True, exist_ok=True)
        for folder in (layout.root, layout.instances):
            # QEMU may run as another user: it must pass, not list.
            folder.chmod(0o711)

    def _images_in_use(self) -> frozenset[str]:
        return self._instances.images_in_use()

    def _spared(self) -> int:
        """Bytes of the disk that no image may take. Blocks.

        What the owner keeps, and what instances were promised but have
        not yet written: their disks are sparse.
        """
        promised = self._reservations.promised().disk_mb * 2**20
        written = disks.allocated_bytes(self._layout.instances)
        kept = self._rules.keep_disk_mb if self._rules.disk_mb is None else 0
        return max(kept * 2**20, images.KEEP_FREE) + max(promised - written, 0)

    # -- running ------------------------------------------------------------

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; guests run on after the end."""
        try:
            async with trio.open_nursery() as nursery:
                self._errands.open(nursery)
                nursery.start_soon(self._watch.run)
                nursery.start_soon(self._expire)
                nursery.start_soon(self._resync)
                task_status.started()
        finally:
            self._errands.close()
            with trio.CancelScope(shield=True):
                await self._hypervisor.close()
                await trio.to_thread.run_sync(self._store.close)

    async def _resync(self) -> None:
        """Keep our view, the filters and the offer as they should be."""
        restored = False
        looked_at = self._around.clock()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._probe)
            while True:
                self._look_again = trio.Event()
                try:
                    await trio.to_thread.run_sync(self._show_bridges)
                    if restored:
                        await self._filters.renew()
                    else:
                        await self._filters.restore(self._instances.ports())
                        restored = True
                    await self._watch.refresh_all()
                    now = self._around.clock()
                    elapsed_s, looked_at = now - looked_at, now
                    await self._instances.reconcile(elapsed_s)
                    await trio.to_thread.run_sync(self._store.lay_ballast)
                    await self._health.measure()
                    self._problem = ''
                except errors.P2PcsError as error:
                    self._find_problem(error)
                self._publish_offer()
                with trio.move_on_after(
                    RETRY_S if self._problem else RESYNC_S
                ):
                    await self._look_again.wait()

    def _show_bridges(self) -> None:
        networks.show_to_netfilter(self._rules.bridge_mappings, self._sysfs)

    async def _probe(self) -> None:
        await self._health.probe(self._around.probe)
        self._around.on_change()
        self._look_again.set()

    def _find_problem(self, error: errors.P2PcsError) -> None:
        if error.message != self._problem:
            LOG.warning('this PC offers nothing: %s', error.message)
        self._problem = error.message
        self._health.fail(error.message)

    def _publish_offer(self) -> None:
        offer = self._health.finding.offer
        if self._out:
            offer = capacity.nothing('; '.join(self._out.values()))
        offer = msgspec.structs.replace(
            offer, total=self._ratios.apply(offer.total)
        )
        if offer != self._reservations.offer:
            self._reservations.set_offer(offer)
            self._around.on_change()

    async def _expire(self) -> None:
        """End grants at their deadlines."""
        while True:
            deadline = self._reservations.deadline()
            changed = self._expiries
            with trio.move_on_after(
                float('inf')
                if deadline is None
                else max(deadline - self._around.clock(), 0)
            ):
                await changed.wait()
            if self._reservations.expire(self._around.clock()):
                self._around.on_change()
            await trio.lowlevel.checkpoint()

    def _look_at_expiries(self) -> None:
        self._expiries.set()
        self._expiries = trio.Event()

    # -- from memory --------------------------------------------------------

    @property
    def bound(self) -> str:
        """The slice that this PC holds anything for; '' if free."""
        return self._reservations.slice()

    @property
    def slice(self) -> str:
        """The slice that this PC is in; '' if none."""
        return self.bound or self._chosen

    @property
    def draining(self) -> bool:
        """Whether it is closed to new claims."""
        return self._draining

    def offer(self) -> wire.Offer:
        """What it offers now."""
        return self._reservations.offer

    def used(self) -> wire.Capacity:
        """What run rights hold."""
        return self._reservations.held()

    def statuses(self) -> tuple[wire.InstanceStatus, ...]:
        """Every instance."""
        return self._instances.statuses()

    def reasons(self) -> tuple[str, ...]:
        """Why this offer, and what is wrong, in plain sentences."""
        found = list(self._health.finding.reasons)
        if self._draining:
            found.append('draining: no new instances are taken')
        found += [
            f'domain {d.mark.instance} carries our mark, but no run right '
            'for it is known here; it is left alone'
            for d in self._instances.strangers()
        ]
        return tuple(found)

    def attributes(self) -> wire.Attributes:
        """What it says of itself: its owner's words before what it found."""
        found = dict(self._around.measured())
        if self._health.kvm is not None:
            found['kvm'] = self._health.kvm
        return found | dict(self._rules.attributes)

    def record(self) -> wire.PeerRecord:
        """What is gossiped of this PC."""
        return wire.PeerRecord(
            name=self._around.name,
            offer=self.offer(),
            attributes=self.attributes(),
            used=self.used(),
            slice=self.slice,
            draining=self._draining,
            release=self._around.release,
        )

    # -- taking no part -----------------------------------------------------

    def put_out(self, why: str, reason: str) -> None:
        """Offer nothing and start nothing; what runs here runs on.

        :param why: one of several causes, each of which suffices
        :param reason: for people; '' when this cause is over
        """
        self._out.pop(why, None)
        if reason:
            self._out[why] = reason
        self._publish_offer()

    def _take_part(self) -> None:
        """Whether this PC takes commands that make anything run.

        :raises PutOut: it does not
        """
        for reason in self._out.values():
            raise errors.PutOut(reason)

    async def let_go(self, force: bool) -> None:
        """Take nothing new for good, and hold nothing.

        :param force: destroy what is here
        :raises WrongState: something is, and no ``force``; as before
        :raises P2PcsError: it could not be destroyed; takes part again
        """
        here = self.statuses()
        if here and not force:
            raise errors.WrongState(
                f'this PC holds {len(here)} '
                f'instance{"" if len(here) == 1 else "s"}: have them deleted '
                'first (`p2pcs-peer drain` keeps others away), or leave with '
                '--force, which destroys them'
            )
        self.put_out('leaving', 'this PC leaves the overlay')
        try:
            for one in here:
                LOG.warning('[instance %s] destroyed: leaving', one.instance)
                tombstone = wire.Tombstone(one.instance, one.epoch)
                await self._errand(self._instances.bury, tombstone)
        except errors.P2PcsError:
            self.put_out('leaving', '')
            raise

    # -- the owner ----------------------------------------------------------

    async def drain(self, draining: bool) -> None:
        """Close the PC to new claims, or open it again; durable."""
        await trio.to_thread.run_sync(self._store.put_draining, draining)
        self._passed(Step.DRAIN_STORED, '')
        self._draining = draining
        self._around.on_change()

    # -- slices -------------------------------------------------------------

    async def choose(
        self,
        name: str,
        drained: frozenset[str] = frozenset(),
        ratios: Ratios = ALL_ONCE,
    ) -> None:
        """Be in this slice, as soon as nothing is held for another one.

        :param name: '' for none
        :param drained: slices that take nothing new
        :param ratios: how much is given of what this PC has to offer
        """
        self._drained = drained
        if ratios != self._ratios:
            self._ratios = ratios
            self._publish_offer()
        if name == self._chosen:
            return
        LOG.info(
            'this PC is in %s now, not in %s',
            f'slice {name}' if name else 'no slice',
            f'slice {self._chosen}' if self._chosen else 'any',
        )
        self._chosen = name
        self._around.on_change()
        try:
            await trio.to_thread.run_sync(self._store.put_slice, name)
        except errors.NoSpace as error:
            # It is found anew after the next start.
            LOG.warning('the slice is not stored: %s', error)

    def _serve(self, slice_: str) -> None:
        """Whether this PC takes anything new for a slice.

        :raises Draining: nobody does
        :raises OtherSlice: this PC is in another one
        """
        if slice_ in self._drained:
            raise errors.Draining(f'slice {slice_} is being drained')
        if self.slice and self.slice != slice_:
            raise errors.OtherSlice(f'this PC is in slice {self.slice} now')

    # -- gateways -----------------------------------------------------------

    def _mine(self, command: wire.Command, instance: str) -> None:
        """Whether the instance is the slice's.

        :raises NotFound: no such instance
        :raises OtherSlice: it is another slice's
        """
        owner = self._instances.entry(instance).right.slice
        if owner != command.slice:
            raise errors.OtherSlice(
                f'instance {instance} belongs to slice {owner}'
            )

    async def claim(
        self, command: wire.Command, claim: wire.Claim
    ) -> wire.Reservation:
        """Promise capacity for a while."""
        await self._authority.obey(command)
        self._take_part()
        if self._draining:
            raise errors.Draining('this PC takes no new instances')
        self._serve(command.slice)
        now = self._around.clock()
        grant: Grant = self._reservations.claim(
            command.slice, claim, str(uuids.uuid4()), now
        )
        self._look_at_expiries()
        self._around.on_change()
        return wire.Reservation(
            id=grant.id,
            expires_s=grant.deadline - now,
            free=self._reservations.free(),
            has_image=claim.image is not None
            and self._images.has(claim.image),
        )

    async def release(self, command: wire.Command, reservation: str) -> None:
        """Give a promise back; one that is gone is no error."""
        await self._authority.obey(command)
        self._reservations.release(reservation)
        self._around.on_change()

    async def build(
        self, command: wire.Command, instance: str, request: wire.BuildRequest
    ) -> wire.InstanceStatus:
        """Confirm a reservation and build; returns when PLUGGED."""
        await self._authority.obey(command)
        self._take_part()
        right = self._authority.check_right(command, instance, request)
        return await self._errand(
            self._instances.build,
            right,
            request,
            self._health.accelerator,
            self._around.clock,
        )

    async def _errand(
        self, work: Callable[[*Ts], Awaitable[T]], *args: *Ts
    ) -> T:
        """Do it even if the caller goes; if it fails, look what is left."""
        try:
            return await self._errands.run(work, *args)
        except errors.P2PcsError:
            self._look_again.set()
            raise

    async def act(
        self,
        command: wire.Command,
        instance: str,
        request: wire.ActionRequest,
    ) -> wire.InstanceStatus:
        """Start, stop, reboot, pause, suspend."""
        await self._authority.obey(command)
        if request.action is wire.Action.RESTORE:
            await trio.sleep(max(self._restore_at - self._around.clock(), 0))
            # Another gateway may have followed this one meanwhile.
            await self._authority.obey(command)
        self._take_part()
        self._mine(command, instance)
        return await self._errand(
            self._instances.act, instance, request, self._health.accelerator
        )

    async def filter(
        self,
        command: wire.Command,
        instance: str,
        request: wire.FilterRequest,
    ) -> None:
        """From now on this may pass at its ports; durable."""
        await self._authority.obey(command)
        self._mine(command, instance)
        await self._errand(self._instances.filter, instance, request)

    @contextlib.asynccontextmanager
    async def snapshot(
        self,
        command: wire.Command,
        instance: str,
        request: wire.SnapshotRequest,
    ) -> AsyncIterator[pathlib.Path]:
        """A copy of its disk; nothing is left of it after the context."""
        await self._authority.obey(command)
        self._mine(command, instance)
        async with self._instances.copied(instance, request) as copy:
            yield copy

    async def bury(
        self, command: wire.Command, instance: str, tombstone: wire.Tombstone
    ) -> None:
        """This epoch must not run; returns when nothing of it is left."""
        await self._authority.obey(command)
        if tombstone.instance != instance:
            raise errors.Malformed("the tombstone is another instance's")
        try:
            self._mine(command, instance)
        except errors.NotFound:
            LOG.info('[instance %s] buried before it was here', instance)
        await self._errand(self._instances.bury, tombstone)

    async def instances(self, command: wire.Command) -> wire.InstanceList:
        """Everything that this PC holds."""
        await self._authority.obey(command)
        return wire.InstanceList(
            self._around.peer_id, self._around.boot_id, self.statuses()
        )

    async def instance(
        self, command: wire.Command, instance: str
    ) -> wire.InstanceStatus:
        """One of them, looked at now if libvirt answers."""
        await self._authority.obey(command)
        self._mine(command, instance)
        try:
            with trio.move_on_after(FRESH_S):
                await self._watch.refresh(instance)
        except errors.P2PcsError as error:
            LOG.info('[instance %s] last known: %s', instance, error.message)
        return self._instances.status(self._instances.entry(instance))

    async def console(
        self, command: wire.Command, instance: str, length: int
    ) -> wire.Console:
        """The end of its serial console."""
        await self._authority.obey(command)
        self._mine(command, instance)
        log = self._builder.console(self._instances.entry(instance))
        output = await trio.to_thread.run_sync(console.read_tail, log, length)
        return wire.Console(instance, output)

    async def story(
        self, command: wire.Command, instance: str
    ) -> wire.Chapter:
        """What was logged here of an instance, be it gone or not."""
        await self._authority.obey(command)
        return await trio.to_thread.run_sync(
            self._around.journal.chapter, instance
        )

    async def diagnostics(
        self, command: wire.Command, instance: str
    ) -> wire.Diagnostics:
        """Its counters."""
        await self._authority.obey(command)
        self._mine(command, instance)
        return await self._hypervisor.diagnostics(instance)
