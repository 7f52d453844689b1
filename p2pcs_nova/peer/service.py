# SPDX-License-Identifier: Apache-2.0
"""All that a PC does, behind one object that the daemon embeds.

The service starts whatever the state of libvirt is: without it the PC
offers nothing, says why, and offers again when libvirt is back.
"""

from __future__ import annotations

import logging
import pathlib

import msgspec
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.layout import Layout
from p2pcs_nova.peer import capacity, disks, filters, images, networks, terms
from p2pcs_nova.peer.authority import Authority
from p2pcs_nova.peer.builder import Builder
from p2pcs_nova.peer.capacity import OwnerRules
from p2pcs_nova.peer.copies import Copies
from p2pcs_nova.peer.errands import Errands
from p2pcs_nova.peer.grants import Grants
from p2pcs_nova.peer.health import MEMINFO, Health
from p2pcs_nova.peer.hypervisor import Hypervisor
from p2pcs_nova.peer.instances import Instances
from p2pcs_nova.peer.memories import Memories
from p2pcs_nova.peer.orders import Orders
from p2pcs_nova.peer.power import PowerSwitch
from p2pcs_nova.peer.reservations import Reservations
from p2pcs_nova.peer.standing import Standing
from p2pcs_nova.peer.steps import Passed, log_step
from p2pcs_nova.peer.store import Store
from p2pcs_nova.peer.surroundings import Surroundings
from p2pcs_nova.peer.watch import Watch
from p2pcs_nova.policy.document import ALL_ONCE, Ratios

LOG = logging.getLogger(__name__)

RESYNC_S = 10.0
"""How often everything is looked at, whatever the events say."""
RETRY_S = 2.0
"""The same while something is wrong."""


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
        self._store = Store(layout.peer_database)
        loaded = self._store.load()
        self._ratios = ALL_ONCE
        self._layout = layout
        self._sysfs = sysfs
        self._health = Health(
            layout, rules, hypervisor, sysfs, meminfo, self._images_in_use
        )
        self._problem = ''
        self._look_again = trio.Event()
        self._errands = Errands(self._look)
        self._reservations = Reservations(
            self._health.finding.offer, reservation_s
        )
        self._grants = Grants(
            self._reservations, around.clock, around.on_change
        )
        self.standing = Standing(
            self._store,
            loaded,
            self._reservations.slice,
            around.on_change,
            passed,
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
        self.orders = Orders(
            around,
            Authority(
                self._store,
                terms.Terms(loaded.terms),
                around.peer_id,
                around.gateway_key,
                passed,
            ),
            self.standing,
            self._grants,
            self._reservations,
            self._images,
            self._instances,
            self._health,
            self._errands,
            around.clock() + restore_after_s,
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
                nursery.start_soon(self._grants.run)
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
        self._look()

    def _look(self) -> None:
        """Look at everything now."""
        self._look_again.set()

    def _find_problem(self, error: errors.P2PcsError) -> None:
        if error.message != self._problem:
            LOG.warning('this PC offers nothing: %s', error.message)
        self._problem = error.message
        self._health.fail(error.message)

    def _publish_offer(self) -> None:
        offer = self._health.finding.offer
        if self.standing.out:
            offer = capacity.nothing(self.standing.out)
        offer = msgspec.structs.replace(
            offer, total=self._ratios.apply(offer.total)
        )
        if offer != self._reservations.offer:
            self._reservations.set_offer(offer)
            self._around.on_change()

    # -- from memory --------------------------------------------------------

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
        if self.standing.draining:
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
            slice=self.standing.slice,
            draining=self.standing.draining,
            release=self._around.release,
        )

    # -- taking no part -----------------------------------------------------

    def put_out(self, why: str, reason: str) -> None:
        """Offer nothing and start nothing; what runs here runs on.

        :param why: one of several causes, each of which suffices
        :param reason: for people; '' when this cause is over
        """
        self.standing.put_out(why, reason)
        self._publish_offer()

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
                await self._errands.run(self._instances.bury, tombstone)
        except errors.P2PcsError:
            self.put_out('leaving', '')
            raise

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
        if ratios != self._ratios:
            self._ratios = ratios
            self._publish_offer()
        await self.standing.choose(name, drained)
