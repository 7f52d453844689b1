# SPDX-License-Identifier: Apache-2.0
"""An overlay in memory, behind the interface of the local client.

Verified: the suite in ``overlay_contract`` runs on it and on the real
daemon.  It knows PCs with offers, claims the roomiest one, and keeps
states; it has no wire, no clock and no failure but those that a test asks
for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import threading
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from p2pcs_nova import attributes, errors, wire
from p2pcs_nova.client.downloads import Download
from p2pcs_nova.gateway import wanting
from tests.support import disk_images

State = wire.InstanceState
Action = wire.Action

OFF = frozenset({State.STOPPED, State.CRASHED, State.SUSPENDED})
AFTER = {
    Action.START: State.RUNNING,
    Action.STOP: State.STOPPED,
    Action.REBOOT_SOFT: State.RUNNING,
    Action.REBOOT_HARD: State.RUNNING,
    Action.PAUSE: State.PAUSED,
    Action.UNPAUSE: State.RUNNING,
    Action.SUSPEND: State.SUSPENDED,
    Action.RESUME: State.RUNNING,
}
ALLOWED = {
    Action.START: {State.PLUGGED, State.RUNNING, *OFF},
    Action.STOP: {State.PLUGGED, State.RUNNING, State.PAUSED, *OFF},
    Action.REBOOT_SOFT: {State.RUNNING},
    Action.REBOOT_HARD: {State.RUNNING, State.PAUSED, *OFF},
    Action.PAUSE: {State.RUNNING, State.PAUSED},
    Action.UNPAUSE: {State.RUNNING, State.PAUSED},
    Action.SUSPEND: {State.RUNNING, State.SUSPENDED},
    Action.RESUME: {State.RUNNING, State.SUSPENDED},
}


@dataclasses.dataclass
class FakePc:
    """One PC: what it offers and whether it answers."""

    name: str
    slice: str
    offer: wire.Capacity
    networks: tuple[str, ...] = ('office',)
    reachable: bool = True
    """A test may cut it off."""
    attributes: wire.Attributes = dataclasses.field(default_factory=dict)

    @property
    def peer(self) -> str:
        """A peer id that is always the same for this name."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:32]


@dataclasses.dataclass
class Row:
    """An instance on its PC."""

    pc: FakePc
    spec: wire.InstanceSpec
    epoch: wire.Counter
    state: State = State.PLUGGED


