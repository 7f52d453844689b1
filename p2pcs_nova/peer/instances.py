# SPDX-License-Identifier: Apache-2.0
"""The instances of a PC: built, commanded, buried, and put right.

The rules of the state machine:

1. A run right is stored before anything of it is made, and forgotten
   after everything of it is gone.
2. A tombstone is stored at once; whatever is under way for its instance
   is cancelled.  A stored right that a tombstone covers is taken away,
   however often the daemon ends meanwhile.
3. One operation at a time for each instance; they wait in order.
4. A build that was interrupted is finished if its domain exists, else
   undone and FAILED.  A running guest is never touched by a restart.
5. A guest that the end of the machine has stopped WAITS: only its
   gateway's word, which names the epoch, starts it again.
6. What its gateway does not know is frozen and kept in quarantine, and
   taken away when this PC has been on for so long; if the gateway
   remembers it meanwhile, it is as it was.
"""

from __future__ import annotations

import contextlib
import logging
import pathlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import console, filters, states
from p2pcs_nova.peer.builder import Builder
from p2pcs_nova.peer.copies import Copies
from p2pcs_nova.peer.hypervisor import Domain, Power
from p2pcs_nova.peer.memories import Memories
from p2pcs_nova.peer.power import PowerSwitch
from p2pcs_nova.peer.quarantine import Quarantine
from p2pcs_nova.peer.register import Register
from p2pcs_nova.peer.reservations import Reservations
from p2pcs_nova.peer.steps import Passed, Step
from p2pcs_nova.peer.store import Entry, Loaded, Stage, Store
from p2pcs_nova.peer.watch import Watch

LOG = logging.getLogger(__name__)

FRESH_S = 3.0
"""How long a look at one instance may hold up the answer."""
FetchImage = Callable[
    [str, wire.Signed], AbstractAsyncContextManager[AsyncIterator[bytes]]
]
"""From the gateway that signed the run right, the image of this digest."""


