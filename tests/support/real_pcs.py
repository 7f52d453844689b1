# SPDX-License-Identifier: Apache-2.0
"""The real service of PCs and a gateway, over real mutual TLS.

Only libvirt is played: promises, run rights, images, disks, tombstones
and every request on the way are the real ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
from collections.abc import AsyncIterator

import trio
from starlette.routing import Route

from p2pcs_nova import journal, wire
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.gateway import api as gateway_api
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import signals
from p2pcs_nova.gateway import view as views
from p2pcs_nova.peer import api as peer_api
from p2pcs_nova.peer import capacity
from p2pcs_nova.peer import service as peer_services
from p2pcs_nova.peer.surroundings import Surroundings
from p2pcs_nova.transport import application, listeners
from tests.support import fake_hypervisor, fake_pcs, gateways, one_peer
from tests.support.members import Members, Place

DEADLINE_S = 60.0
NEED = wire.Capacity(1, 64, 64)
ROOM_FOR_2 = capacity.OwnerRules(vcpus=2, memory_mb=128, disk_mb=128)
DATA = b'no system' * 2**16
IMAGE = wire.Image(
    'sha256:' + hashlib.sha256(DATA).hexdigest(), 'raw', len(DATA)
)


class Pc:
    """One PC: its service, its hypervisor, its place in the overlay."""

    def __init__(self, folder: pathlib.Path, place: Place, name: str) -> None:
        self.place = place
        self.name = name
        self.hypervisor = fake_hypervisor.FakeHypervisor()
        self.filters = one_peer.FilterTable()
        self.fetched = 0
        self.changed = signals.Signal()
        self.address = ('', 0)
        self.office: Office
        public = gateways.KEY.public_key().public_bytes_raw()
        self.service = peer_services.PeerService(
            place.layout,
            ROOM_FOR_2,
            self.hypervisor,
            Surroundings(
                peer_id=place.membership.peer_id,
                name=name,
                boot_id='01',
                release='1',
                clock=trio.current_time,
                gateway_key={gateways.GATEWAY_ID: public}.get,
                fetch_image=self._fetch,
                journal=journal.Journal(
                    place.layout.journal, name, trio.current_time
                ),
                on_change=self.changed.notify,
            ),
            apply_filters=self.filters.apply,
            sysfs=folder,
        )

    @contextlib.asynccontextmanager
    async def _fetch(
        self, digest: str, right: wire.Signed
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        self.fetched += 1
        if not self.office.door[1]:
            yield pieces()
            return
        client = client_of(self.place, self.office.gateway, self.office.door)
        async with (
            client,
            contextlib.aclosing(client.fetch_image(digest, right)) as chunks,
        ):
            yield chunks


def client_of(
    caller: Place,
    server: Place,
    address: listeners.Address,
    command: wire.Command | None = None,
    timeout_s: float = 30.0,
    request_id: str = '',
) -> RemoteClient:
    """A client of one member to another."""
    name = server.membership.name
    return RemoteClient(
        address,
        name.peer_id,
        name.role,
        name.overlay,
        caller.client_tls(),
        command,
        timeout_s,
        request_id=request_id,
    )


class Office:
    """A gateway's place and its PCs."""

    def __init__(self, folder: pathlib.Path, count: int) -> None:
        members = Members(folder / 'members')
        self.gateway = members.gateway()
        self.door = ('', 0)
        """Where the gateway gives images; without it they are at hand."""
        (folder / 'sysfs').mkdir()
        self.pcs: dict[str, Pc] = {}
        for number in range(1, count + 1):
            place = members.peer(self.gateway, f'pc{number}')
            pc = Pc(folder / 'sysfs', place, f'pc{number}')
            pc.office = self
            self.pcs[place.membership.peer_id] = pc

    def connect(
        self,
        peer: str,
        command: wire.Command,
        timeout_s: float,
        request_id: str,
    ) -> RemoteClient:
        """As a gateway's ``Connect``."""
        pc = self.pcs[peer]
        return client_of(
            self.gateway,
            pc.place,
            pc.address,
            command,
            timeout_s,
            request_id,
        )

    def tell(self, service: services.GatewayService) -> None:
        """Everything that the overlay knows now."""
        for peer, pc in self.pcs.items():
            service.peer_changed(
                views.PeerSeen(peer, 'peer', *pc.address, views.Liveness.ALIVE)
            )
            service.peer_record(peer, pc.service.record())

    def domains(self) -> list[str]:
        """All domains on all PCs."""
        return [
            instance
            for pc in self.pcs.values()
            for instance in pc.hypervisor.rows
        ]


async def start(
    nursery: trio.Nursery, office: Office, slice_: str = 'all'
) -> None:
    """Every PC serves in this slice, and has something to offer."""
    for pc in office.pcs.values():
        await nursery.start(pc.service.run)
        await pc.service.choose(slice_)
        routes = peer_api.routes(pc.service.orders)
        pc.address = await serve_in(nursery, pc.place, routes)
        while not pc.service.offer().total.vcpus:
            await pc.changed.wait()


@contextlib.asynccontextmanager
async def working(
    folder: pathlib.Path, office: Office
) -> AsyncIterator[services.GatewayService]:
    """Everybody serves; the gateway has the image."""
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await start(nursery, office)
            async with gateways.running(folder / 'gw', office) as service:
                office.door = await serve_in(
                    nursery, office.gateway, gateway_api.peer_routes(service)
                )
                await service.images.put(IMAGE, pieces())
                yield service
            nursery.cancel_scope.cancel()


async def pieces() -> AsyncIterator[bytes]:
    """The image's bytes."""
    yield DATA


async def serve_in(
    nursery: trio.Nursery, place: Place, routes: list[Route]
) -> listeners.Address:
    """Serve these routes on a loopback port; the address."""

    async def run(
        task_status: trio.TaskStatus[tuple[listeners.Address, ...]],
    ) -> None:
        await listeners.serve_mutual_tls(
            application.make_application(routes),
            place.server_tls(),
            '127.0.0.1',
            0,
            overlay=place.membership.overlay,
            task_status=task_status,
        )

    address: listeners.Address
    (address,) = await nursery.start(run)
    return address


def request(number: int) -> wire.SpawnRequest:
    """What the driver would ask for."""
    plain = fake_pcs.spawn_request(
        number, NEED, image=IMAGE.digest, networks=()
    )
    spec = wire.InstanceSpec(
        instance=plain.spec.instance,
        name='vm',
        need=NEED,
        image=IMAGE,
        root_mb=64,
        config_drive=(
            wire.ConfigFile('openstack/latest/meta_data.json', b'{}'),
        ),
    )
    return wire.SpawnRequest(plain.claim, spec, 'req-1')
