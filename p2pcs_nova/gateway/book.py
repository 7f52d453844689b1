# SPDX-License-Identifier: Apache-2.0
"""The gateway's book: the store, with all of it in memory to read.

Reading never waits; writing waits for the disk, in a thread.  What is in
memory changes only after it is durable, and a write that has begun cannot
be cancelled, so that the two never differ.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from p2pcs_nova import wire
from p2pcs_nova.gateway import store as stores

T = TypeVar('T')


class RunBlocking(Protocol):
    """How a blocking call is made; ``trio.to_thread.run_sync`` is one."""

    def __call__(
        self, call: Callable[..., T], /, *arguments: Any
    ) -> Awaitable[T]: ...


class Book:
    """Rows, graves and images of one gateway."""

    def __init__(self, store: stores.Store, run_blocking: RunBlocking) -> None:
        self._store = store
        self._run = run_blocking
        self.rows: dict[str, stores.InstanceRow] = {}
        """By instance."""
        self.graves: dict[tuple[str, wire.Counter], stores.Grave] = {}
        """By (instance, epoch)."""
        self.images: dict[str, wire.Image] = {}
        """By digest."""

    async def read(self) -> None:
        """Take everything from the disk; once, at the start."""
        rows = await self._run(self._store.rows)
        self.rows = {row.instance: row for row in rows}
        for grave in await self._run(self._store.graves):
            self.graves[grave.instance, grave.epoch] = grave
        images = await self._run(self._store.images)
        self.images = {image.digest: image for image in images}

    async def next_number(self) -> wire.Counter:
        """A number that was never given before: a term or an epoch."""
        return await self._run(self._store.next_number)

    async def place(self, row: stores.InstanceRow) -> None:
        """Write who is about to build; an earlier row becomes a grave."""
        grave = await self._run(self._store.place, row)
        self.rows[row.instance] = row
        self._dig(grave)

    async def set_placed(self, row: stores.InstanceRow) -> bool:
        """Write that the PC has built it; False if that epoch is gone."""
        known = await self._run(
            self._store.set_placed, row.instance, row.epoch
        )
        now = self.rows.get(row.instance)
        if known and now is not None and now.epoch == row.epoch:
            self.rows[row.instance] = dataclasses.replace(
                row, state=stores.RowState.PLACED
            )
        return known

    async def bury(self, instance: str) -> stores.Grave | None:
        """Turn an instance's row into a grave; None if there is none."""
        grave = await self._run(self._store.bury, instance)
        if grave is not None:
            self.rows.pop(instance, None)
        self._dig(grave)
        return grave

    def _dig(self, grave: stores.Grave | None) -> None:
        if grave is not None:
            self.graves[grave.instance, grave.epoch] = grave

    def graves_of(self, instance: str) -> list[stores.Grave]:
        """Its epochs that are still to be destroyed."""
        return [
            grave
            for grave in self.graves.values()
            if grave.instance == instance
        ]

    async def forget(self, grave: stores.Grave) -> None:
        """Its PC has carried it out, or is given up; idempotent."""
        await self._run(self._store.forget, grave)
        self.graves.pop((grave.instance, grave.epoch), None)

    async def add_image(self, image: wire.Image) -> None:
        """Write that the bytes of this image are in the folder."""
        await self._run(self._store.add_image, image)
        self.images[image.digest] = image
