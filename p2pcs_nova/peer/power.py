# SPDX-License-Identifier: Apache-2.0
"""Starting, stopping, rebooting, pausing, suspending: a built instance."""

from __future__ import annotations

import contextlib

import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.builder import Builder
from p2pcs_nova.peer.hypervisor import IS_OFF, Domain, Hypervisor, Power
from p2pcs_nova.peer.memories import Memories
from p2pcs_nova.peer.steps import Passed, Step
from p2pcs_nova.peer.store import Entry
from p2pcs_nova.peer.watch import Watch

SOFT_REBOOT_S = 60.0
ASK_AGAIN_S = 10.0
"""As often as Nova's other drivers press the button."""
"""A guest that has not rebooted by then is switched off and on."""

Action = wire.Action


def _is_off(domain: Domain | None) -> bool:
    return domain is None or domain.power in IS_OFF


class PowerSwitch:
    """What the actions of a request do to a domain."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        watch: Watch,
        builder: Builder,
        memories: Memories,
        passed: Passed,
    ) -> None:
        self._hypervisor = hypervisor
        self._watch = watch
        self._builder = builder
        self._memories = memories
        self._passed = passed

    async def act(
        self,
        entry: Entry,
        action: Action,
        timeout_s: float,
        accelerator: wire.Accelerator,
    ) -> None:
        """Do it, whatever of it has been done already.

        :param timeout_s: how long a guest has to obey; 0: as for
            ``SOFT_REBOOT_S``, and no time for a stop; or how long its
            memory may take from or to the disk
        """
        instance = entry.right.instance
        domain = await self._watch.refresh(instance)
        await self._memories.settle(entry, domain)
        if action in (Action.START, Action.UNPAUSE, Action.RESUME):
            await self._start(entry, domain, accelerator, timeout_s)
        elif action is Action.PAUSE:
            await self._pause(instance, domain)
        elif action is Action.SUSPEND:
            await self._suspend(entry, domain, timeout_s)
        elif action is Action.STOP:
            await self._stop(entry, domain, timeout_s)
        elif action is Action.REBOOT_SOFT and await self._reboots(
            instance, timeout_s or SOFT_REBOOT_S
        ):
            return
        else:
            await self._cut(entry)
            domain = await self._watch.refresh(instance)
            await self._start(entry, domain, accelerator, timeout_s)
        await self._watch.refresh(instance)

    async def freeze(self, entry: Entry) -> None:
        """Pause it, if it runs."""
        instance = entry.right.instance
        await self._pause(instance, await self._watch.refresh(instance))
        await self._watch.refresh(instance)

    async def _start(
        self,
        entry: Entry,
        domain: Domain | None,
        accelerator: wire.Accelerator,
        timeout_s: float,
    ) -> None:
        instance = entry.right.instance
        if domain is None:
            await self._builder.define(entry, accelerator)
        if domain is None or _is_off(domain):
            if self._memories.has(entry):
                await self._memories.restore(entry, timeout_s)
            else:
                await self._builder.start_paused(entry)
        elif domain.power is Power.RUNNING:
            return
        await self._memories.drop(entry)
        await self._hypervisor.resume(instance)
        self._passed(Step.DOMAIN_RESUMED, instance)

    async def _pause(self, instance: str, domain: Domain | None) -> None:
        if domain is not None and domain.power is Power.RUNNING:
            await self._hypervisor.suspend(instance)
            self._passed(Step.DOMAIN_SUSPENDED, instance)

    async def _suspend(
        self, entry: Entry, domain: Domain | None, timeout_s: float
    ) -> None:
        if domain is not None and domain.power is Power.RUNNING:
            await self._memories.save(entry, timeout_s)

    async def _stop(
        self, entry: Entry, domain: Domain | None, timeout_s: float
    ) -> None:
        instance = entry.right.instance
        if _is_off(domain):
            await self._memories.drop(entry)
            return
        running = domain is not None and domain.power is Power.RUNNING
        if running and timeout_s:
            with trio.move_on_after(timeout_s):
                await self._ask_to_stop(instance)
                return
        await self._cut(entry)

    async def _ask_to_stop(self, instance: str) -> None:
        """Until it is off: one that is just starting does not listen."""
        await self._hypervisor.press_power_button(instance)
        while not await self._watch.wait(instance, _is_off, ASK_AGAIN_S):
            with contextlib.suppress(errors.HypervisorFailed):
                # It may have gone off just now; then the wait says so.
                await self._hypervisor.press_power_button(instance)

    async def _reboots(self, instance: str, timeout_s: float) -> bool:
        """Whether the guest obeys the request to reboot in time."""
        before = self._watch.reboots(instance)
        await self._hypervisor.ask_reboot(instance)
        await self._watch.wait(
            instance,
            lambda domain: (
                self._watch.reboots(instance) > before or _is_off(domain)
            ),
            timeout_s,
        )
        return self._watch.reboots(instance) > before

    async def _cut(self, entry: Entry) -> None:
        """Off, and nothing of its memory left."""
        await self._hypervisor.cut_power(entry.right.instance)
        self._passed(Step.POWER_CUT, entry.right.instance)
        await self._memories.drop(entry)
