# SPDX-License-Identifier: Apache-2.0
"""PCs in memory for a gateway: real promises, no machines.

Reservations and terms are the real ones of a PC; building, tombstones and
the ways to fail are played.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec
import trio

from p2pcs_nova import bodies, errors, wire
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from p2pcs_nova.peer import reservations, terms
from tests.support import disk_images

HOLD_S = 30.0
NO_WISHES = wire.Wishes()
DISK = disk_images.qcow2()


class FakePc:
    """One PC; its attributes are switches for a test to set."""

    def __init__(
        self,
        number: int,
        total: wire.Capacity,
        *,
        attributes: wire.Attributes | None = None,
        networks: tuple[str, ...] = ('office',),
        slice_: str = 'all',
    ) -> None:
        self.id = f'{number:032x}'
        self.name = f'pc{number}'
        self.attributes = attributes or {}
        self.slice = slice_
        """The slice that it has chosen."""
        self.offer = wire.Offer(total, networks=networks)
        self.boot = 'first'
        self.draining = False
        self.frozen = False
        """Takes connections and never answers, like a stopped process."""
        self.cut = False
        """Out of reach: connections fail at once."""
        self.build_s = 1.0
        self.claim_s = 0.0
        self.release_s = 0.0
        """How long a release is on its way."""
        self.build_errors: list[errors.P2PcsError] = []
        """Raised by the next builds, before anything is committed."""
        self.tombstone_errors: list[errors.P2PcsError] = []
        """Raised by the next tombstones, which change nothing."""
        self.action_errors: list[errors.P2PcsError] = []
        """Raised by the next actions."""
        self.silent_builds = 0
        """So many builds commit, then their answer is lost."""
        self.disk = DISK
        """A copy of every instance's disk."""
        self.copies = 0
        """That are open."""
        self.has_images: set[str] = set()
        self.reservations = reservations.Reservations(self.offer, HOLD_S)
        self.terms = terms.Terms({})
        self.instances: dict[str, wire.InstanceStatus] = {}
        self.rights: dict[str, wire.HeldRight] = {}
        """By which it has them."""
        self.tombstones: dict[str, wire.Counter] = {}
        self.filters: dict[str, tuple[wire.PortFilter, ...]] = {}
        self.said: dict[str, list[tuple[float, str]]] = {}
        """What it has logged of instances, by true time."""
        self.clock_ahead_s = 0.0
        """Its wall clock, against the others'."""
        self.calls: list[str] = []
        self.most_promised = wire.Capacity()
        self._builds: dict[str, trio.Lock] = {}

    def building(self, instance: str) -> trio.Lock:
        """Whoever builds an instance is alone with it."""
        return self._builds.setdefault(instance, trio.Lock())

    def lose_power(self) -> None:
        """Off and on again; what was under way is for the caller to end.

        What it had granted is forgotten, what it holds is not.
        """
        self.boot = str(uuid.uuid4())
        self.reservations = reservations.Reservations(self.offer, HOLD_S)
        self._builds = {}
        for one in self.instances.values():
            right = wire.RunRight(
                one.instance, one.epoch, self.id, one.slice, 'sha256:0'
            )
            self.reservations.hold(right, one.need)
            if one.state is wire.InstanceState.RUNNING:
                self.instances[one.instance] = msgspec.structs.replace(
                    one, state=wire.InstanceState.WAITING
                )

    @property
    def record(self) -> wire.PeerRecord:
        """What it publishes."""
        return wire.PeerRecord(
            name=self.name,
            offer=self.offer,
            attributes=self.attributes,
            used=self.reservations.held(),
            slice=self.reservations.slice() or self.slice,
            draining=self.draining,
        )

    @property
    def instances_record(self) -> wire.InstancesRecord:
        """What it publishes of its instances."""
        return wire.InstancesRecord(
            tuple(
                (one.instance, one.epoch, one.state)
                for one in self.instances.values()
            )
        )

    def running(self, instance: str) -> bool:
        """Whether it holds a live domain of this instance."""
        return instance in self.instances


