# SPDX-License-Identifier: Apache-2.0
"""PCs fetch images from a gateway over mutual TLS, by their run rights."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
from collections.abc import AsyncIterator

import msgspec
import pytest
import trio
from starlette.routing import Route

from p2pcs_nova import errors, imaging, wire
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.gateway import api, images
from p2pcs_nova.gateway import service as services
from tests.support import fake_pcs, gateways
from tests.support.members import Members, Place
from tests.support.served import serving
from tests.support.small_office import SMALL

pytestmark = pytest.mark.trio

DATA = bytes(range(256)) * 2**13
IMAGE = wire.Image(
    'sha256:' + hashlib.sha256(DATA).hexdigest(), 'raw', len(DATA)
)


@pytest.fixture
def members(tmp_path: pathlib.Path) -> Members:
    return Members(tmp_path / 'members')


async def pieces() -> AsyncIterator[bytes]:
    yield DATA


class Door:
    """A gateway whose one PC is the peer of a certificate."""

    def __init__(self, members: Members) -> None:
        self.gateway = members.gateway()
        self.peer = members.peer(self.gateway, 'pc')
        self.stranger = members.peer(self.gateway, 'other')
        pc = fake_pcs.FakePc(1, SMALL)
        pc.id = self.peer.membership.peer_id
        pc.build_s = 0.0
        self.pcs = fake_pcs.Office(pc)
        self.address = ('', 0)

    @contextlib.asynccontextmanager
    async def open(
        self, folder: pathlib.Path
    ) -> AsyncIterator[services.GatewayService]:
        async with gateways.running(folder, self.pcs) as service:
            await service.images.put(IMAGE, pieces())
            routes: list[Route] = api.peer_routes(service)
            async with serving(self.gateway, routes) as self.address:
                yield service

    async def spawn(self, service: services.GatewayService) -> wire.Signed:
        """Place an instance; the run right that its PC was given."""
        request = fake_pcs.spawn_request(0, SMALL, image=IMAGE.digest)
        placed = await service.instances.spawn('all', request)
        right = wire.RunRight(
            placed.status.instance,
            placed.status.epoch,
            placed.peer,
            'all',
            IMAGE.digest,
        )
        return gateways.sign(right)

    async def fetch(
        self, who: Place, right: wire.Signed, digest: str = IMAGE.digest
    ) -> bytes:
        name = self.gateway.membership.name
        client = RemoteClient(
            self.address,
            name.peer_id,
            name.role,
            name.overlay,
            who.client_tls(),
        )
        async with (
            client,
            contextlib.aclosing(client.fetch_image(digest, right)) as chunks,
        ):
            return b''.join([chunk async for chunk in chunks])


async def test_pc_with_a_run_right_gets_the_image(
    members: Members, tmp_path: pathlib.Path
) -> None:
    door = Door(members)
    async with door.open(tmp_path) as service:
        right = await door.spawn(service)
        assert await door.fetch(door.peer, right) == DATA


async def test_nobody_else_gets_it(
    members: Members, tmp_path: pathlib.Path
) -> None:
    door = Door(members)
    async with door.open(tmp_path) as service:
        right = await door.spawn(service)
        with pytest.raises(errors.BadRunRight, match="another PC's"):
            await door.fetch(door.stranger, right)
        with pytest.raises(errors.BadRunRight, match='another image'):
            await door.fetch(door.peer, right, 'sha256:' + '0' * 64)
        with pytest.raises(errors.Forbidden):
            await door.fetch(door.gateway, right)
        forged = msgspec.structs.replace(right, signature=bytes(64))
        with pytest.raises(errors.BadRunRight, match='did not sign'):
            await door.fetch(door.peer, forged)
        uuid = fake_pcs.spawn_request(0, SMALL).claim.instance
        await service.instances.destroy('all', uuid, '')
        with pytest.raises(errors.BadRunRight, match='is over'):
            await door.fetch(door.peer, right)


def image_of(content: bytes) -> wire.Image:
    digest = 'sha256:' + hashlib.sha256(content).hexdigest()
    return wire.Image(digest, 'raw', len(content))


async def test_a_full_gateway_gives_up_what_nobody_uses(
    members: Members, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [bytes([number]) * 5000 for number in range(3)]
    old, young, new = map(image_of, contents)

    async def bytes_of(image: wire.Image) -> AsyncIterator[bytes]:
        yield contents[(old, young, new).index(image)]

    def free(folder: pathlib.Path) -> int:
        kept = sum(path.stat().st_size for path in folder.iterdir())
        return images.KEEP_FREE + 2 * 5000 + len(DATA) - kept

    door = Door(members)
    async with door.open(tmp_path) as service:
        await door.spawn(service)
        for image in (old, young):
            await service.images.put(image, bytes_of(image))
        monkeypatch.setattr(imaging, 'free_bytes', free)
        with pytest.raises(errors.NoSpace, match='on the gateway'):
            await service.images.put(new, bytes_of(new))
        monkeypatch.setattr(images, 'KEPT_S', 0.0)
        await trio.sleep(0.01)
        assert service.images.has(young.digest)
        await service.images.put(new, bytes_of(new))
        kept = [
            service.images.has(image.digest)
            for image in (IMAGE, old, young, new)
        ]
        assert kept == [True, False, True, True]
