# SPDX-License-Identifier: Apache-2.0
"""A gateway goes on with a slice where the last one has left it."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import pytest
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.bootclock import boottime
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from p2pcs_nova.terms.holder import TTL_S
from tests.support import etcd_server, fake_pcs, sharing_gateways
from tests.support.sharing_gateways import DEADLINE_S, SLICE, Gateway
from tests.support.small_office import SMALL, office, spawn

pytestmark = [pytest.mark.etcd, pytest.mark.trio]

STATE = wire.InstanceState
START = wire.ActionRequest(wire.Action.START)


@pytest.fixture(scope='module')
def server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[etcd_server.Server]:
    with etcd_server.running(tmp_path_factory.mktemp('etcd')) as server:
        yield server


@contextlib.asynccontextmanager
async def running(
    folder: pathlib.Path, pcs: fake_pcs.Office, server: etcd_server.Server
) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two, of which the first has the slice."""
    async with sharing_gateways.running(folder, pcs, server) as (one, two):
        await one.take()
        yield one, two


def quick_office() -> fake_pcs.Office:
    pcs = office(2)
    for pc in pcs.pcs.values():
        pc.build_s = 0.01
    return pcs


async def test_each_gateway_knows_which_slices_the_others_need(
    tmp_path: pathlib.Path, server: etcd_server.Server
) -> None:
    pcs = quick_office()
    async with running(tmp_path, pcs, server) as (one, two):
        assert await two.service.needed() == frozenset()
        await spawn(one.service)
        assert two.placed() == []
        assert (await two.service.holders()).gateways == {SLICE: 'a'}
        assert await two.service.occupied() == {SLICE}
        assert await two.service.needed() == {SLICE}


async def test_each_gateway_tells_whose_pc_has_still_to_destroy(
    tmp_path: pathlib.Path, server: etcd_server.Server
) -> None:
    """Whichever slice a shelved server goes to, it is asked there."""
    pcs = quick_office()
    async with running(tmp_path, pcs, server) as (one, two):
        placed = await spawn(one.service)
        away = pcs.pcs[placed.peer]
        away.cut = True
        pcs.tell_liveness(one.service, away, views.Liveness.FAILED)
        uuid = placed.status.instance
        await one.service.instances.destroy(SLICE, uuid, '')
        for gateway in (one, two):
            (grave,) = (await gateway.service.graves()).graves
            assert (grave.instance, grave.peer) == (uuid, placed.peer)
        assert two.service.instances.graves.listed().graves == ()
        assert one.service.instances.graves.listed().graves == (grave,)


async def test_next_gateway_knows_the_instances_and_commands_them(
    tmp_path: pathlib.Path, server: etcd_server.Server
) -> None:
    pcs = quick_office()
    async with running(tmp_path, pcs, server) as (one, two):
        placed = await spawn(one.service)
        uuid = placed.status.instance
        assert two.placed() == []
        one.lose()
        one.service.end_term(one.command)
        await two.take()
        assert one.placed() == []
        (found,) = two.placed()
        assert (found.peer, found.status.epoch) == (
            placed.peer,
            placed.status.epoch,
        )
        await two.service.instances.act(SLICE, uuid, START, '')
        again = await spawn(two.service, 1)
        assert again.status.epoch > placed.status.epoch
        gone = await two.service.instances.destroy(SLICE, uuid, '')
        assert gone.done
        assert pcs.live(uuid) == []


async def test_gateway_that_has_lost_its_slice_unawares_changes_nothing(
    tmp_path: pathlib.Path, server: etcd_server.Server
) -> None:
    pcs = quick_office()
    async with running(tmp_path, pcs, server) as (one, two):
        placed = await spawn(one.service)
        uuid = placed.status.instance
        one.lose()
        await two.take()
        await two.service.instances.act(SLICE, uuid, START, '')
        calls = one.service.instances
        with pytest.raises(errors.StaleTerm):
            await calls.destroy(SLICE, uuid, '')
        with pytest.raises(errors.WrongState, match='is over'):
            await calls.act(SLICE, uuid, START, '')
        with pytest.raises(errors.P2PcsError):
            await spawn(one.service, 1)
        (holder,) = pcs.live(uuid)
        assert holder.instances[uuid].state is STATE.RUNNING
        assert [found.status.instance for found in two.placed()] == [uuid]


@pytest.mark.parametrize('is_built', [True, False])
async def test_build_that_was_going_on_is_settled_by_the_next_gateway(
    tmp_path: pathlib.Path, server: etcd_server.Server, is_built: bool
) -> None:
    pcs = quick_office()
    for pc in pcs.pcs.values():
        pc.build_s = DEADLINE_S
    request = fake_pcs.spawn_request(0, SMALL)
    uuid = request.claim.instance
    async with running(tmp_path, pcs, server) as (one, two):
        with trio.move_on_after(1.0):
            await one.service.instances.spawn(SLICE, request)
        (before,) = one.placed()
        if is_built:
            holder = pcs.pcs[before.peer]
            holder.instances[uuid] = msgspec.structs.replace(
                before.status, state=STATE.PLUGGED
            )
        one.lose()
        await two.take()
        await until(lambda: is_settled(two.service, uuid))
        assert len(pcs.live(uuid)) == is_built
        found = [placed.status for placed in two.placed()]
        if is_built:
            assert [one.epoch for one in found] == [before.status.epoch]
        else:
            assert found == []
            (buried,) = {
                pc.tombstones[uuid]
                for pc in pcs.pcs.values()
                if uuid in pc.tombstones
            }
            assert buried == before.status.epoch


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; the test has a deadline."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.05)


def is_settled(service: services.GatewayService, instance: str) -> bool:
    """Whether the gateway has asked the PCs, and has told them."""
    states = [
        placed.status.state for placed in service.placements(SLICE).instances
    ]
    graves = service.instances.graves.listed(instance).graves
    return STATE.BUILDING not in states and not graves


async def test_term_that_is_renewed_late_finds_its_instances_again(
    tmp_path: pathlib.Path, server: etcd_server.Server
) -> None:
    async with running(tmp_path, quick_office(), server) as (one, _):
        placed = await spawn(one.service)
        await one.service.take_term(
            SLICE, wire.TermRequest(boottime() + 0.2, one.command.term)
        )
        await until(lambda: not one.placed())
        await one.service.take_term(
            SLICE, wire.TermRequest(boottime() + TTL_S, one.command.term)
        )
        assert [p.peer for p in one.placed()] == [placed.peer]
