# SPDX-License-Identifier: Apache-2.0
"""A gateway with many PCs, for the scheduler's benchmark.

The gateway's service, its UNIX socket, its claims, their way to a PC by
mutual TLS over loopback and a PC's listener, routes, terms and promises
are the real ones.  A PC gets its listener when it is first asked, and all
show one certificate.  Played are what the overlay tells (every PC is
alive) and what comes after the claim: a build is done at once.

``python -m tests.benchmarks.scheduling.overlay_side FOLDER PCS SLICES``
writes ``ready`` when the socket listens, and ends with its standard input.
"""

from __future__ import annotations

import logging
import pathlib
import random
import sys
import types
from typing import Any, cast

import trio

from p2pcs_nova import wire
from p2pcs_nova.client.pool import ConnectionPool
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.gateway import api
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from p2pcs_nova.peer import api as peer_api
from p2pcs_nova.peer.service import PeerService
from p2pcs_nova.transport import application, listeners
from tests.benchmarks.scheduling import sizes
from tests.support import fake_pcs, gateways, real_pcs
from tests.support.members import Members

ONE_WAY_S = (0.001, 0.005)
"""On the network, for a request and for its answer."""


class Promises:
    """``PeerService`` as far as claims go, for one PC."""

    def __init__(self, pc: fake_pcs.FakePc) -> None:
        self._pc = pc

    async def claim(
        self, command: wire.Command, claim: wire.Claim
    ) -> wire.Reservation:
        return await fake_pcs.Session(self._pc, command).claim(claim)

    async def release(self, command: wire.Command, reservation: str) -> None:
        await fake_pcs.Session(self._pc, command).release(reservation)


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
        address = await self._office.listen(self._pc)
        self._client = self._office.client(address, self._command)
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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._played, name)


class Office:
    """All PCs; of slice 0, 1…, 0 again in turn."""

    def __init__(
        self, folder: pathlib.Path, count: int, slices: int, rng: random.Random
    ) -> None:
        members = Members(folder / 'members')
        self.gateway = members.gateway()
        self.place = members.peer(self.gateway, 'pc')
        self.nursery: trio.Nursery
        self._tls = self.gateway.client_tls()
        self._pool = ConnectionPool(self._tls)
        self._rng = rng
        self._addresses: dict[str, listeners.Address] = {}
        self._pcs = {
            pc.id: pc
            for pc in (
                fake_pcs.FakePc(
                    number + 1,
                    sizes.OFFER,
                    attributes={'slice': sizes.slice_name(number % slices)},
                    networks=(sizes.NETWORK,),
                )
                for number in range(count)
            )
        }
        for pc in self._pcs.values():
            pc.build_s = 0.0

    def client(
        self, address: listeners.Address, command: wire.Command
    ) -> RemoteClient:
        """A client to the PC at this address."""
        name = self.place.membership.name
        return RemoteClient(
            address,
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

    async def listen(self, pc: fake_pcs.FakePc) -> listeners.Address:
        """Where this PC takes requests."""
        if pc.id not in self._addresses:
            promises = cast(PeerService, Promises(pc))
            self._addresses[pc.id] = await real_pcs.serve_in(
                self.nursery, self.place, peer_api.routes(promises)
            )
        return self._addresses[pc.id]

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


async def serve(folder: pathlib.Path, count: int, slices: int) -> None:
    """Until the standard input ends."""
    names = [sizes.slice_name(number) for number in range(slices)]
    rows = ', '.join(
        f'{{name: {name}, match: {{slice: {name}}}}}' for name in names
    )
    office = Office(folder, count, slices, random.Random(1))
    async with trio.open_nursery() as nursery:
        office.nursery = nursery
        async with gateways.running(
            folder / 'gateway', office, policy=f'slices: [{rows}]'
        ) as service:
            app = application.make_application(api.local_routes(service))
            path = str(folder / sizes.SOCKET)
            await nursery.start(listeners.serve_unix, app, path)
            sys.stdout.write('ready\n')
            sys.stdout.flush()
            await trio.to_thread.run_sync(
                sys.stdin.read, abandon_on_cancel=True
            )
            nursery.cancel_scope.cancel()


def main() -> None:
    """Serve what the arguments say."""
    logging.disable(logging.INFO)
    folder, count, slices = sys.argv[1:]
    trio.run(serve, pathlib.Path(folder), int(count), int(slices))


if __name__ == '__main__':
    main()
