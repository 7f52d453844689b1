# SPDX-License-Identifier: Apache-2.0
"""A copy of a disk on its way from a PC to the driver."""

from __future__ import annotations

import pathlib

import pytest
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.gateway import view as views
from tests.functional.gateway.test_local_socket import (
    ask,
    listening,
    office,
)
from tests.support import disk_images, fake_pcs, gateways, one_peer, real_pcs
from tests.support.small_office import SMALL

pytestmark = pytest.mark.trio

ONCE = wire.SnapshotRequest(30.0)
SIZE = 2**26
DISK = disk_images.qcow2() + bytes(SIZE)


async def spawn(client: LocalClient, pcs: fake_pcs.Office) -> fake_pcs.FakePc:
    """An instance, and the PC that it is on."""
    request = fake_pcs.spawn_request(0, SMALL)
    placed = await ask(client.spawn, 'all', request, 10.0)
    pc = pcs.pcs[placed.peer]
    pc.disk = DISK
    return pc


UUID = fake_pcs.spawn_request(0, SMALL).claim.instance


def read_all(client: LocalClient) -> bytes:
    with client.snapshot('all', UUID, ONCE, request_id='req-1') as copy:
        pieces = list(iter(lambda: copy.read(2**16), b''))
        assert copy.size_bytes == sum(map(len, pieces))
    return b''.join(pieces)


def read_a_little(client: LocalClient) -> bytes:
    with client.snapshot('all', UUID, ONCE) as copy:
        return copy.read(10)


async def test_driver_reads_all_of_it(tmp_path: pathlib.Path) -> None:
    pcs = office()
    async with listening(tmp_path, pcs) as client:
        pc = await spawn(client, pcs)
        pc.disk = DISK[: 2**25]
        assert await ask(read_all, client) == pc.disk
        await one_peer.until(lambda: pc.copies == 0)


async def test_driver_that_goes_away_ends_it_on_the_pc(
    tmp_path: pathlib.Path,
) -> None:
    pcs = office()
    async with listening(tmp_path, pcs) as client:
        pc = await spawn(client, pcs)
        assert len(await ask(read_a_little, client)) == 10
        await one_peer.until(lambda: pc.copies == 0)
        pc.frozen = True
        with trio.move_on_after(0.5):
            await ask(read_a_little, client)
        assert pc.copies == 0


async def test_what_the_reader_meets_elsewhere_is_not_the_daemons(
    tmp_path: pathlib.Path,
) -> None:
    def read_and_fail(client: LocalClient) -> None:
        with client.snapshot('all', UUID, ONCE):
            raise ConnectionResetError('Glance broke off')

    pcs = office()
    async with listening(tmp_path, pcs) as client:
        pc = await spawn(client, pcs)
        with pytest.raises(ConnectionResetError, match='Glance'):
            await ask(read_and_fail, client)
        await one_peer.until(lambda: pc.copies == 0)


async def test_pc_that_is_cut_off_half_way_gives_no_half_a_disk(
    tmp_path: pathlib.Path,
) -> None:
    pcs = office()

    def read_and_cut(client: LocalClient, pc: fake_pcs.FakePc) -> None:
        with client.snapshot('all', UUID, ONCE) as copy:
            copy.read(10)
            pc.cut = True
            while copy.read(2**16):
                continue

    async with listening(tmp_path, pcs) as client:
        pc = await spawn(client, pcs)
        with pytest.raises(errors.Unreachable, match='broke off'):
            await ask(read_and_cut, client, pc)
        assert pc.copies == 0


@pytest.mark.parametrize(
    ('disk', 'reason'),
    [
        (disk_images.qcow2(backing='/etc/shadow'), 'backing file'),
        (disk_images.qcow2(features=disk_images.DATA_FILE), 'data_file'),
        (disk_images.vmdk(), 'no qcow2'),
        (bytes(2**17), 'no qcow2'),
        (b'QFI', 'no qcow2'),
        (DISK + bytes(2**26), 'a disk of 1 MiB has'),
    ],
    ids=['backing', 'data-file', 'vmdk', 'raw', 'short', 'large'],
)
async def test_what_is_no_copy_of_the_disk_is_refused(
    tmp_path: pathlib.Path, disk: bytes, reason: str
) -> None:
    pcs = office()
    async with listening(tmp_path, pcs) as client:
        pc = await spawn(client, pcs)
        pc.disk = disk
        with pytest.raises(errors.ImageRefused, match=reason):
            await ask(read_all, client)
        assert pc.copies == 0


async def test_pc_out_of_reach_is_not_asked(tmp_path: pathlib.Path) -> None:
    pcs = office()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await service.instances.spawn(
            'all', fake_pcs.spawn_request(0, SMALL)
        )
        pc = pcs.pcs[placed.peer]
        pcs.tell_liveness(service, pc, views.Liveness.FAILED)
        pc.calls.clear()
        with pytest.raises(errors.Unreachable, match='out of reach'):
            async with service.instances.snapshot('all', UUID, ONCE, ''):
                pass
        with pytest.raises(errors.NotFound):
            async with service.instances.snapshot('all', pc.id, ONCE, ''):
                pass
        assert pc.calls == []


@pytest.mark.libvirt
async def test_gateway_that_goes_away_leaves_nothing_on_a_real_pc(
    tmp_path: pathlib.Path,
) -> None:
    office_ = real_pcs.Office(tmp_path, 1)
    ((_, pc),) = office_.pcs.items()

    def left() -> list[pathlib.Path]:
        folder = pc.place.layout.instances
        return list(folder.glob('*/copy*'))

    # More than fits between the two.
    pc.hypervisor.copied = DISK
    async with real_pcs.working(tmp_path, office_) as service:
        placed = await service.instances.spawn('all', real_pcs.request(0))
        uuid = placed.status.instance
        async with service.instances.snapshot('all', uuid, ONCE, '') as body:
            copy = b''.join([chunk async for chunk in body.chunks])
            assert len(copy) == body.size_bytes
        await one_peer.until(lambda: left() == [])
        with trio.CancelScope() as scope:
            async with service.instances.snapshot('all', uuid, ONCE, ''):
                assert len(left()) == 1
                scope.cancel()
                await trio.sleep_forever()
        await one_peer.until(lambda: left() == [])
