# SPDX-License-Identifier: Apache-2.0
"""A slice is served by its term, and only as long as that lasts."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from tests.support import fake_pcs, gateways, ledger_contract
from tests.support.shared_store import SharedStore
from tests.support.small_office import SMALL, office, spawn

pytestmark = pytest.mark.trio

T = TypeVar('T')

TTL_S = 8.0


def term(n: int) -> wire.Counter:
    return wire.Counter(1, n)


async def take(
    service: services.GatewayService, n: int, seconds: float = TTL_S
) -> None:
    """Command the slice by this term for so long."""
    until = trio.current_time() + seconds
    await service.take_term('all', wire.TermRequest(until, term(n)))


@contextlib.asynccontextmanager
async def uncommanded(
    folder: pathlib.Path, pcs: fake_pcs.Office
) -> AsyncIterator[services.GatewayService]:
    """A running service that commands no slice."""
    service = gateways.make_service(folder, pcs)
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        pcs.tell(service)
        yield service
        nursery.cancel_scope.cancel()


async def test_without_a_term_no_pc_is_asked(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(2)
    async with uncommanded(tmp_path, pcs) as service:
        await trio.sleep(60.0)
        with pytest.raises(errors.NoPeerFits, match='unavailable'):
            await spawn(service)
        assert service.slice_summary('all').term is None
        assert pcs.commands == []
        await take(service, 1)
        placed = await spawn(service)
        assert placed.status.state is wire.InstanceState.PLUGGED


async def test_each_term_asks_the_pcs_of_its_slice_what_they_hold(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with uncommanded(tmp_path, pcs) as service:
        await take(service, 1)
        await spawn(service)
        await trio.sleep(TTL_S + 1.0)
        pc.calls.clear()
        await take(service, 2)
        await trio.sleep(1.0)
        assert pc.calls == ['instances']
        assert pc.terms.check(wire.Command('all', term(3)))
        assert not pc.terms.check(wire.Command('all', term(2)))


async def test_tombstones_wait_for_the_next_term(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with uncommanded(tmp_path, pcs) as service:
        await take(service, 1, 60.0)
        placed = await spawn(service)
        pc.frozen = True
        gone = await service.instances.destroy(
            'all', placed.status.instance, ''
        )
        assert not gone.done
        await trio.sleep(60.0)
        pc.frozen = False
        pc.calls.clear()
        await trio.sleep(300.0)
        assert (pc.calls, pc.tombstones) == ([], {})
        await take(service, 2)
        await trio.sleep(TTL_S)
        assert pc.tombstones == {placed.status.instance: placed.status.epoch}


async def test_spawn_ends_with_its_term_and_the_next_one_settles_it(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    pc.build_s = 20.0
    request = fake_pcs.spawn_request(0, SMALL)
    async with (
        uncommanded(tmp_path, pcs) as service,
        trio.open_nursery() as nursery,
    ):
        await take(service, 1)

        async def next_term() -> None:
            await trio.sleep(5.0)
            (building,) = service.placements('all').instances
            pc.instances[request.claim.instance] = msgspec.structs.replace(
                building.status, state=wire.InstanceState.PLUGGED
            )
            await take(service, 2)

        nursery.start_soon(next_term)
        with pytest.raises(errors.StaleTerm, match='is over'):
            await service.instances.spawn('all', request)
        await trio.sleep(1.0)
        (placed,) = service.placements('all').instances
        assert placed.status == pc.instances[request.claim.instance]
        nursery.cancel_scope.cancel()


async def test_spawn_goes_on_while_its_term_is_renewed_a_little_late(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    pc.build_s = 20.0
    async with (
        uncommanded(tmp_path, pcs) as service,
        trio.open_nursery() as nursery,
    ):
        await take(service, 1)

        async def renew() -> None:
            await trio.sleep(TTL_S + 2.0)
            await take(service, 1, 60.0)

        nursery.start_soon(renew)
        assert (await spawn(service)).peer == pc.id
        nursery.cancel_scope.cancel()


async def test_request_waits_a_moment_for_the_term_of_its_slice(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with (
        uncommanded(tmp_path, office(1)) as service,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(take, service, 1)
        await service.check_command(wire.Command('all', term(1)))
        began = trio.current_time()
        await trio.sleep(TTL_S)
        with pytest.raises(errors.Unavailable):
            await service.check_commanded('all')
        waited = trio.current_time() - began - TTL_S
        assert waited == pytest.approx(config.DEFAULTS.term_wait_s)
        nursery.cancel_scope.cancel()


async def test_word_of_one_pc_does_not_end_the_term(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    async with uncommanded(tmp_path, pcs) as service:
        await take(service, 1)
        uuid = (await spawn(service)).status.instance
        pc.terms.accept(wire.Command('all', term(9)))
        with pytest.raises(errors.WrongState, match='pc1 says'):
            await service.instances.act(
                'all', uuid, wire.ActionRequest(wire.Action.START), ''
            )
        with pytest.raises(errors.WrongState, match='pc1 says'):
            async with service.instances.snapshot(
                'all', uuid, wire.SnapshotRequest(30.0), ''
            ):
                pass


async def test_term_that_is_given_back_is_over_at_once(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with uncommanded(tmp_path, office(1)) as service:
        await take(service, 1)
        service.end_term(wire.Command('all', term(1)))
        with pytest.raises(errors.Unavailable):
            await service.check_commanded('all')
        with pytest.raises(errors.StaleTerm):
            await take(service, 1)


async def test_spawn_ends_at_once_when_its_term_is_given_back(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    (pc,) = pcs.pcs.values()
    pc.build_s = 20.0
    async with (
        uncommanded(tmp_path, pcs) as service,
        trio.open_nursery() as nursery,
    ):
        await take(service, 1, 60.0)

        async def give_back() -> None:
            await trio.sleep(5.0)
            service.end_term(wire.Command('all', term(1)))

        nursery.start_soon(give_back)
        began = trio.current_time()
        with pytest.raises(errors.StaleTerm, match='is over'):
            await spawn(service)
        assert trio.current_time() == pytest.approx(began + 5.0)


async def test_gateway_that_is_new_does_not_count_beside_another(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    other = views.PeerSeen('e' * 32, 'gateway', '', 1, views.Liveness.FAILED)
    async with uncommanded(tmp_path, office(1)) as service:
        service.peer_changed(other)
        with pytest.raises(errors.EraRefused, match='another gateway is here'):
            await service.take_term('all', wire.TermRequest(TTL_S))
        report = await service.era_report()
        assert 'another gateway is here' in report.problem
    async with gateways.running(tmp_path, office(1)):
        pass
    async with uncommanded(tmp_path, office(1)) as service:
        service.peer_changed(other)
        await service.take_term('all', wire.TermRequest(TTL_S))


async def test_only_gateway_is_given_rising_terms_by_its_counter(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    terms = []
    for _ in range(2):
        async with uncommanded(tmp_path, office(1)) as service:
            for _ in range(2):
                given = await service.take_term(
                    'all', wire.TermRequest(trio.current_time() + TTL_S)
                )
                terms.append(given.term)
    assert terms == sorted(set(terms))


async def test_term_of_no_slice_is_refused(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with gateways.running(tmp_path, office(1)) as service:
        with pytest.raises(errors.NotFound, match='no slice bronze'):
            await service.take_term('bronze', wire.TermRequest(1e9))


async def test_nothing_is_known_of_a_slice_whose_term_ends_as_it_begins(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office(1)
    ledger = SharedStore(tmp_path / 'shared.sqlite')
    slow = trio.Event()

    async def run_blocking(
        call: Callable[..., T], /, *arguments: Any, **how: bool
    ) -> T:
        if call == ledger.graves and not slow.is_set():
            slow.set()
            await trio.sleep(5.0)
        return await gateways.at_once(call, *arguments, **how)

    ledger.place(wire.Command('all', term(1)), ledger_contract.row(term(1)))
    service = gateways.make_service(
        tmp_path, pcs, ledger=ledger, run_blocking=run_blocking
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        with pytest.raises(errors.StaleTerm):
            await take(service, 1, 3.0)
        assert service.placements('all').instances == ()
        await take(service, 2)
        assert len(service.placements('all').instances) == 1
        nursery.cancel_scope.cancel()
    ledger.close()
