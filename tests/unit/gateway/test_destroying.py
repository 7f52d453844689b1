# SPDX-License-Identifier: Apache-2.0
"""Deletions: carried out, waited for, repeated."""

from __future__ import annotations

import pathlib

import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import store
from p2pcs_nova.gateway import view as views
from tests.support import fake_pcs, gateways
from tests.support.small_office import SMALL, look, office, spawn

pytestmark = pytest.mark.trio


async def test_destroy_leaves_nothing(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        uuid = placed.status.instance
        gone = await service.instances.destroy('all', uuid, '')
        assert gone == wire.Destroyed(True)
        assert await service.instances.destroy('all', uuid, '') == gone
        for pc in pcs.pcs.values():
            assert pc.instances == {}
            assert pc.reservations.promised() == wire.Capacity()
        assert service.placements('all').instances == ()
        with pytest.raises(errors.NotFound):
            await look(service, placed, fresh=False)


async def test_a_slice_is_needed_until_its_last_tombstone_is_carried_out(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        assert await service.occupied() == {'all'}
        pc.cut = True
        await service.instances.destroy('all', placed.status.instance, '')
        assert await service.occupied() == frozenset()
        assert await service.needed() == {'all'}
        pc.cut = False
        await trio.sleep(600)
        assert await service.needed() == frozenset()


async def test_tombstone_waits_for_a_pc_and_is_carried_out_on_its_return(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        uuid = placed.status.instance
        pc.cut = True
        pcs.tell_liveness(service, pc, views.Liveness.FAILED)
        began = trio.current_time()
        gone = await service.instances.destroy('all', uuid, '')
        assert gone == wire.Destroyed(False, 'pc1')
        assert trio.current_time() == began
    # The gateway restarts meanwhile, and remembers.
    async with gateways.running(tmp_path, office(0)) as service:
        gone = await service.instances.destroy('all', uuid, '')
        assert gone == wire.Destroyed(False, 'pc1')
    pc.cut = False
    async with gateways.running(tmp_path, pcs) as service:
        await trio.sleep(1.0)
        assert not pc.running(uuid)
        gone = await service.instances.destroy('all', uuid, '')
        assert gone == wire.Destroyed(True)


async def test_tombstone_is_repeated_until_the_pc_obeys(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        pc.cut = True
        gone = await service.instances.destroy(
            'all', placed.status.instance, ''
        )
        assert not gone.done
        assert 4 <= pc.calls.count('tombstone') <= 6
        pc.cut = False
        await trio.sleep(61.0)
        assert pc.instances == {}


async def test_full_disk_of_the_gateway_ends_neither_it_nor_the_burial(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = ['first try', 'second try']
    forget = store.Store.forget

    def forget_later(
        database: store.Store, command: wire.Command, grave: store.Grave
    ) -> None:
        if full:
            raise errors.NoSpace(full.pop())
        forget(database, command, grave)

    monkeypatch.setattr(store.Store, 'forget', forget_later)
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        uuid = placed.status.instance
        gone = await service.instances.destroy('all', uuid, '')
        assert gone == wire.Destroyed(True)
        assert not full
        assert pc.calls.count('tombstone') == 3


@pytest.mark.parametrize('is_known', [True, False])
async def test_deletion_whose_answer_was_lost_is_carried_out_when_repeated(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    is_known: bool,
) -> None:
    bury = store.Store.bury
    lost = ['an answer']

    def bury_silently(
        database: store.Store, command: wire.Command, instance: str
    ) -> list[store.Grave]:
        graves = bury(database, command, instance)
        if lost:
            raise errors.Unavailable(lost.pop())
        return graves

    monkeypatch.setattr(store.Store, 'bury', bury_silently)
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        placed = await spawn(service)
        uuid = placed.status.instance
        with pytest.raises(errors.Unavailable):
            await service.instances.destroy('all', uuid, '')
        assert pc.running(uuid)
        if not is_known:
            service._running.book.rows.clear()
        gone = await service.instances.destroy('all', uuid, '')
        assert gone == wire.Destroyed(True)
        assert pc.instances == {}
        assert service.placements('all').instances == ()


async def test_build_that_was_written_without_our_knowing_is_deleted(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = store.Store.place

    def place_silently(
        database: store.Store, command: wire.Command, row: store.InstanceRow
    ) -> list[store.Grave]:
        place(database, command, row)
        raise errors.Unavailable('the answer is lost')

    monkeypatch.setattr(store.Store, 'place', place_silently)
    uuid = fake_pcs.spawn_request(0, SMALL).claim.instance
    async with gateways.running(tmp_path, office(1)) as service:
        with pytest.raises(errors.Unavailable):
            await spawn(service)
        gone = await service.instances.destroy('all', uuid, '')
        assert gone == wire.Destroyed(True)
    # No row of it keeps another slice from having it.
    async with gateways.running(tmp_path, office(1)) as service:
        assert (await service.placed_rows()).instances == ()


async def test_nothing_is_said_to_be_destroyed_without_a_term(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    uuid = fake_pcs.spawn_request(0, SMALL).claim.instance
    async with gateways.running(tmp_path, office(1)) as service:
        service._drop('all')
        with pytest.raises(errors.Unavailable):
            await service.instances.destroy('all', uuid, '')


async def test_deletion_ends_a_spawn_that_is_going_on(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(3)
    for pc in pcs.pcs.values():
        pc.build_s = 20.0
    uuid = fake_pcs.spawn_request(0, SMALL).claim.instance
    async with gateways.running(tmp_path, pcs) as service:
        async with trio.open_nursery() as nursery:

            async def refused() -> None:
                with pytest.raises(errors.WrongState, match='was deleted'):
                    await spawn(service)

            nursery.start_soon(refused)
            await trio.sleep(5.0)
            gone = await service.instances.destroy('all', uuid, '')
            assert gone.done
        assert pcs.live(uuid) == []
        (told,) = [pc for pc in pcs.pcs.values() if pc.tombstones]
        assert told.calls.count('build') == 1