class Instances:
    """All instances of one PC."""

    def __init__(
        self,
        store: Store,
        reservations: Reservations,
        watch: Watch,
        builder: Builder,
        switch: PowerSwitch,
        memories: Memories,
        copies: Copies,
        fetch_image: FetchImage,
        on_change: Callable[[], None],
        passed: Passed,
    ) -> None:
        self._register = Register(store, on_change, passed)
        self._reservations = reservations
        self._watch = watch
        self._builder = builder
        self._switch = switch
        self._memories = memories
        self._copies = copies
        self._fetch_image = fetch_image
        self._on_change = on_change
        self._quarantine = Quarantine(self._register, watch, switch)
        self._locks: dict[str, trio.Lock] = {}
        self._scopes: dict[
            str, tuple[wire.Counter | None, trio.CancelScope]
        ] = {}
        """Of the operation that goes on, and of which epoch it is."""

    # -- what is there ------------------------------------------------------

    def load(self, loaded: Loaded) -> None:
        """Begin with what was stored."""
        self._register.load(loaded)
        for entry in self._register.alive():
            self._reservations.hold(entry.right, entry.spec.need)
            self._memories.load(entry)

    def entry(self, instance: str) -> Entry:
        """The stored right of an instance.

        :raises NotFound: there is none
        """
        return self._register.entry(instance)

    def ports(self) -> dict[str, tuple[wire.Vif, ...]]:
        """The ports of all that is not FAILED."""
        return {
            entry.right.instance: entry.spec.vifs
            for entry in self._register.alive()
        }

    def images_in_use(self) -> frozenset[str]:
        """The digests that run rights name."""
        return frozenset(
            entry.spec.image.digest for entry in self._register.alive()
        )

    def status(self, entry: Entry) -> wire.InstanceStatus:
        """What we say of an instance, from memory."""
        instance = entry.right.instance
        state, detail = states.find_state(
            entry,
            self._watch.domain(instance),
            self._watch.reached,
            self._memories.has(entry),
        )
        return wire.InstanceStatus(
            instance=instance,
            epoch=entry.right.epoch,
            slice=entry.right.slice,
            state=state,
            need=entry.spec.need,
            detail=detail,
        )

    async def look(self, instance: str) -> wire.InstanceStatus:
        """The same, looked at now if libvirt answers soon.

        :raises NotFound: no such instance
        """
        try:
            with trio.move_on_after(FRESH_S):
                await self._watch.refresh(instance)
        except errors.P2PcsError as error:
            LOG.info('[instance %s] last known: %s', instance, error.message)
        return self.status(self.entry(instance))

    async def console(self, instance: str, length: int) -> bytes:
        """The last bytes of what it has said on its serial console.

        :raises NotFound: no such instance
        """
        log = self._builder.console(self.entry(instance))
        return await trio.to_thread.run_sync(console.read_tail, log, length)

    async def diagnostics(self, instance: str) -> wire.Diagnostics:
        """Its counters.

        :raises NotFound: no such instance
        """
        return await self._watch.diagnostics(instance)

    def statuses(self) -> tuple[wire.InstanceStatus, ...]:
        """All of them, by uuid."""
        return tuple(
            self.status(self.entry(name))
            for name in sorted(self._register.instances())
        )

    def strangers(self) -> tuple[Domain, ...]:
        """Domains that carry our mark, but no right of ours is known."""
        return tuple(
            d
            for d in self._watch.domains()
            if self._register.find(d.mark.instance) is None
        )

    # -- operations ---------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _operation(
        self, instance: str, epoch: wire.Counter | None
    ) -> AsyncIterator[None]:
        """Alone with this instance, until a tombstone of this epoch comes.

        :raises StaleEpoch: a tombstone has ended it
        """
        lock = self._locks.setdefault(instance, trio.Lock())
        async with lock:
            with trio.CancelScope() as scope:
                self._scopes[instance] = epoch, scope
                try:
                    yield
                finally:
                    del self._scopes[instance]
            if scope.cancelled_caught:
                raise errors.StaleEpoch(
                    f'instance {instance} has been destroyed meanwhile'
                )

    async def build(
        self,
        right: wire.RunRight,
        request: wire.BuildRequest,
        accelerator: wire.Accelerator,
        now: Callable[[], float],
    ) -> wire.InstanceStatus:
        """Confirm the reservation and build, up to PLUGGED.

        The same right again gives the same answer, or the same error.
        """
        async with self._operation(right.instance, right.epoch):
            self._register.check_epoch(right)
            known = self._register.find(right.instance)
            if known is not None and known.right.epoch == right.epoch:
                return self._answer_again(known, request)
            entry = Entry(right, request.run_right, request.spec)
            await self._builder.check(entry, accelerator)
            reserved = request.reservation, right, entry.spec.need
            self._reservations.check(*reserved, now())
            if known is not None:
                await self._register.bury(
                    wire.Tombstone(right.instance, known.right.epoch)
                )
                await self._take_away(known)
            self._reservations.confirm(*reserved, now())
            with contextlib.ExitStack() as undo:
                undo.callback(self._let_go, right)
                await self._register.put(entry, Step.RIGHT_STORED)
                undo.pop_all()
            return await self._make(entry, accelerator)

    def _let_go(self, right: wire.RunRight) -> None:
        """A right was not stored: nobody else would end its hold."""
        self._reservations.drop(right.instance, right.epoch)
        self._on_change()

    def _answer_again(
        self, known: Entry, request: wire.BuildRequest
    ) -> wire.InstanceStatus:
        if known.signed.payload != request.run_right.payload:
            raise errors.BadRunRight('this epoch was given out differently')
        if known.stage in (Stage.UNDOING, Stage.FAILED):
            raise errors.from_code(known.code, known.detail)
        if known.stage is Stage.BUILDING:
            raise errors.HypervisorBusy(
                'its build was interrupted and is being undone'
            )
        return self.status(known)

    async def _make(
        self, entry: Entry, accelerator: wire.Accelerator
    ) -> wire.InstanceStatus:
        def fetch() -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
            return self._fetch_image(entry.spec.image.digest, entry.signed)

        try:
            await self._builder.build(entry, accelerator, fetch)
        except errors.P2PcsError as error:
            LOG.warning(
                '[instance %s] not built: %s', entry.right.instance, error
            )
            try:
                await self._fail(entry, error)
            except errors.P2PcsError as undoing:
                LOG.warning(
                    '[instance %s] not yet undone: %s',
                    entry.right.instance,
                    undoing,
                )
            raise
        built = msgspec.structs.replace(entry, stage=Stage.BUILT)
        await self._register.put(built, Step.BUILT_STORED)
        await self._watch.refresh(entry.right.instance)
        self._on_change()
        return self.status(built)

    async def _fail(self, entry: Entry, error: errors.P2PcsError) -> None:
        """A build has failed: nothing turns it into a success again.

        A hypervisor that does not answer is not asked to undo it while
        somebody waits who could try another PC: it is put right later.
        """
        failed = msgspec.structs.replace(
            entry, stage=Stage.UNDOING, code=error.code, detail=error.message
        )
        await self._register.put(failed, Step.FAILURE_STORED)
        if not isinstance(error, errors.HypervisorBusy):
            await self._undo(failed)

    async def _undo(self, entry: Entry) -> None:
        instance, epoch = entry.right.instance, entry.right.epoch
        await self._builder.take_away(instance, epoch)
        self._reservations.drop(instance, epoch)
        undone = msgspec.structs.replace(entry, stage=Stage.FAILED)
        await self._register.put(undone, Step.UNDONE_STORED)

    async def act(
        self,
        instance: str,
        request: wire.ActionRequest,
        accelerator: wire.Accelerator,
    ) -> wire.InstanceStatus:
        """Start, stop, reboot, pause, suspend.

        :raises StaleEpoch: another epoch is here
        :raises WrongState: not in this state
        """
        async with self._operation(instance, request.epoch):
            entry = self._register.of_epoch(instance, request.epoch)
            await self._watch.refresh(instance)
            if request.action is wire.Action.RESTORE:
                entry = await self._restore(entry, accelerator)
            elif request.action is wire.Action.QUARANTINE:
                entry = await self._quarantine.begin(entry)
            else:
                entry = await self._obey(entry, request, accelerator)
            self._on_change()
            return self.status(entry)

    async def _obey(
        self,
        entry: Entry,
        request: wire.ActionRequest,
        accelerator: wire.Accelerator,
    ) -> Entry:
        """What a user asks for."""
        state = self.status(entry).state
        states.check_action(entry, state, request.action)
        # A guest whose memory finds no room goes on as it is wished.
        if request.action is not wire.Action.SUSPEND:
            entry = await self._wish(entry, request.action)
        await self._switch.act(
            entry, request.action, request.timeout_s, accelerator
        )
        return await self._wish(entry, request.action)

    async def _wish(self, entry: Entry, action: wire.Action) -> Entry:
        """Write down what an action asks for."""
        wish = states.WISHES[action]
        if wish is not entry.wish:
            entry = msgspec.structs.replace(entry, wish=wish)
            await self._register.put(entry, Step.WISH_STORED)
        return entry

    async def _restore(
        self, entry: Entry, accelerator: wire.Accelerator
    ) -> Entry:
        """Its gateway wants it: end its quarantine, or its waiting."""
        was_frozen = entry.stage is Stage.QUARANTINED
        if was_frozen:
            entry = await self._quarantine.end(entry)
        state = self.status(entry).state
        if state is wire.InstanceState.WAITING or (
            was_frozen
            and state is wire.InstanceState.PAUSED
            and entry.wish is wire.InstanceState.RUNNING
        ):
            LOG.info(
                '[instance %s] runs again: its gateway has confirmed epoch %s',
                entry.right.instance,
                entry.right.epoch,
            )
            await self._switch.act(entry, wire.Action.START, 0.0, accelerator)
        return entry

    async def filter(self, instance: str, request: wire.FilterRequest) -> None:
        """These rules from now on, stored first.

        :raises StaleEpoch: another epoch is here
        :raises WrongState: it is not built
        :raises Malformed: a rule is none; nothing has changed
        """
        async with self._operation(instance, request.epoch):
            entry = self._register.of_epoch(instance, request.epoch)
            if entry.stage is not Stage.BUILT:
                raise errors.WrongState(f'it is {entry.stage}')
            vifs = filters.with_rules(entry.spec.vifs, request.ports)
            await filters.check(vifs)
            if vifs != entry.spec.vifs:
                spec = msgspec.structs.replace(entry.spec, vifs=vifs)
                entry = msgspec.structs.replace(entry, spec=spec)
                await self._register.put(entry, Step.RULES_STORED)
            await self._builder.set_filters(entry)

    @contextlib.asynccontextmanager
    async def copied(
        self, instance: str, request: wire.SnapshotRequest
    ) -> AsyncIterator[pathlib.Path]:
        """A copy of its disk, for the time of the context.

        :raises StaleEpoch: another epoch is here, or it was destroyed
        :raises WrongState: it is not built
        :raises NoSpace: there is no room for the copy
        """
        async with self._operation(instance, request.epoch):
            entry = self._register.of_epoch(instance, request.epoch)
            if entry.stage is not Stage.BUILT:
                raise errors.WrongState(f'it is {entry.stage}')
            async with self._copies.copied(entry, request.timeout_s) as copy:
                yield copy

    async def bury(self, tombstone: wire.Tombstone) -> None:
        """This epoch, and every lower one, must not run.

        :raises P2PcsError: it is recorded, but not yet carried out
        """
        instance = tombstone.instance
        await self._register.bury(tombstone)
        if instance in self._scopes:
            epoch, scope = self._scopes[instance]
            if epoch is None or epoch <= tombstone.epoch:
                scope.cancel()
        lock = self._locks.setdefault(instance, trio.Lock())
        async with lock:
            known = self._register.find(instance)
            if known is None:
                await self._take_stranger_away(instance)
            elif self._register.is_buried(known):
                await self._take_away(known)

    async def _keep_in_quarantine(
        self, entry: Entry, elapsed_s: float
    ) -> None:
        """Until its time is over, and it goes."""
        if not await self._quarantine.keep(entry, elapsed_s):
            right = entry.right
            await self._register.bury(
                wire.Tombstone(right.instance, right.epoch)
            )
            await self._take_away(entry)

    async def _take_stranger_away(self, instance: str) -> None:
        """A domain of ours without a right, if its epoch is buried."""
        domain = self._watch.domain(instance)
        buried = self._register.buried(instance)
        if domain is None or buried is None or domain.mark.epoch > buried:
            return
        await self._builder.take_away(instance, domain.mark.epoch)
        await self._watch.refresh(instance)

    async def _take_away(self, entry: Entry) -> None:
        instance, epoch = entry.right.instance, entry.right.epoch
        await self._builder.take_away(instance, epoch)
        await self._register.forget(instance)
        self._reservations.drop(instance, epoch)
        await self._watch.refresh(instance)
        self._on_change()

    # -- putting right ------------------------------------------------------

    async def reconcile(self, elapsed_s: float = 0.0) -> None:
        """Finish or undo what was begun; call it when domains were seen.

        :param elapsed_s: seconds since the last call
        :raises P2PcsError: the hypervisor failed; call it again
        """
        failed: list[errors.P2PcsError] = []
        strangers = [domain.mark.instance for domain in self.strangers()]
        for instance in [*self._register.instances(), *strangers]:
            lock = self._locks.setdefault(instance, trio.Lock())
            try:
                lock.acquire_nowait()
            except trio.WouldBlock:
                # An operation is under way: nothing of it is left over.
                continue
            try:
                await self._put_right(instance, elapsed_s)
            except errors.P2PcsError as error:
                failed.append(error)
            finally:
                lock.release()
        if failed:
            raise failed[0]

    async def _put_right(self, instance: str, elapsed_s: float) -> None:
        entry = self._register.find(instance)
        if entry is None:
            await self._take_stranger_away(instance)
        elif self._register.is_buried(entry):
            await self._take_away(entry)
        elif entry.stage is Stage.QUARANTINED:
            await self._keep_in_quarantine(entry, elapsed_s)
        elif entry.stage is Stage.UNDOING:
            await self._undo(entry)
        elif entry.stage is Stage.BUILT:
            await self._tidy(entry)
        elif entry.stage is Stage.FAILED:
            # A call that was given up may have been carried out late.
            domain = self._watch.domain(instance)
            if domain is not None and domain.mark.epoch == entry.right.epoch:
                await self._undo(entry)
        elif entry.stage is Stage.BUILDING:
            domain = await self._watch.refresh(instance)
            if (
                domain is not None
                and domain.mark.epoch == entry.right.epoch
                and domain.power is Power.PAUSED
            ):
                built = msgspec.structs.replace(entry, stage=Stage.BUILT)
                await self._register.put(built, Step.BUILT_STORED)
            else:
                await self._fail(
                    entry,
                    errors.HypervisorFailed(
                        'the build was interrupted, and has been undone'
                    ),
                )

    async def _tidy(self, entry: Entry) -> None:
        """What the end of a daemon may have left beside a built instance."""
        await self._copies.drop(entry)
        if self._memories.has(entry):
            domain = await self._watch.refresh(entry.right.instance)
            await self._memories.settle(entry, domain)
