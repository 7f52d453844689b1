# SPDX-License-Identifier: Apache-2.0
"""Making what a run right stands for, and taking it away again.

There is one way to take away, for a build that failed, a build that the
end of the daemon interrupted, and a tombstone; it finds out what is there
and so may be repeated at any point.
"""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Mapping

import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.files import sync_folder
from p2pcs_nova.layout import Layout
from p2pcs_nova.peer import config_drive, disks, domain, filters
from p2pcs_nova.peer.hypervisor import Hypervisor
from p2pcs_nova.peer.images import Fetch, Images
from p2pcs_nova.peer.steps import Passed, Step
from p2pcs_nova.peer.store import Entry


class Builder:
    """Builds instances on one PC.

    :param bridges: bridge of each physical network
    :param emulator: QEMU binary; '' lets libvirt choose
    """

    def __init__(
        self,
        layout: Layout,
        hypervisor: Hypervisor,
        images: Images,
        table: filters.Filters,
        bridges: Mapping[str, str],
        emulator: str,
        passed: Passed,
    ) -> None:
        self._layout = layout
        self._hypervisor = hypervisor
        self._images = images
        self._filters = table
        self._bridges = dict(bridges)
        self._emulator = emulator
        self._passed = passed

    def folder(self, instance: str, epoch: wire.Counter) -> pathlib.Path:
        """The folder of one epoch of an instance."""
        name = f'{instance}_{epoch}'
        return self._layout.instances / name

    def console(self, entry: Entry) -> pathlib.Path:
        """Where its serial console is logged."""
        return self.files(entry).console

    async def build(
        self, entry: Entry, accelerator: wire.Accelerator, fetch: Fetch
    ) -> None:
        """From nothing to a paused domain with its taps filtered.

        :raises P2PcsError: :meth:`take_away` undoes what was begun
        """
        try:
            await self._make_files(entry, fetch)
        except OSError as error:
            raise errors.NoSpace(
                f'{error.filename or "a file"}: {error.strerror}'
            ) from None
        await self.define(entry, accelerator)
        await self.start_paused(entry)

    async def _make_files(self, entry: Entry, fetch: Fetch) -> None:
        instance, spec = entry.right.instance, entry.spec
        files = self.files(entry)
        folder = files.disk.parent
        await trio.to_thread.run_sync(_make_folder, folder)
        self._passed(Step.FOLDER_MADE, instance)
        virtual = await self._images.get(spec.image, fetch)
        await trio.to_thread.run_sync(
            self._images.show,
            spec.image.digest,
            await self._hypervisor.group(),
        )
        self._passed(Step.IMAGE_KEPT, instance)
        disks.check_size(spec.image, virtual, spec.root_mb)
        await disks.make_overlay(
            files.disk, files.base, spec.image.format, spec.root_mb
        )
        self._passed(Step.DISK_MADE, instance)
        if files.config_drive is not None:
            await trio.to_thread.run_sync(
                config_drive.write_config_drive,
                files.config_drive,
                spec.config_drive,
            )
        await trio.to_thread.run_sync(_sync_contents, folder)
        self._passed(Step.CONFIG_DRIVE_MADE, instance)

    async def check(self, entry: Entry, accelerator: wire.Accelerator) -> None:
        """Whether it can be built at all; nothing is touched.

        :raises Malformed: an amount or address is none
        :raises Unsupported: a property would have to be ignored
        :raises NotOffered: a network has no bridge here
        """
        need = entry.spec.need
        if not (need.vcpus and need.memory_mb):
            raise errors.Malformed('an instance needs a vCPU and memory')
        if entry.spec.root_mb > need.disk_mb:
            raise errors.Malformed('root_mb is more than the disk claimed')
        await filters.check(entry.spec.vifs)
        self._xml(entry, accelerator)

    async def define(
        self, entry: Entry, accelerator: wire.Accelerator
    ) -> None:
        """Make its domain known to the hypervisor."""
        xml = self._xml(entry, accelerator)
        await self._hypervisor.define(entry.right.instance, xml)
        self._passed(Step.DOMAIN_DEFINED, entry.right.instance)

    def _xml(self, entry: Entry, accelerator: wire.Accelerator) -> str:
        right = entry.right
        return domain.domain_xml(
            entry.spec,
            domain.Mark(right.instance, right.epoch, right.slice, right.peer),
            self.files(entry),
            accelerator,
            self._bridges,
            self._emulator,
        )

    async def start_paused(self, entry: Entry) -> None:
        """From off to paused: first its filters, then its taps."""
        await self.set_filters(entry)
        await self._hypervisor.start_paused(entry.right.instance)
        self._passed(Step.DOMAIN_STARTED, entry.right.instance)

    async def set_filters(self, entry: Entry) -> None:
        """What may pass at its taps, whether they exist or not."""
        await self._filters.set(entry.right.instance, entry.spec.vifs)
        self._passed(Step.FILTERS_SET, entry.right.instance)

    def files(self, entry: Entry) -> domain.Files:
        """Where its parts are, or would be."""
        folder = self.folder(entry.right.instance, entry.right.epoch)
        return domain.Files(
            disk=folder / 'disk.qcow2',
            base=self._images.path(entry.spec.image.digest),
            base_format=entry.spec.image.format,
            config_drive=(
                folder / 'config.iso' if entry.spec.config_drive else None
            ),
            console=folder / 'console.log',
        )

    async def take_away(self, instance: str, epoch: wire.Counter) -> None:
        """Leave nothing of this epoch: domain, taps, filters, files.

        A domain of a higher epoch, and its filters, stay.

        :raises P2PcsError: the hypervisor does not let us; repeat it
        """
        found = await self._hypervisor.domain(instance)
        if found is None or found.mark.epoch <= epoch:
            await self._hypervisor.cut_power(instance)
            self._passed(Step.POWER_CUT, instance)
            await self._hypervisor.undefine(instance)
            self._passed(Step.DOMAIN_UNDEFINED, instance)
            await self._filters.clear(instance)
            self._passed(Step.FILTERS_REMOVED, instance)
        try:
            await trio.to_thread.run_sync(
                _remove_folder, self.folder(instance, epoch)
            )
        except OSError as error:
            raise errors.HypervisorFailed(
                f'{error.filename or "a file"} cannot be removed: '
                f'{error.strerror}'
            ) from None
        self._passed(Step.FOLDER_REMOVED, instance)


# -- in threads --------------------------------------------------------------


def _make_folder(folder: pathlib.Path) -> None:
    # QEMU may run as another user: it must pass, not list.
    folder.mkdir(mode=0o711, exist_ok=True)
    sync_folder(folder.parent)


def _sync_contents(folder: pathlib.Path) -> None:
    """Make the names in a folder, and the data of its files, durable."""
    for path in folder.iterdir():
        with path.open('rb') as file:
            os.fsync(file.fileno())
    sync_folder(folder)


def _remove_folder(folder: pathlib.Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
        sync_folder(folder.parent)
