# SPDX-License-Identifier: Apache-2.0
"""libvirt's blocking calls, each in a thread under a deadline.

A hung libvirtd blocks a call for ever.  One that misses its deadline is
abandoned with its connection; the next call opens a new one.  At most
``THREADS`` are under way or abandoned at once: beyond that a call waits
for a place while its deadline runs.  Abandoned calls end when libvirtd
goes on, or dies.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import pathlib
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import libvirt
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.hypervisor import (
    Copying,
    Domain,
    Event,
    Happening,
    Host,
    Hypervisor,
)
from p2pcs_nova.peer.libvirt_host import acting, reading
from p2pcs_nova.peer.libvirt_host.connection import (
    Discarded,
    Link,
    connect,
)

LOG = logging.getLogger(__name__)

THREADS = 8

P = ParamSpec('P')
T = TypeVar('T')


class _LostError(Exception):
    """The connection, not the request, is what failed."""


def _guarded(
    function: Callable[Concatenate[libvirt.virConnect, P], T],
    link: Link,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """The call, telling a lost connection from a refused request."""
    try:
        with link.call() as connection:
            try:
                return function(connection, *args, **kwargs)
            except libvirt.libvirtError as error:
                # Looks at the local end only: no question to libvirtd.
                if connection.isAlive() != 1:
                    raise _LostError(str(error)) from None
                raise
    except Discarded as error:
        raise _LostError(str(error)) from None


class LibvirtHost(Hypervisor):
    """libvirt on this machine.

    :param call_timeout_s: longest time that a call may take
    """

    def __init__(self, uri: str, *, call_timeout_s: float = 20.0) -> None:
        self._uri = uri
        self._timeout_s = call_timeout_s
        self._limiter = trio.CapacityLimiter(THREADS)
        self._opening = trio.Lock()
        self._link: Link | None = None
        self._lasting: reading.Lasting | None = None
        self._events: set[Event] = set()
        self._happened = trio.Event()

    # -- calls --------------------------------------------------------------

    async def _call(
        self,
        function: Callable[Concatenate[libvirt.virConnect, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run ``function(connection, …)`` in a thread, in time."""
        return await self._call_within(
            self._timeout_s, function, *args, **kwargs
        )

    async def _call_within(
        self,
        timeout_s: float,
        function: Callable[Concatenate[libvirt.virConnect, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """The same for a call whose time depends on the guest."""
        link = None
        try:
            with trio.fail_after(timeout_s):
                link = await self._open()
                return await trio.to_thread.run_sync(
                    functools.partial(
                        _guarded, function, link, *args, **kwargs
                    ),
                    abandon_on_cancel=True,
                    limiter=self._limiter,
                )
        except trio.TooSlowError:
            self._discard(link)
            raise errors.HypervisorBusy(
                f'libvirt at {self._uri} did not answer in '
                f'{timeout_s:g} s ({function.__name__})'
            ) from None
        except _LostError as error:
            self._discard(link)
            raise errors.HypervisorBusy(
                f'the connection to libvirt was lost: {error}'
            ) from None
        except libvirt.libvirtError as error:
            raise _translate(error) from None

    async def _open(self) -> Link:
        async with self._opening:
            if self._link is None:
                self._link = await self._connect()
            return self._link

    async def _connect(self) -> Link:
        given_up = threading.Event()
        notify = functools.partial(
            self._notify, trio.lowlevel.current_trio_token()
        )
        try:
            return await trio.to_thread.run_sync(
                connect,
                self._uri,
                notify,
                given_up,
                abandon_on_cancel=True,
                limiter=self._limiter,
            )
        except trio.Cancelled:
            given_up.set()
            raise

    def _discard(self, link: Link | None) -> None:
        """Never use this connection again."""
        if link is None or link is not self._link:
            return
        self._link = None
        link.discard()

    # -- events -------------------------------------------------------------

    def _notify(
        self,
        token: trio.lowlevel.TrioToken,
        instance: str,
        what: Happening | None,
    ) -> None:
        """Called in libvirt's thread."""
        try:
            token.run_sync_soon(self._take_event, instance, what)
        except trio.RunFinishedError:
            LOG.debug('an event of %s came after the end', instance)

    def _take_event(self, instance: str, what: Happening | None) -> None:
        if what is None:
            self._discard(self._link)
        else:
            self._events.add(Event(instance, what))
        self._happened.set()

    async def wait_events(self) -> frozenset[Event]:
        await self._happened.wait()
        self._happened = trio.Event()
        found = frozenset(self._events)
        self._events.clear()
        return found

    async def close(self) -> None:
        self._discard(self._link)
        await trio.lowlevel.checkpoint()

    # -- what a Hypervisor does ---------------------------------------------

    async def host(self) -> Host:
        lasting = await self._read_lasting()
        return await self._call(reading.read_host, lasting.cpu_model)

    async def group(self) -> int:
        return (await self._read_lasting()).group

    async def _read_lasting(self) -> reading.Lasting:
        if self._lasting is None:
            # Expensive, and it does not change.
            self._lasting = await self._call(reading.read_lasting)
        return self._lasting

    async def domains(self) -> tuple[Domain, ...]:
        return await self._call(reading.read_domains)

    async def domain(self, instance: str) -> Domain | None:
        return await self._call(reading.read_domain, instance)

    async def define(self, instance: str, xml: str) -> None:
        await self._call(acting.define, instance, xml)

    async def start_paused(self, instance: str) -> None:
        await self._call(acting.start_paused, instance)

    async def resume(self, instance: str) -> None:
        await self._call(acting.resume, instance)

    async def suspend(self, instance: str) -> None:
        await self._call(acting.suspend, instance)

    async def save(
        self, instance: str, memory: pathlib.Path, timeout_s: float
    ) -> None:
        try:
            await self._call_within(timeout_s, acting.save, instance, memory)
        except errors.HypervisorBusy:
            # If libvirt answers nothing else either, the first error tells.
            with contextlib.suppress(errors.P2PcsError):
                await self._call(acting.abort_save, instance)
            raise

    async def is_saved(self, memory: pathlib.Path) -> bool:
        return await self._call(reading.read_saved, memory)

    async def restore_paused(
        self, instance: str, memory: pathlib.Path, timeout_s: float
    ) -> None:
        await self._call_within(
            timeout_s, acting.restore_paused, instance, memory
        )

    async def begin_copy(
        self, instance: str, disk: pathlib.Path, copy: pathlib.Path
    ) -> None:
        await self._call(acting.begin_copy, instance, disk, copy)

    async def look_at_copy(self, instance: str, disk: pathlib.Path) -> Copying:
        return await self._call(reading.read_copying, instance, disk)

    async def end_copy(self, instance: str, disk: pathlib.Path) -> bool:
        return await self._call(acting.end_copy, instance, disk)

    async def press_power_button(self, instance: str) -> None:
        await self._call(acting.press_power_button, instance)

    async def ask_reboot(self, instance: str) -> None:
        await self._call(acting.ask_reboot, instance)

    async def cut_power(self, instance: str) -> None:
        await self._call(acting.cut_power, instance)

    async def undefine(self, instance: str) -> None:
        await self._call(acting.undefine, instance)

    async def diagnostics(self, instance: str) -> wire.Diagnostics:
        found = await self._call(reading.read_diagnostics, instance)
        if found is None:
            raise errors.NotFound(f'no domain of instance {instance}')
        return found


FULL_SIGNS = ('No space left on device', 'Cannot allocate memory')
"""What libvirt and QEMU quote of errno when the PC is full."""


def _translate(error: libvirt.libvirtError) -> errors.P2PcsError:
    text = str(error)
    if any(sign in text for sign in FULL_SIGNS):
        return errors.NoSpace(f'libvirt: {text}')
    return errors.HypervisorFailed(f'libvirt: {text}')
