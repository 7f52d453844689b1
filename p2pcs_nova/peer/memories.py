# SPDX-License-Identifier: Apache-2.0
"""The memory of suspended guests, on the disk of their PC.

The hypervisor writes a file with another name, which becomes *the* memory
when it is whole and durable.  A guest that runs has no memory on the disk:
its disk has gone on, and an old memory would spoil it.  So the file goes,
durably, before a restored guest runs, and whatever is found beside a guest
that runs goes too.
"""

from __future__ import annotations

import os
import pathlib

import trio

from p2pcs_nova import errors
from p2pcs_nova.files import sync_folder
from p2pcs_nova.peer.builder import Builder
from p2pcs_nova.peer.hypervisor import Domain, Hypervisor, Power
from p2pcs_nova.peer.reservations import Loan, Reservations
from p2pcs_nova.peer.steps import Passed, Step
from p2pcs_nova.peer.store import Entry

TIMEOUT_S = 600.0
"""For a guest's memory to be written or read, if nobody says how long."""
HEAD_MB = 16
"""Of the file, beside the memory: the state of the devices."""


class Memories:
    """Saves guests of one PC and brings them back."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        builder: Builder,
        reservations: Reservations,
        passed: Passed,
    ) -> None:
        self._hypervisor = hypervisor
        self._builder = builder
        self._reservations = reservations
        self._passed = passed

    def has(self, entry: Entry) -> bool:
        """Whether a memory is on the disk, perhaps not yet all of it."""
        memory = self._memory(entry)
        return memory.exists() or _part(memory).exists()

    def load(self, entry: Entry) -> None:
        """Count what was saved before the daemon started."""
        if self.has(entry):
            self._reservations.count_loan(
                entry.right, Loan.MEMORY, _size_mb(entry)
            )

    async def save(self, entry: Entry, timeout_s: float) -> None:
        """From running to off.

        :raises NoSpace: no room for the memory; the guest runs on
        :raises P2PcsError: the guest runs on, or :meth:`settle` finds out
            what became of it
        """
        instance, memory = entry.right.instance, self._memory(entry)
        self._reservations.lend(entry.right, Loan.MEMORY, _size_mb(entry))
        try:
            await self._hypervisor.save(
                instance, _part(memory), timeout_s or TIMEOUT_S
            )
        except errors.P2PcsError:
            if not self.has(entry):
                self._reservations.take_back(entry.right, Loan.MEMORY)
            raise
        self._passed(Step.DOMAIN_SAVED, instance)
        await self._keep(entry)

    async def restore(self, entry: Entry, timeout_s: float) -> None:
        """From off to paused, first its filters, then its taps.

        The memory stays until :meth:`drop`.
        """
        instance = entry.right.instance
        await self._builder.set_filters(entry)
        await self._hypervisor.restore_paused(
            instance, self._memory(entry), timeout_s or TIMEOUT_S
        )
        self._passed(Step.DOMAIN_RESTORED, instance)

    async def drop(self, entry: Entry) -> None:
        """Forget a memory, durably; nothing if there is none."""
        if self.has(entry):
            await trio.to_thread.run_sync(_unlink, self._memory(entry))
            self._passed(Step.MEMORY_DROPPED, entry.right.instance)
        self._reservations.take_back(entry.right, Loan.MEMORY)

    async def settle(self, entry: Entry, domain: Domain | None) -> None:
        """Finish or undo what was begun and not ended.

        :param domain: as it is now
        """
        if domain is not None and domain.power is Power.RUNNING:
            await self.drop(entry)
        elif domain is None or domain.power is not Power.PAUSED:
            # While it is paused, it may be being saved.
            await self._settle_part(entry)

    async def _settle_part(self, entry: Entry) -> None:
        part = _part(self._memory(entry))
        if not part.exists():
            return
        if await self._hypervisor.is_saved(part):
            await self._keep(entry)
        else:
            await self.drop(entry)

    async def _keep(self, entry: Entry) -> None:
        try:
            await trio.to_thread.run_sync(_keep, self._memory(entry))
        except OSError as error:
            raise errors.NoSpace(
                f'its memory cannot be kept: {error.strerror}'
            ) from None
        self._passed(Step.MEMORY_KEPT, entry.right.instance)

    def _memory(self, entry: Entry) -> pathlib.Path:
        return self._builder.files(entry).memory


def _size_mb(entry: Entry) -> int:
    return entry.spec.need.memory_mb + HEAD_MB


def _part(memory: pathlib.Path) -> pathlib.Path:
    return memory.with_suffix('.part')


# -- in threads --------------------------------------------------------------


def _keep(memory: pathlib.Path) -> None:
    part = _part(memory)
    with part.open('rb') as file:
        os.fsync(file.fileno())
    part.replace(memory)
    sync_folder(memory.parent)


def _unlink(memory: pathlib.Path) -> None:
    memory.unlink(missing_ok=True)
    _part(memory).unlink(missing_ok=True)
    sync_folder(memory.parent)
