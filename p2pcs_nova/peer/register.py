# SPDX-License-Identifier: Apache-2.0
"""The run rights and tombstones of a PC: on the disk, and to be read.

Reading never waits.  What is in memory changes only after it is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.steps import Passed, Step
from p2pcs_nova.peer.store import Entry, Loaded, Stage, Store


class Register:
    """All of one PC.

    :param on_change: told when what became of a right has changed
    """

    def __init__(
        self, store: Store, on_change: Callable[[], None], passed: Passed
    ) -> None:
        self._store = store
        self._on_change = on_change
        self._passed = passed
        self._entries: dict[str, Entry] = {}
        self._tombstones: dict[str, wire.Counter] = {}

    # -- what is there ------------------------------------------------------

    def load(self, loaded: Loaded) -> None:
        """Begin with what was stored."""
        self._entries = dict(loaded.entries)
        self._tombstones = dict(loaded.tombstones)

    def instances(self) -> list[str]:
        """The uuids of all instances that a right is known of."""
        return list(self._entries)

    def find(self, instance: str) -> Entry | None:
        """The stored right of an instance, if there is one."""
        return self._entries.get(instance)

    def entry(self, instance: str) -> Entry:
        """The stored right of an instance.

        :raises NotFound: there is none
        """
        found = self._entries.get(instance)
        if found is None:
            raise errors.NotFound(f'no instance {instance} on this PC')
        return found

    def of_epoch(self, instance: str, epoch: wire.Counter | None) -> Entry:
        """The same, if it is of this epoch.

        :raises NotFound: there is none
        :raises StaleEpoch: another epoch is here
        """
        entry = self.entry(instance)
        if epoch != entry.right.epoch:
            raise errors.StaleEpoch(f'epoch {entry.right.epoch} is here')
        return entry

    def alive(self) -> Iterator[Entry]:
        """The rights of all that is not FAILED."""
        for entry in self._entries.values():
            if entry.stage is not Stage.FAILED:
                yield entry

    def buried(self, instance: str) -> wire.Counter | None:
        """The highest epoch that must not run; None: none is known."""
        return self._tombstones.get(instance)

    def is_buried(self, entry: Entry) -> bool:
        """Whether a tombstone covers this right."""
        buried = self.buried(entry.right.instance)
        return buried is not None and entry.right.epoch <= buried

    def check_epoch(self, right: wire.RunRight) -> None:
        """Whether this right may be built here.

        :raises StaleEpoch: a tombstone or a higher epoch is known
        """
        buried = self.buried(right.instance)
        if buried is not None and right.epoch <= buried:
            raise errors.StaleEpoch(
                f'epoch {right.epoch} of {right.instance} has been destroyed'
            )
        known = self.find(right.instance)
        if known is not None and right.epoch < known.right.epoch:
            raise errors.StaleEpoch(
                f'epoch {known.right.epoch} of {right.instance} '
                'is here already'
            )

    # -- changes, durable at return -----------------------------------------

    async def put(self, entry: Entry, step: Step) -> None:
        """Add a right, or change what became of it.

        Cancelled, nothing has changed: a write that has begun is not.

        :param step: what is done so
        :raises NoSpace: nothing has changed
        """
        await self.note(entry)
        self._passed(step, entry.right.instance)
        self._on_change()

    async def note(self, entry: Entry) -> None:
        """The same for what is no step, and nobody has to be told.

        :raises NoSpace: nothing has changed
        """
        await trio.to_thread.run_sync(self._store.put_entry, entry)
        self._entries[entry.right.instance] = entry

    def note_in_memory(self, entry: Entry) -> None:
        """The same for what the end of the daemon may lose."""
        self._entries[entry.right.instance] = entry

    async def bury(self, tombstone: wire.Tombstone) -> None:
        """This epoch, and every lower one, must not run; idempotent.

        :raises NoSpace: nothing has changed
        """
        buried = self.buried(tombstone.instance)
        if buried is not None and tombstone.epoch <= buried:
            return
        await trio.to_thread.run_sync(self._store.put_tombstone, tombstone)
        self._tombstones[tombstone.instance] = max(
            tombstone.epoch,
            self._tombstones.get(tombstone.instance, tombstone.epoch),
        )
        self._passed(Step.TOMBSTONE_STORED, tombstone.instance)

    async def forget(self, instance: str) -> None:
        """A right is done with: nothing of it is left.

        :raises NoSpace: nothing has changed
        """
        await trio.to_thread.run_sync(self._store.forget, instance)
        self._passed(Step.RIGHT_FORGOTTEN, instance)
        self._entries.pop(instance, None)