class Session:
    """One connection of a gateway to a PC."""

    def __init__(self, pc: FakePc, command: wire.Command) -> None:
        self._pc = pc
        self._command = command

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def _enter(self, name: str) -> None:
        pc = self._pc
        pc.calls.append(name)
        await trio.lowlevel.checkpoint()
        if pc.cut:
            raise errors.Unreachable(f'{pc.name} is cut off')
        if pc.frozen:
            await trio.sleep_forever()
        if pc.terms.check(self._command):
            pc.terms.accept(self._command)

    async def claim(self, claim: wire.Claim) -> wire.Reservation:
        await self._enter('claim')
        pc = self._pc
        is_here = pc.reservations.holds(claim.instance, self._command.slice)
        if pc.draining and not is_here:
            raise errors.Draining(pc.name)
        if self._command.slice != (pc.reservations.slice() or pc.slice):
            raise errors.OtherSlice(pc.name)
        grant = pc.reservations.claim(
            self._command.slice, claim, str(uuid.uuid4()), trio.current_time()
        )
        promised = pc.reservations.promised()
        assert pc.offer.total.fits(promised)
        pc.most_promised = max(pc.most_promised, promised, key=_size)
        await trio.sleep(pc.claim_s)
        return wire.Reservation(
            grant.id,
            HOLD_S,
            pc.reservations.free(),
            claim.image in pc.has_images,
        )

    async def release(self, reservation: str) -> None:
        await self._enter('release')
        await trio.sleep(self._pc.release_s)
        self._pc.reservations.release(reservation)

    async def build(
        self, instance: str, request: wire.BuildRequest
    ) -> wire.InstanceStatus:
        await self._enter('build')
        pc = self._pc
        right = msgspec.json.decode(
            request.run_right.payload, type=wire.RunRight
        )
        assert (right.instance, right.peer) == (instance, pc.id)
        async with pc.building(instance):
            return await self._build(right, request)

    async def _build(
        self, right: wire.RunRight, request: wire.BuildRequest
    ) -> wire.InstanceStatus:
        pc, instance = self._pc, right.instance
        self._check_epoch(right)
        old = pc.instances.get(instance)
        if old is not None and old.epoch == right.epoch:
            return old
        if pc.build_errors:
            raise pc.build_errors.pop(0)
        reserved = request.reservation, right, request.spec.need
        pc.reservations.check(*reserved, trio.current_time())
        if old is not None:
            self._bury(wire.Tombstone(instance, old.epoch))
        pc.reservations.confirm(*reserved, trio.current_time())
        status = wire.InstanceStatus(
            instance,
            right.epoch,
            right.slice,
            wire.InstanceState.PLUGGED,
            request.spec.need,
        )
        try:
            await trio.sleep(pc.build_s)
            self._check_epoch(right)
        except (errors.StaleEpoch, trio.Cancelled):
            pc.reservations.drop(instance, right.epoch)
            raise
        pc.instances[instance] = status
        pc.rights[instance] = wire.HeldRight(
            request.run_right,
            msgspec.structs.replace(request.spec, config_drive=()),
        )
        if pc.silent_builds:
            pc.silent_builds -= 1
            raise errors.Unreachable('the answer is lost')
        return status

    async def action(
        self, instance: str, request: wire.ActionRequest
    ) -> wire.InstanceStatus:
        await self._enter('action')
        if self._pc.action_errors:
            raise self._pc.action_errors.pop(0)
        old = self._known(instance)
        if request.epoch != old.epoch:
            raise errors.StaleEpoch('another epoch runs here')
        state = {
            wire.Action.STOP: wire.InstanceState.STOPPED,
            wire.Action.PAUSE: wire.InstanceState.PAUSED,
            wire.Action.SUSPEND: wire.InstanceState.SUSPENDED,
            wire.Action.QUARANTINE: wire.InstanceState.QUARANTINED,
        }.get(request.action, wire.InstanceState.RUNNING)
        if request.action is wire.Action.RESTORE and old.state not in (
            wire.InstanceState.WAITING,
            wire.InstanceState.QUARANTINED,
        ):
            state = old.state
        new = msgspec.structs.replace(old, state=state)
        self._pc.instances[instance] = new
        return new

    async def filter(self, instance: str, request: wire.FilterRequest) -> None:
        await self._enter('filter')
        old = self._known(instance)
        if request.epoch != old.epoch:
            raise errors.StaleEpoch('another epoch runs here')
        self._pc.filters[instance] = request.ports

    @contextlib.asynccontextmanager
    async def snapshot(
        self, instance: str, request: wire.SnapshotRequest
    ) -> AsyncIterator[bodies.Body]:
        await self._enter('snapshot')
        if request.epoch != self._known(instance).epoch:
            raise errors.StaleEpoch('another epoch runs here')
        self._pc.copies += 1
        try:
            async with contextlib.aclosing(self._pieces()) as chunks:
                yield bodies.Body(len(self._pc.disk), chunks)
        finally:
            self._pc.copies -= 1

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        for start in range(0, len(self._pc.disk), 50_000):
            await trio.lowlevel.checkpoint()
            if self._pc.cut:
                raise errors.Unreachable(f'{self._pc.name} is cut off')
            yield self._pc.disk[start : start + 50_000]

    async def tombstone(self, tombstone: wire.Tombstone) -> None:
        await self._enter('tombstone')
        if self._pc.tombstone_errors:
            raise self._pc.tombstone_errors.pop(0)
        self._bury(tombstone)

    def _check_epoch(self, right: wire.RunRight) -> None:
        buried = self._pc.tombstones.get(right.instance)
        if buried is not None and buried >= right.epoch:
            raise errors.StaleEpoch(f'{right.epoch} is buried')
        known = self._pc.instances.get(right.instance)
        if known is not None and known.epoch > right.epoch:
            raise errors.StaleEpoch(f'{known.epoch} is here already')

    def _bury(self, tombstone: wire.Tombstone) -> None:
        pc, instance = self._pc, tombstone.instance
        pc.tombstones[instance] = max(
            tombstone.epoch, pc.tombstones.get(instance, tombstone.epoch)
        )
        old = pc.instances.get(instance)
        if old is not None and old.epoch <= tombstone.epoch:
            del pc.instances[instance]
            pc.reservations.drop(instance, old.epoch)

    async def instances(self) -> wire.InstanceList:
        await self._enter('instances')
        return wire.InstanceList(
            self._pc.id, self._pc.boot, tuple(self._pc.instances.values())
        )

    async def instance(self, instance: str) -> wire.InstanceStatus:
        await self._enter('instance')
        return self._known(instance)

    async def right(self, instance: str) -> wire.HeldRight:
        await self._enter('right')
        self._known(instance)
        return self._pc.rights[instance]

    async def console(self, instance: str, length: int) -> wire.Console:
        await self._enter('console')
        self._known(instance)
        return wire.Console(instance, b'login: '[-length:])

    async def diagnostics(self, instance: str) -> wire.Diagnostics:
        await self._enter('diagnostics')
        return wire.Diagnostics(
            self._known(instance).state,
            uptime_s=1,
            cpu_time_ns=(1,),
            memory_mb=64,
            memory_used_mb=32,
        )

    async def story(self, instance: str) -> wire.Chapter:
        await self._enter('story')
        pc, now = self._pc, trio.current_time() + self._pc.clock_ahead_s
        return wire.Chapter(
            pc.name,
            now,
            tuple(
                wire.StoryLine(at_s + pc.clock_ahead_s, pc.name, said)
                for at_s, said in pc.said.get(instance, ())
            ),
        )

    def _known(self, instance: str) -> wire.InstanceStatus:
        try:
            return self._pc.instances[instance]
        except KeyError:
            raise errors.NotFound(instance) from None


