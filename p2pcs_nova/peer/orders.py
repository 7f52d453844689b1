# SPDX-License-Identifier: Apache-2.0
"""What gateways may ask of a PC, each by the term of a slice.

First of all is looked at whose command it is, then whether this PC takes
part, then whose the instance is.
"""

from __future__ import annotations

import contextlib
import logging
import pathlib
from collections.abc import AsyncIterator

import msgspec
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.authority import Authority
from p2pcs_nova.peer.errands import Errands
from p2pcs_nova.peer.grants import Grants
from p2pcs_nova.peer.health import Health
from p2pcs_nova.peer.images import Images
from p2pcs_nova.peer.instances import Instances
from p2pcs_nova.peer.reservations import Reservations
from p2pcs_nova.peer.standing import Standing
from p2pcs_nova.peer.surroundings import Surroundings

LOG = logging.getLogger(__name__)


class Orders:
    """To one PC.

    :param restore_at: seconds of CLOCK_BOOTTIME; nothing is run again
        earlier
    :raises StaleTerm: by each of them: another gateway has the slice
    """

    def __init__(
        self,
        around: Surroundings,
        authority: Authority,
        standing: Standing,
        grants: Grants,
        reservations: Reservations,
        images: Images,
        instances: Instances,
        health: Health,
        errands: Errands,
        restore_at: float,
    ) -> None:
        self._around = around
        self._authority = authority
        self._standing = standing
        self._grants = grants
        self._reservations = reservations
        self._images = images
        self._instances = instances
        self._health = health
        self._errands = errands
        self._restore_at = restore_at

    def _mine(self, command: wire.Command, instance: str) -> None:
        """Whether the instance is the slice's.

        :raises NotFound: no such instance
        :raises OtherSlice: it is another slice's
        """
        owner = self._instances.entry(instance).right.slice
        if owner != command.slice:
            raise errors.OtherSlice(
                f'instance {instance} belongs to slice {owner}'
            )

    async def claim(
        self, command: wire.Command, claim: wire.Claim
    ) -> wire.Reservation:
        """Promise capacity for a while."""
        await self._authority.obey(command)
        if self._reservations.holds(claim.instance, command.slice):
            # To be built anew, where it is: that is nothing new.
            self._standing.take_part()
        else:
            self._standing.take_new(command.slice)
        grant, left_s = self._grants.give(command.slice, claim)
        return wire.Reservation(
            id=grant.id,
            expires_s=left_s,
            free=self._reservations.free(),
            has_image=claim.image is not None
            and self._images.has(claim.image),
        )

    async def release(self, command: wire.Command, reservation: str) -> None:
        """Give a promise back; one that is gone is no error."""
        await self._authority.obey(command)
        self._grants.take_back(reservation)

    async def build(
        self, command: wire.Command, instance: str, request: wire.BuildRequest
    ) -> wire.InstanceStatus:
        """Confirm a reservation and build; returns when PLUGGED."""
        await self._authority.obey(command)
        self._standing.take_part()
        right = self._authority.check_right(command, instance, request)
        return await self._errands.run(
            self._instances.build,
            right,
            request,
            self._health.accelerator,
            self._around.clock,
        )

    async def act(
        self,
        command: wire.Command,
        instance: str,
        request: wire.ActionRequest,
    ) -> wire.InstanceStatus:
        """Start, stop, reboot, pause, suspend."""
        await self._authority.obey(command)
        if request.action is wire.Action.RESTORE:
            await trio.sleep(max(self._restore_at - self._around.clock(), 0))
            # Another gateway may have followed this one meanwhile.
            await self._authority.obey(command)
        self._standing.take_part()
        self._mine(command, instance)
        return await self._errands.run(
            self._instances.act, instance, request, self._health.accelerator
        )

    async def filter(
        self,
        command: wire.Command,
        instance: str,
        request: wire.FilterRequest,
    ) -> None:
        """From now on this may pass at its ports; durable."""
        await self._authority.obey(command)
        self._mine(command, instance)
        await self._errands.run(self._instances.filter, instance, request)

    @contextlib.asynccontextmanager
    async def snapshot(
        self,
        command: wire.Command,
        instance: str,
        request: wire.SnapshotRequest,
    ) -> AsyncIterator[pathlib.Path]:
        """A copy of its disk; nothing is left of it after the context."""
        await self._authority.obey(command)
        self._mine(command, instance)
        async with self._instances.copied(instance, request) as copy:
            yield copy

    async def bury(
        self, command: wire.Command, instance: str, tombstone: wire.Tombstone
    ) -> None:
        """This epoch must not run; returns when nothing of it is left."""
        await self._authority.obey(command)
        if tombstone.instance != instance:
            raise errors.Malformed("the tombstone is another instance's")
        try:
            self._mine(command, instance)
        except errors.NotFound:
            LOG.info('[instance %s] buried before it was here', instance)
        await self._errands.run(self._instances.bury, tombstone)

    async def instances(self, command: wire.Command) -> wire.InstanceList:
        """Everything that this PC holds."""
        await self._authority.obey(command)
        return wire.InstanceList(
            self._around.peer_id,
            self._around.boot_id,
            self._instances.statuses(),
        )

    async def instance(
        self, command: wire.Command, instance: str
    ) -> wire.InstanceStatus:
        """One of them, looked at now if libvirt answers."""
        await self._authority.obey(command)
        self._mine(command, instance)
        return await self._instances.look(instance)

    async def right(
        self, command: wire.Command, instance: str
    ) -> wire.HeldRight:
        """By which right it is here, for a gateway that has forgotten."""
        await self._authority.obey(command)
        self._mine(command, instance)
        entry = self._instances.entry(instance)
        spec = msgspec.structs.replace(entry.spec, config_drive=())
        return wire.HeldRight(entry.signed, spec)

    async def console(
        self, command: wire.Command, instance: str, length: int
    ) -> wire.Console:
        """The end of its serial console."""
        await self._authority.obey(command)
        self._mine(command, instance)
        output = await self._instances.console(instance, length)
        return wire.Console(instance, output)

    async def story(
        self, command: wire.Command, instance: str
    ) -> wire.Chapter:
        """What was logged here of an instance, be it gone or not."""
        await self._authority.obey(command)
        return await trio.to_thread.run_sync(
            self._around.journal.chapter, instance
        )

    async def diagnostics(
        self, command: wire.Command, instance: str
    ) -> wire.Diagnostics:
        """Its counters."""
        await self._authority.obey(command)
        self._mine(command, instance)
        return await self._instances.diagnostics(instance)
