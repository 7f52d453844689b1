# SPDX-License-Identifier: Apache-2.0
"""What a PC needs of a hypervisor: our domains, and nothing else.

Every method has a deadline inside: it returns, or raises
:class:`~p2pcs_nova.errors.HypervisorBusy` (no answer in time; the outcome
is not known) or :class:`~p2pcs_nova.errors.HypervisorFailed` (it said
no).  Domains without our mark are never listed or touched.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import pathlib

from p2pcs_nova import wire
from p2pcs_nova.peer import domain


@dataclasses.dataclass(frozen=True)
class Host:
    """The machine, as the hypervisor sees it."""

    cpus: int
    memory_mb: int
    arch: str
    cpu_model: str
    version: int
    guests_mb: int = 0
    """Memory that our guests have in use, as far as that can be told."""


class Power(enum.Enum):
    """The state of a domain."""

    RUNNING = 'running'
    PAUSED = 'paused'
    OFF = 'off'
    COLD = 'cold'
    """Off since the machine started: nobody saw it stop."""
    CRASHED = 'crashed'
    """Off, and not of its own will."""


IS_OFF = frozenset({Power.OFF, Power.COLD, Power.CRASHED})
"""There is no guest."""


@dataclasses.dataclass(frozen=True)
class Domain:
    """One of our domains."""

    mark: domain.Mark
    power: Power
    detail: str = ''
    """Why it is in this state, if that is worth saying."""


class Copying(enum.Enum):
    """How far the copy of a disk is."""

    RUNNING = 'running'
    WHOLE = 'whole'
    """All is copied, and every further write too until it is ended."""
    NONE = 'none'
    """There is none: not begun, ended, or failed."""


class Happening(enum.Enum):
    """What the hypervisor tells of itself."""

    CHANGED = 'changed'
    REBOOTED = 'rebooted'


@dataclasses.dataclass(frozen=True)
class Event:
    """Something happened to the domain of this instance."""

    instance: str
    what: Happening


class Hypervisor(abc.ABC):
    """One PC's hypervisor; all instances by their uuid."""

    @abc.abstractmethod
    async def host(self) -> Host:
        """The machine; also the proof that the hypervisor answers."""

    @abc.abstractmethod
    async def group(self) -> int:
        """That the processes of guests run as; once known it is no call."""

    @abc.abstractmethod
    async def domains(self) -> tuple[Domain, ...]:
        """All of ours, in no order."""

    @abc.abstractmethod
    async def domain(self, instance: str) -> Domain | None:
        """One of ours; None if there is none."""

    @abc.abstractmethod
    async def define(self, instance: str, xml: str) -> None:
        """Make a domain known; replaces our own older definition.

        :raises HypervisorFailed: also if a domain of this uuid is not ours
        """

    @abc.abstractmethod
    async def start_paused(self, instance: str) -> None:
        """From OFF to PAUSED: processes and taps are there, no guest."""

    @abc.abstractmethod
    async def resume(self, instance: str) -> None:
        """From PAUSED to RUNNING."""

    @abc.abstractmethod
    async def suspend(self, instance: str) -> None:
        """From RUNNING to PAUSED."""

    @abc.abstractmethod
    async def save(
        self, instance: str, memory: pathlib.Path, timeout_s: float
    ) -> None:
        """From RUNNING to OFF, its memory in this new file.

        :raises NoSpace: the disk is full; the guest runs on
        :raises HypervisorFailed: it runs on; a part of the file may be left
        :raises HypervisorBusy: not within ``timeout_s``; it runs on, unless
            the hypervisor does not answer at all
        """

    @abc.abstractmethod
    async def is_saved(self, memory: pathlib.Path) -> bool:
        """Whether the file holds all of a guest's memory."""

    @abc.abstractmethod
    async def restore_paused(
        self, instance: str, memory: pathlib.Path, timeout_s: float
    ) -> None:
        """From OFF to PAUSED, as it was saved; the file stays."""

    @abc.abstractmethod
    async def begin_copy(
        self, instance: str, disk: pathlib.Path, copy: pathlib.Path
    ) -> None:
        """Begin to copy a disk of a running or paused domain.

        :param disk: the file that is the disk
        :param copy: a new file; it becomes a qcow2 image without backing
        """

    @abc.abstractmethod
    async def look_at_copy(self, instance: str, disk: pathlib.Path) -> Copying:
        """How far it is."""

    @abc.abstractmethod
    async def end_copy(self, instance: str, disk: pathlib.Path) -> bool:
        """Write no more to the copy; nothing if there is none.

        A copy that was WHOLE is then the disk of this moment.

        :returns: whether there was one to end
        """

    @abc.abstractmethod
    async def press_power_button(self, instance: str) -> None:
        """Ask the guest by ACPI to shut down; it may ignore that."""

    @abc.abstractmethod
    async def ask_reboot(self, instance: str) -> None:
        """Ask the guest by ACPI to reboot: REBOOTED follows if it does."""

    @abc.abstractmethod
    async def cut_power(self, instance: str) -> None:
        """To OFF, at once; nothing if it is off or absent."""

    @abc.abstractmethod
    async def undefine(self, instance: str) -> None:
        """Forget a domain that is off; nothing if it is absent."""

    @abc.abstractmethod
    async def diagnostics(self, instance: str) -> wire.Diagnostics:
        """Counters of a domain.

        :raises NotFound: it is absent
        """

    @abc.abstractmethod
    async def wait_events(self) -> frozenset[Event]:
        """What happened since the last call; waits until something does.

        Events of one kind and domain are merged; they may be lost when
        the connection is, so look at :meth:`domains` now and then.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Let go of the hypervisor; guests run on."""
