# SPDX-License-Identifier: Apache-2.0
"""Server groups over PCs in memory, on a virtual clock."""

from __future__ import annotations

import collections
import contextlib
import math
import pathlib
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway.options import DEFAULTS
from tests.support import fake_pcs, gateways
from tests.support.shared_store import SharedStore
from tests.support.small_office import SMALL, office

pytestmark = pytest.mark.trio

T = TypeVar('T')
Policy = wire.GroupPolicy


def group_of(policy: Policy, limit: int = 1) -> wire.ServerGroup:
    return wire.ServerGroup(str(uuid.UUID(int=99)), policy, limit)


async def spawn(
    service: services.GatewayService,
    number: int,
    group: wire.ServerGroup | None,
    slice_: str = 'all',
) -> wire.Placed:
    request = fake_pcs.spawn_request(number, SMALL, group=group)
    return await service.instances.spawn(slice_, request)


async def spawn_at_once(
    service: services.GatewayService, count: int, group: wire.ServerGroup
) -> list[str]:
    """What became of each: the PC's id, or the refusal."""
    found: list[str] = []

    async def one(number: int) -> None:
        try:
            found.append((await spawn(service, number, group)).peer)
        except errors.NoPeerFits as error:
            found.append(str(error))

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
    return found


@pytest.mark.parametrize('seed', range(5))
async def test_servers_made_at_once_that_are_to_be_apart_share_no_pc(
    autojump_clock: MockClock, tmp_path: pathlib.Path, seed: int
) -> None:
    pcs = office(4)
    group = group_of(Policy.ANTI_AFFINITY)
    async with gateways.running(tmp_path, pcs, seed=seed) as service:
        found = await spawn_at_once(service, 6, group)
    assert [len(pc.instances) for pc in pcs.pcs.values()] == [1, 1, 1, 1]
    refused = [text for text in found if text not in pcs.pcs]
    assert refused == ['4 PCs: 4 kept apart by its group'] * 2


@pytest.mark.parametrize('seed', range(5))
async def test_servers_made_at_once_that_are_to_be_together_share_one_pc(
    autojump_clock: MockClock, tmp_path: pathlib.Path, seed: int
) -> None:
    pcs = office(4)
    group = group_of(Policy.AFFINITY)
    async with gateways.running(tmp_path, pcs, seed=seed) as service:
        found = await spawn_at_once(service, 4, group)
    on_pcs = sorted(len(pc.instances) for pc in pcs.pcs.values())
    assert on_pcs == [0, 0, 0, 3]
    (refused,) = (text for text in found if text not in pcs.pcs)
    assert refused == '4 PCs: 3 away from its group, 1 full'


async def test_as_many_as_the_group_allows_share_a_pc(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    group = group_of(Policy.ANTI_AFFINITY, limit=2)
    async with gateways.running(tmp_path, pcs) as service:
        found = await spawn_at_once(service, 5, group)
    counted = collections.Counter(peer for peer in found if peer in pcs.pcs)
    assert sorted(counted.values()) == [2, 2]


@pytest.mark.parametrize(
    ('policy', 'spread'),
    [
        (Policy.SOFT_ANTI_AFFINITY, [1, 1, 1, 1]),
        (Policy.SOFT_AFFINITY, [0, 0, 1, 3]),
    ],
)
async def test_soft_policies_prefer_and_refuse_nothing(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
    policy: Policy,
    spread: list[int],
) -> None:
    """Other servers weigh less: they are where the group would not go."""
    pcs = office(4)
    async with gateways.running(tmp_path, pcs) as service:
        for number in range(4):
            await spawn(service, number, group_of(policy))
            pcs.tell(service)
    found = sorted(len(pc.instances) for pc in pcs.pcs.values())
    assert found == spread


async def test_group_that_likes_company_goes_where_it_is_and_others_do_not(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    group = group_of(Policy.SOFT_AFFINITY)
    async with gateways.running(tmp_path, office(4)) as service:
        first = await spawn(service, 0, group)
        stranger = await spawn(service, 1, None)
        second = await spawn(service, 2, group)
    assert stranger.peer != first.peer == second.peer


async def test_failed_and_deleted_servers_keep_nobody_away(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    group = group_of(Policy.ANTI_AFFINITY)
    async with gateways.running(tmp_path, pcs) as service:
        pc.build_errors = [errors.HypervisorFailed('x')]
        with pytest.raises(errors.NoPeerFits, match='hypervisor failed'):
            await spawn(service, 0, group)
        placed = await spawn(service, 1, group)
        with pytest.raises(errors.NoPeerFits, match='1 kept apart by its'):
            await spawn(service, 0, group)
        await service.instances.destroy('all', placed.status.instance, '')
        await spawn(service, 0, group)


async def test_groups_are_known_again_after_a_restart(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    group = group_of(Policy.ANTI_AFFINITY)
    async with gateways.running(tmp_path, pcs) as service:
        first = await spawn(service, 0, group)
    async with gateways.running(tmp_path, pcs) as service:
        second = await spawn(service, 1, group)
        with pytest.raises(errors.NoPeerFits, match='kept apart'):
            await spawn(service, 2, group)
    assert first.peer != second.peer


async def test_group_that_is_to_be_together_is_in_one_slice(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = fake_pcs.Office(
        *(
            fake_pcs.FakePc(n, SMALL, slice_=tier)
            for n, tier in enumerate(('gold', 'silver'))
        )
    )
    policy = (
        'slices: [{name: gold, match: {tier: gold}}, '
        '{name: silver, match: {tier: silver}}]'
    )
    group = group_of(Policy.AFFINITY)
    async with gateways.running(tmp_path, pcs, policy=policy) as service:
        await spawn(service, 0, group, 'gold')
        with pytest.raises(errors.NoPeerFits, match='1 away from its group'):
            await spawn(service, 1, group, 'silver')


async def test_scheduler_is_answered_in_time_though_the_ledger_is_silent(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    group = group_of(Policy.ANTI_AFFINITY)
    ledger = SharedStore(tmp_path / 'shared.sqlite')

    async def run_blocking(
        call: Callable[..., T], /, *arguments: Any, **how: bool
    ) -> T:
        if call == ledger.of_group:
            assert how == {'abandon_on_cancel': True}
            await trio.sleep(math.inf)
        return await gateways.at_once(call, *arguments, **how)

    with contextlib.closing(ledger):
        async with gateways.running(
            tmp_path, office(1), ledger=ledger, run_blocking=run_blocking
        ) as service:
            await spawn(service, 0, group)
            for wanted, matching, most_s in (
                (group, 0, DEFAULTS.group_timeout_s),
                (group_of(Policy.SOFT_ANTI_AFFINITY), 1, 0.0),
                (None, 1, 0.0),
            ):
                begin = trio.current_time()
                request = wire.FitRequest(SMALL, group=wanted)
                (found,) = (await service.fits(request, '')).slices
                assert found.matching == matching
                assert trio.current_time() - begin == pytest.approx(most_s)
