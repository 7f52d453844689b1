# SPDX-License-Identifier: Apache-2.0
"""A gateway with many PCs, for the scheduler's benchmark.

The gateway's service, its UNIX socket, its claims, their way to a PC by
mutual TLS over loopback and a PC's listener, routes, terms and promises
are the real ones.  At most ``LISTENERS`` of them listen, in a process of
their own, and each answers for several PCs; all show one certificate.
Played are what the overlay tells (every PC is alive) and what comes after
the claim: a build is done at once.  On every PC servers run already, and the
gateway's book has them.

``python -m tests.benchmarks.scheduling.overlay_side FOLDER PCS SLICES``
writes ``ready`` when the socket listens, and ends with its standard input.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import pathlib
import random
import sys
import types
from multiprocessing.connection import Connection
from typing import Any, cast

import msgspec
import trio

from p2pcs_nova import layout, wire
from p2pcs_nova.client.pool import ConnectionPool
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.gateway import api, eras, store
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from p2pcs_nova.peer import api as peer_api
from p2pcs_nova.peer.orders import Orders
from p2pcs_nova.transport import application, listeners
from tests.benchmarks.scheduling import sizes
from tests.support import fake_pcs, gateways, real_pcs
from tests.support.members import Members, Place

LISTENERS = 200
"""At most; those of each slice are as many."""
ONE_WAY_S = (0.001, 0.005)
"""On the network, for a request and for its answer."""


class Promises:
    """``Orders`` as far as claims go, for one PC."""

    def __init__(self, pc: fake_pcs.FakePc) -> None:
        self._pc = pc

    async def claim(
        self, command: wire.Command, claim: wire.Claim
    ) -> wire.Reservation:
        return await fake_pcs.Session(self._pc, command).claim(claim)

    async def release(self, command: wire.Command, reservation: str) -> None:
        await fake_pcs.Session(self._pc, command).release(reservation)


def play_pcs(
    place: Place, count: int, share: int, slices: int, told: Connection
) -> None:
    """A process: so many listeners, each with this many PCs' capacity.

    :param slices: a listener's PCs are all of one: 0, 1…, 0 again in turn
    """
    trio.run(_serve_pcs, place, count, share, slices, told)


async def _serve_pcs(
    place: Place, count: int, share: int, slices: int, told: Connection
) -> None:
    offer = wire.Capacity(
        *(part * share for part in msgspec.structs.astuple(sizes.OFFER))
    )
    async with trio.open_nursery() as nursery:
        addresses = []
        for number in range(count):
            pc = fake_pcs.FakePc(
                number + 1,
                offer,
                slice_=sizes.slice_name(number % slices),
                networks=(sizes.NETWORK,),
            )
            for server in range(share * sizes.SERVERS):
                put_server(pc, server)
            promises = cast(Orders, Promises(pc))
            addresses.append(
                await real_pcs.serve_in(
                    nursery, place, peer_api.routes(promises)
                )
            )
        told.send(addresses)
        await trio.sleep_forever()


def put_server(pc: fake_pcs.FakePc, number: int) -> store.InstanceRow:
    """Have one more run on this PC.

    :returns: the row that the gateway has of it
    """
    spec = fake_pcs.spawn_request(number, sizes.SERVER).spec
    right = wire.RunRight(
        spec.instance,
        wire.Counter(eras.FIRST, number + 1),
        pc.id,
        pc.slice,
        spec.image.digest,
    )
    pc.reservations.hold(right, spec.need)
    pc.instances[spec.instance] = wire.InstanceStatus(
        spec.instance,
        right.epoch,
        pc.slice,
        wire.InstanceState.RUNNING,
        spec.need,
    )
    return store.InstanceRow(
        spec.instance,
        pc.slice,
        pc.id,
        pc.name,
        right.epoch,
        store.RowState.PLACED,
        gateways.sign(right),
        msgspec.structs.replace(spec, config_drive=()),
    )


class Line:
    """A gateway's connection to a PC, over a network that takes time."""

    def __init__(
        self, office: Office, pc: fake_pcs.FakePc, command: wire.Command
    ) -> None:
        self._office = office
        self._pc = pc
        self._command = command
        self._client: RemoteClient
        self._played = fake_pcs.Session(pc, command)

    async def __aenter__(self) -> Line:
        self._client = self._office.client(self._pc, self._command)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def claim(self, claim: wire.Claim) -> wire.Reservation:
        await self._office.delay()
        found = await self._client.claim(claim)
        await self._office.delay()
        return found

    async def release(self, reservation: str) -> None:
        await self._office.delay()
        await self._client.release(reservation)
        await self._office.delay()

    async def build(
        self, instance: str, request: wire.BuildRequest
    ) -> wire.InstanceStatus:
        right = msgspec.json.decode(
            request.run_right.payload, type=wire.RunRight
        )
        status = wire.InstanceStatus(
            instance,
            right.epoch,
            right.slice,
            wire.InstanceState.PLUGGED,
            request.spec.need,
        )
        self._pc.instances[instance] = status
        return status

    def __getattr__(self, name: str) -> Any:
        return getattr(self._played, name)


