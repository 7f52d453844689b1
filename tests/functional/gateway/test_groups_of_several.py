# SPDX-License-Identifier: Apache-2.0
"""A server group whose servers are in slices of several gateways."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import AsyncIterator, Iterator

import pytest

from p2pcs_nova import errors, wire
from tests.support import etcd_server, fake_pcs, sharing_gateways
from tests.support.sharing_gateways import Gateway
from tests.support.small_office import ROOM_FOR_3, SMALL

pytestmark = [pytest.mark.etcd, pytest.mark.trio]

SLICES = ('gold', 'silver')
POLICY = (
    'slices: [{name: gold, match: {tier: gold}}, '
    '{name: silver, match: {tier: silver}}]'
)
GROUP_ID = '00000000-0000-4000-8000-000000000099'
APART = wire.ServerGroup(GROUP_ID, wire.GroupPolicy.ANTI_AFFINITY)
TOGETHER = wire.ServerGroup(GROUP_ID, wire.GroupPolicy.AFFINITY)


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[etcd_server.Server]:
    with etcd_server.running(tmp_path / 'etcd') as server:
        yield server


@contextlib.asynccontextmanager
async def one_each(
    folder: pathlib.Path, server: etcd_server.Server
) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two gateways, each with a slice of one PC."""
    pcs = fake_pcs.Office(
        *(
            fake_pcs.FakePc(number, ROOM_FOR_3, slice_=slice_)
            for number, slice_ in enumerate(SLICES)
        )
    )
    for pc in pcs.pcs.values():
        pc.build_s = 0.01
    async with sharing_gateways.running(
        folder, pcs, server, policy=POLICY
    ) as both:
        for gateway, slice_ in zip(both, SLICES, strict=True):
            await gateway.take(slice_=slice_)
        yield both


async def spawn(
    gateway: Gateway, number: int, group: wire.ServerGroup
) -> wire.Placed:
    """One more server of a group, in the gateway's slice."""
    return await gateway.service.instances.spawn(
        gateway.command.slice,
        fake_pcs.spawn_request(number, SMALL, group=group),
    )


async def fits(
    gateway: Gateway, group: wire.ServerGroup, *instances: str
) -> list[wire.SliceFit]:
    """What the scheduler beside a gateway is told."""
    request = wire.FitRequest(SMALL, group=group, instances=instances)
    return list((await gateway.service.fits(request, '')).slices)


async def test_slice_of_another_gateway_that_cannot_take_one_more_is_known(
    tmp_path: pathlib.Path, server: etcd_server.Server
) -> None:
    async with one_each(tmp_path, server) as (one, two):
        placed = await spawn(one, 0, APART)
        told = {'kept apart by its group': 1}
        for gateway in (one, two):
            gold, silver = await fits(gateway, APART)
            assert gold == wire.SliceFit('gold', 0, 0, told, 0)
            assert (silver.peers, silver.slots, silver.matching) == (1, 1, 1)
        gold, _ = await fits(two, APART, placed.status.instance)
        assert gold.matching == 1
        await spawn(two, 1, APART)
        for gateway in (one, two):
            found = await fits(gateway, APART)
            assert [slice_.matching for slice_ in found] == [0, 0]
        await one.service.instances.destroy('gold', placed.status.instance, '')
        gold, silver = await fits(two, APART)
        assert (gold.matching, silver.matching) == (1, 0)


async def test_group_that_is_to_be_together_has_room_where_it_is(
    tmp_path: pathlib.Path, server: etcd_server.Server
) -> None:
    async with one_each(tmp_path, server) as (one, two):
        await spawn(one, 0, TOGETHER)
        for gateway in (one, two):
            gold, silver = await fits(gateway, TOGETHER)
            assert (gold.matching, silver.matching) == (1, 0)
            assert silver.refused == {'away from its group': 1}


async def test_server_that_found_no_pc_is_explained_by_all_gateways_servers(
    tmp_path: pathlib.Path, server: etcd_server.Server
) -> None:
    async with one_each(tmp_path, server) as (one, two):
        await spawn(one, 0, APART)
        await spawn(two, 1, APART)
        third = fake_pcs.spawn_request(2, SMALL).claim.instance
        await fits(two, APART, third)
        story = await two.service.story(third)
        assert [one.reason for one in story.fits] == [
            'kept apart by its group'
        ] * 2


async def test_without_etcd_the_scheduler_is_told_what_the_gateway_has_itself(
    tmp_path: pathlib.Path, server: etcd_server.Server
) -> None:
    async with one_each(tmp_path, server) as (one, two):
        await spawn(one, 0, APART)
        await spawn(two, 1, APART)
        server.stop()
        gold, silver = await fits(two, APART)
        assert (gold.matching, silver.matching) == (1, 0)
        with pytest.raises(errors.NoPeerFits, match='kept apart'):
            await spawn(two, 2, APART)