class FakeOverlay:
    """PCs, instances, images; what all clients of a test share."""

    def __init__(self, pcs: Iterable[FakePc]) -> None:
        self.pcs = list(pcs)
        self.rows: dict[str, Row] = {}
        self.buried: dict[str, Row] = {}
        self.filters: dict[str, tuple[wire.PortFilter, ...]] = {}
        self.images: dict[str, bytes] = {}
        self.copies = 0
        """Of disks, that are open."""
        self.requests: list[str] = []
        """The names of all calls, in order."""
        self.wishes: dict[str, wire.Wishes] = {}
        """Of every spawn, by instance."""
        self.fail: dict[str, errors.P2PcsError] = {}
        """By name of a call, or ``build``: what it raises from now on."""
        self.revision = 1
        self.drained: set[str] = set()
        """Slices that take nothing new."""
        self.traits: tuple[str, ...] = ()
        """Of every slice."""
        self._epochs = 0
        self._changed = threading.Condition()

    def client(self) -> FakeClient:
        """A client of this overlay's gateway."""
        return FakeClient(self)

    def note(self, call: str) -> None:
        """Record a call, and fail as the test wishes."""
        self.requests.append(call)
        if call in self.fail:
            raise self.fail[call]

    def changed(self) -> None:
        """Raise the revision and wake who waits for one."""
        with self._changed:
            self.revision += 1
            self._changed.notify_all()

    def wait_changed(self, after: int, wait_s: float) -> None:
        """Until the revision is higher, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self.revision > after, wait_s)

    def set_state(self, uuid: str, state: State) -> None:
        """What a guest or an owner does by himself."""
        self.rows[uuid].state = state
        self.changed()

    def set_reachable(self, name: str, reachable: bool) -> None:
        """Plug or unplug a PC."""
        for pc in self.pcs:
            if pc.name == name:
                pc.reachable = reachable
        self.changed()

    def new_epoch(self) -> wire.Counter:
        """Higher than every other."""
        self._epochs += 1
        return wire.Counter(1, self._epochs)

    def used(self, pc: FakePc) -> wire.Capacity:
        """What the PC's instances need."""
        return _sum(
            row.spec.need for row in self.rows.values() if row.pc is pc
        )

    def vocabulary(self) -> wire.Vocabulary:
        """What the PCs say, and what is known."""
        said = [pc.attributes for pc in self.pcs]
        return attributes.merge(attributes.KNOWN, said)

    def allowed(self, wishes: wire.Wishes) -> list[FakePc]:
        """The PCs that these wishes allow."""
        said = [pc.attributes for pc in self.pcs]
        slices = dict.fromkeys(pc.slice for pc in self.pcs)
        if wishes.slice and wishes.slice not in slices:
            raise errors.Malformed(f'there is no slice {wishes.slice}')
        queries = [
            one.among(said) for one in wanting.parse(wishes, self.vocabulary())
        ]
        owners = {wishes.not_owner, wishes.hint_not_owner}
        return [
            pc
            for pc in self.pcs
            if all(one.takes(pc.attributes) for one in queries)
            and wishes.slice in ('', pc.slice)
            and pc.attributes.get('owner', '?') not in owners
        ]

    def summary(self, name: str) -> wire.SliceSummary:
        """As the gateway counts: an unreachable PC by what it holds."""
        ours = [pc for pc in self.pcs if pc.slice == name]
        if not ours:
            raise errors.NotFound(f'no slice {name}')
        live = [pc for pc in ours if pc.reachable]
        offers = [pc.offer for pc in live]
        held = [self.used(pc) for pc in ours if not pc.reachable]
        return wire.SliceSummary(
            name=name,
            term=wire.Counter(1, 1),
            peers=len(ours),
            unreachable=len(ours) - len(live),
            total=_sum(offers + held),
            largest=wire.Capacity(
                max((o.vcpus for o in offers), default=0),
                max((o.memory_mb for o in offers), default=0),
                max((o.disk_mb for o in offers), default=0),
            ),
            used=_sum(self.used(pc) for pc in ours),
            accelerators=(wire.Accelerator.TCG,) if live else (),
            networks=tuple({n: None for pc in live for n in pc.networks}),
            traits=self.traits,
        )


def _sum(parts: Iterable[wire.Capacity]) -> wire.Capacity:
    return sum(parts, start=wire.Capacity())


