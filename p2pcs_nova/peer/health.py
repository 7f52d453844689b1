# SPDX-License-Identifier: Apache-2.0
"""What this PC can offer now, measured; and why not more."""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Awaitable, Callable

import trio

from p2pcs_nova import errors, imaging, wire
from p2pcs_nova.layout import Layout
from p2pcs_nova.peer import capacity, disks, networks
from p2pcs_nova.peer.capacity import Finding, OwnerRules
from p2pcs_nova.peer.hypervisor import Hypervisor
from p2pcs_nova.peer.kvm_probe import KvmVerdict

LOG = logging.getLogger(__name__)

DISK_GRAIN_MB = 1024
MEMORY_GRAIN_MB = 256
"""Measured so coarsely, so that the record changes seldom."""
MEMINFO = pathlib.Path('/proc/meminfo')

Probe = Callable[[], Awaitable[KvmVerdict]]


class Health:
    """The offer of this PC, and the reasons for it."""

    def __init__(
        self,
        layout: Layout,
        rules: OwnerRules,
        hypervisor: Hypervisor,
        sysfs: pathlib.Path,
        meminfo: pathlib.Path,
        images_in_use: Callable[[], frozenset[str]],
    ) -> None:
        self._layout = layout
        self._rules = rules
        self._hypervisor = hypervisor
        self._sysfs = sysfs
        self._meminfo = meminfo
        self._images_in_use = images_in_use
        self._verdict: KvmVerdict | None = None
        self.finding = Finding(
            capacity.nothing('the daemon is starting'),
            ('the daemon is starting',),
        )

    @property
    def kvm(self) -> bool | None:
        """Whether KVM works here; None: not yet known."""
        return None if self._verdict is None else self._verdict.works

    @property
    def accelerator(self) -> wire.Accelerator:
        """How guests are run here."""
        if self.kvm:
            return wire.Accelerator.KVM
        return wire.Accelerator.TCG

    async def probe(self, probe: Probe | None) -> None:
        """Find out once whether KVM works; until then nothing is offered.

        :param probe: None if the owner has switched it off
        """
        if probe is None:
            self._verdict = KvmVerdict(False, 'KVM is switched off')
        else:
            self._verdict = await probe()
        LOG.info('KVM: %s', self._verdict.reason)

    async def measure(self) -> None:
        """Look at the machine.

        :raises P2PcsError: the hypervisor does not answer
        """
        if self._verdict is None:
            self.fail('KVM is being tested')
            return
        host = await self._hypervisor.host()
        disk = await trio.to_thread.run_sync(
            measure_disk, self._layout, self._images_in_use()
        )
        offered, reasons = networks.find_networks(
            self._rules.bridge_mappings, self._sysfs
        )
        if self.accelerator is wire.Accelerator.TCG:
            reasons = (
                f'guests run without KVM, slowly: {self._verdict.reason}',
                *reasons,
            )
        self.finding = capacity.find_offer(
            self._rules,
            capacity.Hardware(
                cpus=host.cpus,
                memory_mb=_whole_memory(host.memory_mb),
                memory_left_mb=_coarse(
                    available_mb(self._meminfo.read_text()) + host.guests_mb
                ),
                disk_mb=disk,
                arch=host.arch,
                cpu_model=host.cpu_model,
                hypervisor_version=host.version,
            ),
            self.accelerator,
            offered,
            reasons,
        )

    def fail(self, reason: str) -> None:
        """Offer nothing, for this reason."""
        self.finding = Finding(capacity.nothing(reason), (reason,))


def _whole_memory(node_mb: int) -> int:
    """MiB of this machine; some kernels show libvirt only a part."""
    pages = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    whole = max(node_mb, pages >> 20)
    return _coarse(whole)


def _coarse(memory_mb: int) -> int:
    return memory_mb // MEMORY_GRAIN_MB * MEMORY_GRAIN_MB


def available_mb(meminfo: str) -> int:
    """MiB that programs can have without swapping, by the kernel's guess.

    :param meminfo: text of ``/proc/meminfo``, whose numbers are in KiB
        (proc(5))
    """
    lines = (line.partition(':') for line in meminfo.splitlines())
    found = {name: rest for name, _, rest in lines}
    return int(found['MemAvailable'].split()[0]) >> 10


def measure_disk(layout: Layout, in_use: frozenset[str]) -> int:
    """MiB that instances take, or could take. Blocks.

    What is free, what their disks take already, and images that would be
    removed to make room: those that no run right names.

    :param in_use: digests of the other images
    """
    used = {imaging.image_path(layout.images, d).name for d in in_use}
    try:
        whole = (
            imaging.free_bytes(layout.instances)
            + disks.allocated_bytes(layout.instances)
            + disks.allocated_bytes(layout.images, used)
        )
    except OSError as error:
        raise errors.NoSpace(
            f'{os.fspath(layout.instances)}: {error.strerror}'
        ) from None
    return (whole >> 20) // DISK_GRAIN_MB * DISK_GRAIN_MB