class Office:
    """All PCs; of slice 0, 1…, 0 again in turn.

    :param addresses: where they listen; PCs beyond their number begin
        with the first again
    """

    def __init__(
        self,
        gateway: Place,
        place: Place,
        addresses: list[listeners.Address],
        count: int,
        slices: int,
        rng: random.Random,
    ) -> None:
        self._place = place
        self._tls = gateway.client_tls()
        self._pool = ConnectionPool(self._tls)
        self._rng = rng
        self._pcs: dict[str, fake_pcs.FakePc] = {}
        self._addresses: dict[str, listeners.Address] = {}
        self.rows: list[store.InstanceRow] = []
        """Of the servers that run when the gateway starts."""
        for number in range(count):
            pc = fake_pcs.FakePc(
                number + 1,
                sizes.OFFER,
                slice_=sizes.slice_name(number % slices),
                networks=(sizes.NETWORK,),
            )
            self._pcs[pc.id] = pc
            self._addresses[pc.id] = addresses[number % len(addresses)]
            for _ in range(sizes.SERVERS):
                self.rows.append(put_server(pc, len(self.rows)))

    def client(
        self, pc: fake_pcs.FakePc, command: wire.Command
    ) -> RemoteClient:
        """A client to this PC."""
        name = self._place.membership.name
        return RemoteClient(
            self._addresses[pc.id],
            name.peer_id,
            name.role,
            name.overlay,
            self._tls,
            command,
            pool=self._pool,
        )

    async def delay(self) -> None:
        """One way through the network."""
        await trio.sleep(self._rng.uniform(*ONE_WAY_S))

    def connect(
        self,
        peer: str,
        command: wire.Command,
        timeout_s: float,
        request_id: str,
    ) -> Any:
        """As a gateway's ``Connect``."""
        return Line(self, self._pcs[peer], command)

    def tell(self, service: services.GatewayService) -> None:
        """Everything that the overlay knows now."""
        for pc in self._pcs.values():
            service.peer_changed(
                views.PeerSeen(
                    pc.id,
                    'peer',
                    '127.0.0.1',
                    7400,
                    views.Liveness.ALIVE,
                )
            )
            service.peer_record(pc.id, pc.record)
            service.instances_record(pc.id, 'instances/0', pc.instances_record)


def write(folder: pathlib.Path, rows: list[store.InstanceRow]) -> None:
    """Have a gateway find these when it starts, in a later era."""
    path = layout.Layout(folder).gateway_database
    with contextlib.closing(store.Store(path)) as database:
        carried = store.Carried(tuple(rows), (), is_all=True)
        database.begin(eras.FIRST + 1, carried, '')


async def serve(folder: pathlib.Path, office: Office, slices: int) -> None:
    """Until the standard input ends."""
    names = [sizes.slice_name(number) for number in range(slices)]
    rows = ', '.join(
        f'{{name: {name}, match: {{slice: {name}}}}}' for name in names
    )
    async with (
        trio.open_nursery() as nursery,
        gateways.running(
            folder / 'gateway', office, policy=f'slices: [{rows}]'
        ) as service,
    ):
        app = application.make_application(api.local_routes(service))
        await nursery.start(
            listeners.serve_unix, app, str(folder / sizes.SOCKET)
        )
        sys.stdout.write('ready\n')
        sys.stdout.flush()
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


def main() -> None:
    """Serve what the arguments say."""
    logging.disable(logging.INFO)
    folder, count, slices = pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:])
    members = Members(folder / 'members')
    gateway = members.gateway()
    place = members.peer(gateway, 'pc')
    listening = min(count, LISTENERS // slices * slices)
    fork = multiprocessing.get_context('fork')
    ours, theirs = fork.Pipe()
    fork.Process(
        target=play_pcs,
        args=(place, listening, -(-count // listening), slices, theirs),
        daemon=True,
    ).start()
    office = Office(
        gateway, place, ours.recv(), count, slices, random.Random(1)
    )
    write(folder / 'gateway', office.rows)
    trio.run(serve, folder, office, slices)


if __name__ == '__main__':
    main()