def _size(capacity: wire.Capacity) -> int:
    return capacity.memory_mb


class Office:
    """All PCs, and what the overlay would tell a gateway of them."""

    def __init__(self, *pcs: FakePc) -> None:
        self.pcs = {pc.id: pc for pc in pcs}
        self.commands: list[wire.Command] = []

    def connect(
        self,
        peer: str,
        command: wire.Command,
        timeout_s: float,
        request_id: str,
    ) -> Session:
        """As a gateway's ``Connect``."""
        self.commands.append(command)
        return Session(self.pcs[peer], command)

    def tell(self, service: services.GatewayService) -> None:
        """Everything that the overlay knows now."""
        for pc in self.pcs.values():
            self.tell_liveness(service, pc, views.Liveness.ALIVE)
            self.tell_records(service, pc)

    def tell_records(
        self, service: services.GatewayService, pc: FakePc
    ) -> None:
        """What one PC has published."""
        service.peer_record(pc.id, pc.record)
        service.instances_record(pc.id, 'instances/0', pc.instances_record)

    def tell_liveness(
        self,
        service: services.GatewayService,
        pc: FakePc,
        liveness: views.Liveness,
    ) -> None:
        """What the failure detector says of one PC."""
        service.peer_changed(
            views.PeerSeen(
                pc.id, 'peer', '198.18.1.1', 7400, liveness, pc.boot
            )
        )

    def live(self, instance: str) -> list[FakePc]:
        """The PCs that hold a domain of this instance."""
        return [pc for pc in self.pcs.values() if pc.running(instance)]

    def build_errors(self, *found: errors.P2PcsError) -> None:
        """Whichever PC builds next fails so."""
        for pc in self.pcs.values():
            pc.build_errors = list(found)


def spawn_request(
    number: int,
    need: wire.Capacity,
    *,
    image: str = 'sha256:' + 'a' * 64,
    networks: tuple[str, ...] = ('office',),
    wishes: wire.Wishes = NO_WISHES,
    group: wire.ServerGroup | None = None,
) -> wire.SpawnRequest:
    """What the driver would ask for."""
    instance = str(uuid.UUID(int=number + 1))
    return wire.SpawnRequest(
        claim=wire.Claim(instance, need, networks, image),
        spec=wire.InstanceSpec(
            instance=instance,
            name=f'server{number}',
            need=need,
            image=wire.Image(image, 'raw', 512),
            root_mb=1,
            config_drive=(wire.ConfigFile('secret', b'password'),),
            group=group,
        ),
        request_id=f'req-{number}',
        wishes=wishes,
    )
