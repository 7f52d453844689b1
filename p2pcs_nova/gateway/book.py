# SPDX-License-Identifier: Apache-2.0
"""The gateway's book: what it keeps, with all of it in memory to read.

Reading never waits; writing waits for a disk or for etcd, in a thread.
What is in memory changes only after it is durable, and a write that has
begun cannot be cancelled, so that the two differ only by what etcd has done
and could not say: the next write about the instance, or its slice's next
term, learns that.  What is written of a slice is written by its term; of one
that others may write about nothing is in memory.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from p2pcs_nova import wire
from p2pcs_nova.gateway import commands as terms
from p2pcs_nova.gateway import entries, eras
from p2pcs_nova.gateway import store as stores

T = TypeVar('T')


class RunBlocking(Protocol):
    """How a blocking call is made; ``trio.to_thread.run_sync`` is one."""

    def __call__(
        self,
        call: Callable[..., T],
        /,
        *arguments: Any,
        abandon_on_cancel: bool = False,
    ) -> Awaitable[T]:
        """Await what it returns.

        :param abandon_on_cancel: cancelled, wait for its end no more
        """


class Former(Protocol):
    """What an only gateway shared with others before; every call blocks."""

    def stands(self) -> eras.Stand:
        """How far it has come."""

    def users(self) -> list[str]:
        """Gateways that share the slices there, by name."""

    def rows(self) -> list[stores.InstanceRow]:
        """Every instance that has a run right."""

    def graves(self) -> list[stores.Grave]:
        """Every tombstone that is not yet carried out."""


class Ledger(Protocol):
    """Where instances and graves are written down; every call blocks.

    Each of them is durable at return, and done as a whole or not at all;
    one that raises Unavailable may be done, and is to be repeated.
    What a command of a term that is over would write is refused: raises
    StaleTerm.
    """

    @property
    def is_shared(self) -> bool:
        """Whether other gateways write there too."""

    def stands(self) -> eras.Stand:
        """How far its numbers have come."""

    def begin(self, era: int, carried: stores.Carried | None, by: str) -> None:
        """Have numbers be of this era, once what goes along is here.

        By no term: there is none of this era yet.  Interrupted, it is to be
        repeated: then all or part of what goes along is here, and the era
        has not begun.

        :param era: higher than that of :meth:`stands`
        :param carried: None: nothing comes from elsewhere
        :param by: id of this gateway; the others are told
        :raises Unavailable: another gateway has begun one meanwhile
        """

    def next_epoch(self, command: wire.Command) -> wire.Counter:
        """A number that was never given before."""

    def place(
        self, command: wire.Command, row: stores.InstanceRow
    ) -> list[stores.Grave]:
        """Write who is about to build; an earlier row becomes a grave.

        :returns: all graves of the instance that are the slice's
        :raises WrongState: another slice has this instance
        """

    def set_placed(
        self, command: wire.Command, instance: str, epoch: wire.Counter
    ) -> bool:
        """Write that the PC has built this epoch; False if it is gone."""

    def bury(self, command: wire.Command, instance: str) -> list[stores.Grave]:
        """Turn an instance's row, if there is one, into a grave.

        :returns: all graves of the instance that are the slice's
        """

    def forget(self, command: wire.Command, grave: stores.Grave) -> None:
        """Its PC has carried out the tombstone; idempotent."""

    def rows(self, slice_: str | None = None) -> list[stores.InstanceRow]:
        """Every instance that has a run right; None: of any slice."""

    def graves(self, slice_: str | None = None) -> list[stores.Grave]:
        """Every tombstone that is not yet carried out; likewise."""

    def occupied(self) -> set[str]:
        """The slices that have rows."""

    def buried(self) -> set[str]:
        """The slices that have graves."""


class SharedLedger(Ledger, Protocol):
    """One that several gateways share."""

    def holders(self) -> dict[str, str]:
        """Gateway by slice; those that nobody commands are not there."""

    def of_group(self, group: str) -> dict[str, str]:
        """The PC of each instance of a server group, in any slice."""


class Book:
    """Rows, graves and images of one gateway.

    :param store: of this machine: images, and numbers of an only gateway
    :param ledger: the rest; it may be the same
    :param commands: says by which term a slice is written about
    """

    def __init__(
        self,
        store: stores.Store,
        ledger: Ledger,
        commands: terms.Commands,
        run_blocking: RunBlocking,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._commands = commands
        self._run = run_blocking
        self.rows = entries.Rows()
        self.graves = entries.Graves()
        self.images: dict[str, wire.Image] = {}
        """By digest."""
        self._written: collections.Counter[str] = collections.Counter()
        """Writes that have come to their end, by slice."""
        self._open: set[str] = set()
        """The slices that nobody else writes about."""

    async def read(self) -> None:
        """Take what is ours alone from the disk; once, at the start."""
        images = await self._run(self._store.images)
        self.images = {image.digest: image for image in images}
        if not self._ledger.is_shared:
            await self._take()

    async def begun(self) -> None:
        """An era has begun: an only gateway has what went along with it."""
        if not self._ledger.is_shared:
            await self._take()

    async def open(self, slice_: str) -> None:
        """Take what earlier gateways of a slice have written.

        None of them writes any more: its next term has begun.  But we do,
        if it is our own that is late and goes on: what we have written since
        we began to read, the reading may not show.

        :raises Unavailable: the ledger does not answer
        """
        if not self._ledger.is_shared:
            return
        before = None
        while before != self._written[slice_]:
            before = self._written[slice_]
            rows = await self._run(self._ledger.rows, slice_)
            graves = await self._run(self._ledger.graves, slice_)
        self.close(slice_)
        self._open.add(slice_)
        self._put(rows, graves)

    def close(self, slice_: str) -> None:
        """Forget what another gateway may change from now on."""
        if self._ledger.is_shared:
            self._open.discard(slice_)
            for row in self.rows.of_slice(slice_):
                del self.rows[row.instance]
            for grave in self.graves.of_slice(slice_):
                del self.graves[grave.instance, grave.epoch]

    async def _take(self) -> None:
        """Take what is ours alone."""
        rows = await self._run(self._ledger.rows)
        self._put(rows, await self._run(self._ledger.graves))

    def _put(
        self, rows: list[stores.InstanceRow], graves: list[stores.Grave]
    ) -> None:
        """Have these in memory, if they are still ours."""
        for row in rows:
            if self._is_ours(row.slice):
                self.rows[row.instance] = row
        for grave in graves:
            if self._is_ours(grave.slice):
                self.graves[grave.instance, grave.epoch] = grave

    def _is_ours(self, slice_: str) -> bool:
        return not self._ledger.is_shared or slice_ in self._open

    async def next_number(self) -> wire.Counter:
        """A number that this machine has never given before."""
        return await self._run(self._store.next_number)

    async def next_epoch(self, slice_: str) -> wire.Counter:
        """A number that no gateway has ever given before.

        :raises StaleTerm: another gateway commands the slice
        :raises Unavailable: we do not command it, or the ledger is silent
        """
        command = self._commands.command(slice_)
        return await self._run(self._ledger.next_epoch, command)

    async def place(self, row: stores.InstanceRow) -> None:
        """Write who is about to build; an earlier row becomes a grave.

        :raises WrongState: another slice has this instance
        :raises StaleTerm: as :meth:`next_epoch`, like Unavailable
        :raises Unavailable: it may be written, and is to be repeated
        """
        command = self._commands.command(row.slice)
        graves = await self._run(self._ledger.place, command, row)
        self._put([row], graves)
        self._written[row.slice] += 1

    async def set_placed(self, row: stores.InstanceRow) -> bool:
        """Write that the PC has built it; False if that epoch is gone.

        :raises StaleTerm: as :meth:`place`, like Unavailable
        """
        command = self._commands.command(row.slice)
        known = await self._run(
            self._ledger.set_placed, command, row.instance, row.epoch
        )
        now = self.rows.get(row.instance)
        if known and now is not None and now.epoch == row.epoch:
            self.rows[row.instance] = dataclasses.replace(
                row, state=stores.RowState.PLACED
            )
        self._written[row.slice] += 1
        return known

    async def bury(self, slice_: str, instance: str) -> None:
        """Turn an instance's row, if there is one, into a grave.

        There may be one that we do not know.

        :raises Unavailable: we do not command the slice now, or the answer
            is lost: then this is to be repeated
        """
        command = self._commands.command(slice_)
        graves = await self._run(self._ledger.bury, command, instance)
        row = self.rows.get(instance)
        if row is not None and row.slice == slice_:
            del self.rows[instance]
        self._put([], graves)
        self._written[slice_] += 1

    async def all_rows(self) -> list[stores.InstanceRow]:
        """Those of all slices, whichever gateway commands them.

        :raises Unavailable: the ledger does not answer
        """
        if self._ledger.is_shared:
            return await self._run(self._ledger.rows)
        return list(self.rows.values())

    async def all_graves(self) -> list[stores.Grave]:
        """Likewise.

        :raises Unavailable: the ledger does not answer
        """
        if self._ledger.is_shared:
            return await self._run(self._ledger.graves)
        return list(self.graves.values())

    async def occupied(self) -> frozenset[str]:
        """The slices of which any gateway has rows.

        :raises Unavailable: the ledger does not answer
        """
        return frozenset(await self._run(self._ledger.occupied))

    async def buried(self) -> frozenset[str]:
        """The slices of which any gateway has graves.

        :raises Unavailable: the ledger does not answer
        """
        return frozenset(await self._run(self._ledger.buried))

    async def forget(self, grave: stores.Grave) -> None:
        """Its PC has carried it out, or is given up; idempotent.

        :raises StaleTerm: as :meth:`place`, like Unavailable
        """
        command = self._commands.command(grave.slice)
        await self._run(self._ledger.forget, command, grave)
        self.graves.pop((grave.instance, grave.epoch), None)
        self._written[grave.slice] += 1

    async def add_image(self, image: wire.Image) -> None:
        """Write that the bytes of this image are in the folder."""
        await self._run(self._store.add_image, image)
        self.images[image.digest] = image
