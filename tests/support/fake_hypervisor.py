# SPDX-License-Identifier: Apache-2.0
"""A hypervisor in memory; the contract suite runs on it and on libvirt."""

import dataclasses
import os
import pathlib
import re

import trio
from lxml import etree

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import domain as domain_xml
from p2pcs_nova.peer.hypervisor import (
    IS_OFF,
    Copying,
    Domain,
    Event,
    Happening,
    Host,
    Hypervisor,
    Power,
)
from tests.support import disk_images

PART, WHOLE = b'a part', b'all of it'
"""What the files of saved guests hold."""


class FakeHypervisor(Hypervisor):
    """Domains are table rows; guests obey, unless told not to."""

    def __init__(self) -> None:
        self.rows: dict[str, Domain] = {}
        self.xml: dict[str, str] = {}
        self.obeys = True
        """Whether guests listen to ACPI."""
        self.deaf_for = 0
        """So many presses of the power button are not heard."""
        self.failing: errors.P2PcsError | None = None
        """Raised by every call while it is set."""
        self.failing_at: dict[str, errors.P2PcsError] = {}
        """Raised by the method of this name."""
        self.copies: dict[str, pathlib.Path] = {}
        """Being made, by instance."""
        self.copied = disk_images.qcow2()
        """What they hold."""
        self.dies_copied = False
        """Whether guests die just before their copy is ended."""
        self.copying = Copying.WHOLE
        """How far every copy is."""
        self._events: set[Event] = set()
        self._happened = trio.Event()

    async def _enter(self, name: str) -> None:
        await trio.lowlevel.checkpoint()
        if self.failing is not None:
            raise self.failing
        if name in self.failing_at:
            raise self.failing_at[name]

    def tell(self, instance: str, what: Happening) -> None:
        """Report an event."""
        self._events.add(Event(instance, what))
        self._happened.set()

    def set_power(self, instance: str, power: Power) -> None:
        """A domain changes by itself."""
        self.rows[instance] = dataclasses.replace(
            self.rows[instance], power=power
        )
        self.tell(instance, Happening.CHANGED)

    def _row(self, instance: str) -> Domain:
        if instance not in self.rows:
            raise errors.HypervisorFailed(f'no domain of {instance}')
        return self.rows[instance]

    def _change(self, instance: str, power: Power, *allowed: Power) -> None:
        if self._row(instance).power not in allowed:
            raise errors.HypervisorFailed(f'{instance} is not {allowed}')
        self.set_power(instance, power)

    async def host(self) -> Host:
        await self._enter('host')
        return Host(8, 16384, 'x86_64', 'fake', 7002000)

    async def group(self) -> int:
        return os.getegid()

    async def domains(self) -> tuple[Domain, ...]:
        await self._enter('domains')
        return tuple(self.rows.values())

    async def domain(self, instance: str) -> Domain | None:
        await self._enter('domain')
        return self.rows.get(instance)

    async def define(self, instance: str, xml: str) -> None:
        await self._enter('define')
        element = etree.fromstring(xml)
        mark = element.find(f'metadata/{{{domain_xml.NAMESPACE}}}*')
        assert mark is not None
        assert re.search(instance, xml)
        power = Power.COLD
        if instance in self.rows:
            power = self.rows[instance].power
        self.rows[instance] = Domain(
            domain_xml.parse_mark(etree.tostring(mark).decode()), power
        )
        self.xml[instance] = xml
        self.tell(instance, Happening.CHANGED)

    async def start_paused(self, instance: str) -> None:
        await self._enter('start_paused')
        self._change(instance, Power.PAUSED, *IS_OFF)

    async def resume(self, instance: str) -> None:
        await self._enter('resume')
        self._change(instance, Power.RUNNING, Power.PAUSED, Power.RUNNING)

    async def suspend(self, instance: str) -> None:
        await self._enter('suspend')
        self._change(instance, Power.PAUSED, Power.RUNNING, Power.PAUSED)

    async def save(
        self, instance: str, memory: pathlib.Path, timeout_s: float
    ) -> None:
        assert timeout_s > 0
        if self._row(instance).power is Power.RUNNING:
            _write(memory, PART)
        await self._enter('save')
        self._change(instance, Power.OFF, Power.RUNNING)
        _write(memory, WHOLE)

    async def is_saved(self, memory: pathlib.Path) -> bool:
        await self._enter('is_saved')
        return _read(memory) == WHOLE

    async def restore_paused(
        self, instance: str, memory: pathlib.Path, timeout_s: float
    ) -> None:
        await self._enter('restore_paused')
        if _read(memory) != WHOLE:
            raise errors.HypervisorFailed('save image is incomplete')
        self._change(instance, Power.PAUSED, *IS_OFF)

    async def begin_copy(
        self, instance: str, disk: pathlib.Path, copy: pathlib.Path
    ) -> None:
        await self._enter('begin_copy')
        if self._row(instance).power not in (Power.RUNNING, Power.PAUSED):
            raise errors.HypervisorFailed(f'{instance} is off')
        _write(copy, self.copied)
        self.copies[instance] = copy

    async def look_at_copy(self, instance: str, disk: pathlib.Path) -> Copying:
        await self._enter('look_at_copy')
        return self.copying if instance in self.copies else Copying.NONE

    async def end_copy(self, instance: str, disk: pathlib.Path) -> bool:
        await self._enter('end_copy')
        if self.dies_copied:
            self.copies.pop(instance, None)
            self.set_power(instance, Power.CRASHED)
        return self.copies.pop(instance, None) is not None

    async def press_power_button(self, instance: str) -> None:
        await self._enter('press_power_button')
        self._row(instance)
        self.deaf_for -= 1
        if self.obeys and self.deaf_for < 0:
            self._change(instance, Power.OFF, Power.RUNNING)

    async def ask_reboot(self, instance: str) -> None:
        await self._enter('ask_reboot')
        self._row(instance)
        if self.obeys:
            self.tell(instance, Happening.REBOOTED)

    async def cut_power(self, instance: str) -> None:
        await self._enter('cut_power')
        self.copies.pop(instance, None)
        if instance in self.rows:
            self.set_power(instance, Power.OFF)

    async def undefine(self, instance: str) -> None:
        await self._enter('undefine')
        if self.rows.pop(instance, None) is not None:
            self.tell(instance, Happening.CHANGED)

    async def diagnostics(self, instance: str) -> wire.Diagnostics:
        await self._enter('diagnostics')
        if instance not in self.rows:
            raise errors.NotFound(f'no domain of {instance}')
        return wire.Diagnostics(wire.InstanceState.RUNNING, 1, (1,), 64, 64)

    async def wait_events(self) -> frozenset[Event]:
        await self._happened.wait()
        self._happened = trio.Event()
        found = frozenset(self._events)
        self._events.clear()
        return found

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


def _write(path: pathlib.Path, data: bytes) -> None:
    path.write_bytes(data)


def _read(path: pathlib.Path) -> bytes:
    return path.read_bytes()
