# SPDX-License-Identifier: Apache-2.0
"""Copies of disks: what a snapshot is made of.

A copy is one qcow2 image with all that is below the disk, made beside it.
The disk of a domain that has a process is copied by that process, and by
nothing else; the copy is the disk at the moment when it ends.  Every other
disk is copied by qemu-img, which is told what is below the disk: a header
that a guest's QEMU may have written names no file to open.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
from collections.abc import AsyncIterator, Iterator

import trio

from p2pcs_nova import errors, imaging
from p2pcs_nova.peer import disks
from p2pcs_nova.peer.builder import Builder
from p2pcs_nova.peer.domain import Files
from p2pcs_nova.peer.hypervisor import Copying, Hypervisor, Power
from p2pcs_nova.peer.reservations import Loan, Reservations
from p2pcs_nova.peer.steps import Passed, Step
from p2pcs_nova.peer.store import Entry
from p2pcs_nova.peer.watch import Watch

LOG = logging.getLogger(__name__)

LOOK_S = 0.5
"""Between two looks at a copy that is being made."""
TELL_S = 10.0
"""Between two words in the log on how far it is."""
TABLES_MB = 16
"""Of a copy, beside the data: a qcow2 image's tables."""
DROP_S = 60.0
"""For a copy to be taken away again."""
ENDED_EARLY = (
    'the copy of its disk ended early: perhaps the disk of this PC is full, '
    'or the guest has stopped'
)


class Copies:
    """Copies the disks of one PC, one at a time for each instance."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        watch: Watch,
        builder: Builder,
        reservations: Reservations,
        passed: Passed,
    ) -> None:
        self._hypervisor = hypervisor
        self._watch = watch
        self._builder = builder
        self._reservations = reservations
        self._passed = passed

    @contextlib.asynccontextmanager
    async def copied(
        self, entry: Entry, timeout_s: float
    ) -> AsyncIterator[pathlib.Path]:
        """A copy of the instance's disk, for the time of the context.

        Nobody else may do anything with the instance meanwhile.

        :param timeout_s: for the copy to be whole
        :raises NoSpace: there is no room for it
        :raises HypervisorFailed: it was not made, or not in time
        """
        files, right = self._builder.files(entry), entry.right
        try:
            size_mb = await trio.to_thread.run_sync(_measure, entry, files)
        except OSError as error:
            raise errors.HypervisorFailed(
                f'{error.filename}: {error.strerror}'
            ) from None
        await self.drop(entry)
        self._reservations.lend(right, Loan.COPY, size_mb)
        try:
            with _in_time(timeout_s):
                async with _told(right.instance, files.copy, size_mb):
                    await self._make(entry, files)
            yield files.copy
        finally:
            with trio.move_on_after(DROP_S, shield=True):
                await self._drop_or_later(entry)

    async def _make(self, entry: Entry, files: Files) -> None:
        instance = entry.right.instance
        domain = await self._watch.refresh(instance)
        if domain is not None and domain.power in (
            Power.RUNNING,
            Power.PAUSED,
        ):
            await self._mirror(instance, files)
        else:
            await disks.flatten(
                files.disk, files.base, files.base_format, files.copy
            )
        await trio.to_thread.run_sync(_sync, files.copy)
        self._passed(Step.COPY_ENDED, instance)

    async def _mirror(self, instance: str, files: Files) -> None:
        await self._hypervisor.begin_copy(instance, files.disk, files.copy)
        self._passed(Step.COPY_BEGUN, instance)
        while True:
            copying = await self._hypervisor.look_at_copy(instance, files.disk)
            if copying is Copying.WHOLE:
                break
            if copying is Copying.NONE:
                raise errors.HypervisorFailed(ENDED_EARLY)
            await trio.sleep(LOOK_S)
        if not await self._hypervisor.end_copy(instance, files.disk):
            raise errors.HypervisorFailed(ENDED_EARLY)

    async def _drop_or_later(self, entry: Entry) -> None:
        try:
            await self.drop(entry)
        except errors.P2PcsError as error:
            LOG.warning(
                '[instance %s] a copy of its disk is left for now: %s',
                entry.right.instance,
                error.message,
            )

    async def drop(self, entry: Entry) -> None:
        """Leave nothing of a copy; nothing if there is none.

        :raises P2PcsError: the hypervisor does not let us; repeat it
        """
        instance, files = entry.right.instance, self._builder.files(entry)
        if files.copy.exists():
            await self._hypervisor.end_copy(instance, files.disk)
            await trio.to_thread.run_sync(files.copy.unlink)
            self._passed(Step.COPY_DROPPED, instance)
        self._reservations.take_back(entry.right, Loan.COPY)


@contextlib.contextmanager
def _in_time(timeout_s: float) -> Iterator[None]:
    try:
        with trio.fail_after(timeout_s):
            yield
    except trio.TooSlowError:
        raise errors.HypervisorFailed(
            f'the copy of its disk was not whole within {timeout_s:g} s'
        ) from None


@contextlib.asynccontextmanager
async def _told(
    instance: str, copy: pathlib.Path, most_mb: int
) -> AsyncIterator[None]:
    """While the body makes a copy, the log tells how far it is."""
    failed: errors.P2PcsError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell, instance, copy, most_mb)
        try:
            yield
        except errors.P2PcsError as error:
            failed = error
        nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed
    LOG.info(
        '[instance %s] snapshot: %d MiB are copied', instance, _taken_mb(copy)
    )


async def _tell(instance: str, copy: pathlib.Path, most_mb: int) -> None:
    while True:
        await trio.sleep(TELL_S)
        LOG.info(
            '[instance %s] snapshot: %d MiB of at most %d are copied',
            instance,
            _taken_mb(copy),
            most_mb,
        )


def _taken_mb(copy: pathlib.Path) -> int:
    try:
        return copy.stat().st_blocks * 512 >> 20
    except FileNotFoundError:
        return 0


# -- in threads --------------------------------------------------------------


def _measure(entry: Entry, files: Files) -> int:
    """MiB that a copy may take: the data of the disk and of its image."""
    written = files.disk.stat().st_blocks * 512
    below = imaging.inspect(files.base, entry.spec.image)
    data_mb = (written + below >> 20) + 1
    return min(data_mb, entry.spec.root_mb) + TABLES_MB


def _sync(copy: pathlib.Path) -> None:
    with copy.open('rb') as file:
        os.fsync(file.fileno())
