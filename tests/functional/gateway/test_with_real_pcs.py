# SPDX-License-Identifier: Apache-2.0
"""A gateway and the real service of PCs: a spawn, end to end."""

from __future__ import annotations

import pathlib

import pytest
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import service as services
from tests.support.real_pcs import Office, request, working

pytestmark = [pytest.mark.trio, pytest.mark.libvirt]


async def test_instance_is_built_started_and_destroyed(
    tmp_path: pathlib.Path,
) -> None:
    office = Office(tmp_path, 2)
    async with working(tmp_path, office) as service:
        placed = await service.instances.spawn('all', request(0))
        assert placed.status.state is wire.InstanceState.PLUGGED
        pc = office.pcs[placed.peer]
        uuid = placed.status.instance
        assert list(pc.hypervisor.rows) == office.domains() == [uuid]
        assert pc.fetched == 1
        started = await service.instances.act(
            'all', uuid, wire.ActionRequest(wire.Action.START), 'req-2'
        )
        assert started.status.state is wire.InstanceState.RUNNING
        fresh = await service.instances.look('all', uuid, '', fresh=True)
        assert fresh == started
        assert await service.instances.destroy(
            'all', uuid, 'req-3'
        ) == wire.Destroyed(True)
        assert office.domains() == []
        assert pc.service.used() == wire.Capacity()
        assert pc.service.standing.bound == ''


async def test_pc_whose_hypervisor_fails_is_passed_over(
    tmp_path: pathlib.Path,
) -> None:
    office = Office(tmp_path, 3)
    broken = list(office.pcs.values())[:2]
    async with working(tmp_path, office) as service:
        for pc in broken:
            pc.hypervisor.failing_at['start_paused'] = errors.HypervisorFailed(
                'QEMU is not there'
            )
        placed = await service.instances.spawn('all', request(0))
        assert office.pcs[placed.peer] not in broken
        assert office.domains() == [placed.status.instance]
        for pc in broken:
            assert pc.service.used() == wire.Capacity()


async def test_room_for_4_takes_4_of_7_at_once(
    tmp_path: pathlib.Path,
) -> None:
    office = Office(tmp_path, 2)
    outcomes: list[str] = []

    async def spawn(service: services.GatewayService, number: int) -> None:
        try:
            await service.instances.spawn('all', request(number))
            outcomes.append('placed')
        except errors.NoPeerFits as error:
            outcomes.append(str(error))

    async with working(tmp_path, office) as service:
        async with trio.open_nursery() as nursery:
            for number in range(7):
                nursery.start_soon(spawn, service, number)
        assert sorted(outcomes) == ['2 PCs: 2 full'] * 3 + ['placed'] * 4
        assert len(office.domains()) == 4
        assert all(pc.fetched == 1 for pc in office.pcs.values())