class FakeClient:
    """``LocalClient`` as the driver uses it."""

    def __init__(self, overlay: FakeOverlay) -> None:
        self._overlay = overlay

    def slice(
        self,
        name: str,
        *,
        request_id: str = '',
    ) -> wire.SliceSummary:
        self._overlay.note('slice')
        return self._overlay.summary(name)

    def wishable(self, *, request_id: str = '') -> wire.Wishable:
        self._overlay.note('wishable')
        return wire.Wishable(
            self._overlay.vocabulary(),
            tuple(dict.fromkeys(pc.slice for pc in self._overlay.pcs)),
        )

    def fits(
        self, request: wire.FitRequest, *, request_id: str = ''
    ) -> wire.Fits:
        self._overlay.note('fits')
        names = dict.fromkeys(pc.slice for pc in self._overlay.pcs)
        wished = request.wishes.slice
        if wished and wished not in names:
            raise errors.NotFound(f'there is no slice {wished}')
        allowed = self._overlay.allowed(request.wishes)
        return wire.Fits(
            tuple(self._fit(name, allowed, request) for name in names)
        )

    def _fit(
        self, name: str, allowed: Sequence[FakePc], request: wire.FitRequest
    ) -> wire.SliceFit:
        matching = [pc for pc in allowed if pc.slice == name]
        slots = [
            pc.offer.less(self._overlay.used(pc)).slots(request.need)
            if pc.reachable and set(request.networks) <= set(pc.networks)
            else 0
            for pc in matching
        ]
        full = slots.count(0)
        return wire.SliceFit(
            name,
            len(matching) - full,
            sum(slots),
            {'full': full} if full else {},
            len(matching),
        )

    def placements(
        self,
        slice: str,  # noqa: A002
        after: int | None = None,
        wait_s: float = 0.0,
        *,
        request_id: str = '',
    ) -> wire.Placements:
        self._overlay.note('placements')
        self._overlay.summary(slice)
        if after is not None:
            self._overlay.wait_changed(after, wait_s)
        return wire.Placements(
            slice=slice,
            instances=tuple(
                self._placed(row)
                for row in list(self._overlay.rows.values())
                if row.pc.slice == slice
            ),
            revision=self._overlay.revision,
        )

    def instance(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        fresh: bool = False,
        *,
        request_id: str = '',
    ) -> wire.Placed:
        self._overlay.note('instance')
        return self._placed(self._row(slice, uuid))

    def spawn(
        self,
        slice: str,  # noqa: A002
        request: wire.SpawnRequest,
        timeout_s: float,
        *,
        request_id: str = '',
    ) -> wire.Placed:
        self._overlay.note('spawn')
        self._overlay.summary(slice)
        # What crosses the real socket is checked there.
        request = msgspec.json.decode(
            msgspec.json.encode(request), type=wire.SpawnRequest
        )
        claim, spec = request.claim, request.spec
        self._overlay.wishes[spec.instance] = request.wishes
        row = self._overlay.rows.get(spec.instance)
        anew = row is not None and row.epoch == request.instead_of
        if row is None or anew:
            if spec.image.digest not in self._overlay.images:
                raise errors.NotFound('no such image')
            if row is None:
                pc = self._choose(slice, claim, request.wishes)
            elif row.pc.reachable:
                pc = row.pc
                self._overlay.buried[spec.instance] = row
            else:
                raise errors.NoPeerFits(f'{row.pc.name} does not take it')
            self._overlay.rows.pop(spec.instance, None)
            if 'build' in self._overlay.fail:
                raise self._overlay.fail['build']
            row = Row(pc, spec, self._overlay.new_epoch())
            self._overlay.rows[spec.instance] = row
            self._overlay.changed()
        elif row.pc.slice != slice:
            raise errors.WrongState('another slice has it')
        return self._placed(row)

    def action(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        request: wire.ActionRequest,
        *,
        request_id: str = '',
    ) -> wire.Placed:
        self._overlay.note(f'action {request.action}')
        row = self._row(slice, uuid)
        self._reach(row)
        if row.state not in ALLOWED[request.action]:
            raise errors.WrongState(f'it is {row.state}')
        row.state = AFTER[request.action]
        self._overlay.changed()
        return self._placed(row)

    @contextlib.contextmanager
    def snapshot(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        request: wire.SnapshotRequest,
        *,
        request_id: str = '',
    ) -> Iterator[Download]:
        self._overlay.note('snapshot')
        row = self._row(slice, uuid)
        self._reach(row)
        self._overlay.copies += 1
        try:
            disk = disk_images.qcow2(row.spec.root_mb * 2**20)
            yield Download(len(disk), io.BytesIO(disk))
        finally:
            self._overlay.copies -= 1

    def destroy(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        *,
        request_id: str = '',
    ) -> wire.Destroyed:
        self._overlay.note('destroy')
        row = self._overlay.rows.get(uuid, self._overlay.buried.get(uuid))
        if row is None or row.pc.slice != slice:
            return wire.Destroyed(done=True)
        self._overlay.rows.pop(uuid, None)
        self._overlay.buried[uuid] = row
        self._overlay.changed()
        return wire.Destroyed(
            done=row.pc.reachable,
            peer_name='' if row.pc.reachable else row.pc.name,
        )

    def filter(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        request: wire.FilterRequest,
        *,
        request_id: str = '',
    ) -> None:
        self._overlay.note('filter')
        row = self._row(slice, uuid)
        self._reach(row)
        self._overlay.filters[uuid] = request.ports

    def graves(self, *, request_id: str = '') -> wire.Graves:
        self._overlay.note('graves')
        return wire.Graves(
            tuple(
                wire.Grave(
                    uuid, row.epoch, row.pc.slice, row.pc.peer, row.pc.name
                )
                for uuid, row in self._overlay.buried.items()
                if not row.pc.reachable
            )
        )

    def console(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        length: int,
        *,
        request_id: str = '',
    ) -> wire.Console:
        self._overlay.note('console')
        row = self._row(slice, uuid)
        self._reach(row)
        output = f'{row.spec.name} login: '.encode()
        return wire.Console(uuid, output[-length:] if length else b'')

    def diagnostics(
        self,
        slice: str,  # noqa: A002
        uuid: str,
        *,
        request_id: str = '',
    ) -> wire.Diagnostics:
        self._overlay.note('diagnostics')
        row = self._row(slice, uuid)
        self._reach(row)
        if row.state not in (State.RUNNING, State.PAUSED):
            raise errors.WrongState(f'it is {row.state}')
        need = row.spec.need
        return wire.Diagnostics(
            state=row.state,
            uptime_s=7,
            cpu_time_ns=(1_000_000,) * need.vcpus,
            memory_mb=need.memory_mb,
            memory_used_mb=need.memory_mb // 2,
            nics=tuple(
                wire.NicDiagnostics(vif.mac, rx_octets=5)
                for vif in row.spec.vifs
            ),
            disks=(wire.DiskDiagnostics(read_bytes=512),),
        )

    def has_image(self, digest: str, *, request_id: str = '') -> bool:
        self._overlay.note('has_image')
        return digest in self._overlay.images

    def put_image(
        self,
        image: wire.Image,
        data: Iterable[bytes],
        *,
        timeout_s: float = 300.0,
        request_id: str = '',
    ) -> None:
        self._overlay.note('put_image')
        body = b''.join(data)
        algorithm, _, value = image.digest.partition(':')
        if len(body) != image.size_bytes:
            raise errors.ImageRefused('not as many bytes as announced')
        if hashlib.new(algorithm, body).hexdigest() != value:
            raise errors.ImageRefused('not the bytes of the digest')
        self._overlay.images[image.digest] = body

    def _row(self, name: str, uuid: str) -> Row:
        row = self._overlay.rows.get(uuid)
        if row is None or row.pc.slice != name:
            raise errors.NotFound(f'slice {name} has no instance {uuid}')
        return row

    def _reach(self, row: Row) -> None:
        if not row.pc.reachable:
            raise errors.Unreachable(f'PC {row.pc.name} does not answer')

    def _choose(
        self, name: str, claim: wire.Claim, wishes: wire.Wishes
    ) -> FakePc:
        if name in self._overlay.drained:
            raise errors.NoPeerFits(f'slice {name} is being drained')
        allowed = self._overlay.allowed(wishes)
        fitting = []
        for pc in allowed:
            free = pc.offer.less(self._overlay.used(pc))
            if (
                pc.slice == name
                and pc.reachable
                and free.fits(claim.need)
                and set(claim.networks) <= set(pc.networks)
            ):
                fitting.append((free.memory_mb, pc.name, pc))
        if not fitting:
            raise errors.NoPeerFits(f'no PC of slice {name} has room')
        return max(fitting)[2]

    def _placed(self, row: Row) -> wire.Placed:
        return wire.Placed(
            status=wire.InstanceStatus(
                instance=row.spec.instance,
                epoch=row.epoch,
                slice=row.pc.slice,
                state=row.state,
                need=row.spec.need,
            ),
            peer=row.pc.peer,
            peer_name=row.pc.name,
            reachable=row.pc.reachable,
        )
