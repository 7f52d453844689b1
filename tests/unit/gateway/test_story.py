# SPDX-License-Identifier: Apache-2.0
"""The story of an instance, told by the gateway."""

from __future__ import annotations

import logging
import pathlib
import uuid

import pytest
from trio.testing import MockClock

from p2pcs_nova import errors, texts, wire
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from tests.support import fake_pcs, gateways

ROOM = wire.Capacity(4, 4096, 4096)
NEED = wire.Capacity(1, 512, 1)

pytestmark = pytest.mark.trio


def office(count: int) -> fake_pcs.Office:
    return fake_pcs.Office(*(fake_pcs.FakePc(n, ROOM) for n in range(count)))


async def spawn(service: services.GatewayService, number: int = 0) -> str:
    request = fake_pcs.spawn_request(number, NEED)
    await service.instances.spawn('all', request)
    return request.claim.instance


def told(found: wire.Story) -> list[tuple[str, str]]:
    return [(line.machine, line.text) for line in found.lines]


@pytest.fixture
def log(
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log's clock is the virtual one."""
    caplog.set_level(logging.INFO)
    factory = logging.getLogRecordFactory()

    def make(*args: object, **kwargs: object) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        record.created = autojump_clock.current_time()
        return record

    monkeypatch.setattr(logging, '_logRecordFactory', make)


async def test_lines_of_gateway_and_pc_are_told_in_order_of_time(
    log: None, autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        with service.journal.kept():
            begin = autojump_clock.current_time()
            instance = await spawn(service)
        pc.said[instance] = [(begin + 0.5, f'[instance {instance}] built')]
        found = await service.story(instance)
    machines = [machine for machine, _ in told(found)]
    assert machines == ['gw1', 'pc0', 'gw1']
    assert f'epoch 1.3 builds on pc0 ({pc.id})' in found.lines[0].text
    assert found.now == 'plugged on pc0, slice all, epoch 1.3'
    assert found.remarks == ()
    assert found.instance == instance


async def test_a_pcs_wrong_clock_is_remarked_and_made_good(
    log: None, autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    pc.clock_ahead_s = -3600.0
    async with gateways.running(tmp_path, pcs) as service:
        with service.journal.kept():
            begin = autojump_clock.current_time()
            instance = await spawn(service)
        pc.said[instance] = [(begin + 0.5, f'[instance {instance}] built')]
        found = await service.story(instance)
    assert [machine for machine, _ in told(found)] == ['gw1', 'pc0', 'gw1']
    assert found.lines[1].at_s == pytest.approx(begin + 0.5)
    (remark,) = found.remarks
    assert remark.machine == 'pc0'
    assert '-3600.0 s' in remark.text


async def test_a_deleted_instance_has_a_story(
    log: None, tmp_path: pathlib.Path
) -> None:
    async with gateways.running(tmp_path, office(1)) as service:
        with service.journal.kept():
            instance = await spawn(service)
            await service.instances.destroy('all', instance, 'req-x')
        found = await service.story(instance)
    assert found.now == 'it is on no PC'
    assert 'destroyed' in found.lines[-1].text


async def test_what_a_pc_out_of_reach_would_tell_is_missing(
    log: None, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        with service.journal.kept():
            instance = await spawn(service)
        pcs.tell_liveness(service, pc, views.Liveness.FAILED)
        found = await service.story(instance)
        assert 'the PC is out of reach' in found.now
        (remark,) = found.remarks
        assert remark.machine == 'pc0'
        assert 'its part is missing' in remark.text
        await service.instances.destroy('all', instance, 'req-x')
        found = await service.story(instance)
        assert 'pc0 has still to destroy epoch 1.3' in found.now


async def test_the_story_of_a_failed_spawn_names_every_pc_that_was_tried(
    log: None, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    for pc in pcs.pcs.values():
        pc.build_errors = [errors.HypervisorFailed('no QEMU')]
    request = fake_pcs.spawn_request(0, NEED)
    async with gateways.running(tmp_path, pcs) as service:
        with (
            service.journal.kept(),
            pytest.raises(errors.NoPeerFits),
        ):
            await service.instances.spawn('all', request)
        found = await service.story(request.claim.instance)
    assert [pc.calls.count('story') for pc in pcs.pcs.values()] == [1, 1]
    assert sum('no QEMU' in line.text for line in found.lines) == 2


async def test_a_name_will_do_while_it_is_the_only_one(
    log: None, tmp_path: pathlib.Path
) -> None:
    async with gateways.running(tmp_path, office(1)) as service:
        instance = await spawn(service)
        assert (await service.story('server0')).instance == instance
        with pytest.raises(errors.NotFound, match='by its id'):
            await service.story('server1')
        with pytest.raises(errors.NotFound, match='nothing is known'):
            await service.story(str(uuid.UUID(int=99)))


async def test_a_name_that_several_have_is_refused_with_their_ids(
    log: None, tmp_path: pathlib.Path
) -> None:
    async with gateways.running(tmp_path, office(1)) as service:
        for number in (0, 1):
            request = fake_pcs.spawn_request(number, NEED)
            spec = wire.InstanceSpec(
                request.spec.instance, 'same', NEED, request.spec.image, 1
            )
            await service.instances.spawn(
                'all', wire.SpawnRequest(request.claim, spec)
            )
        with pytest.raises(errors.Malformed, match=request.spec.instance):
            await service.story('same')


async def test_what_a_pc_says_is_made_fit_to_be_shown(
    log: None, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with gateways.running(tmp_path, pcs) as service:
        instance = await spawn(service)
        pc.said[instance] = [(0.0, f'{instance} \x1b[31m\n' + 'x' * 9999)]
        found = await service.story(instance)
    (line,) = found.lines
    assert line.text.startswith(f'{instance}  [31m xx')
    assert len(line.text) <= texts.LIMIT
