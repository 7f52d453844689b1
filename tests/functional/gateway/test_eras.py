# SPDX-License-Identifier: Apache-2.0
"""Terms and epochs come from another place, or from a copy of it."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import pytest
import trio

from p2pcs_nova import errors, etcd, wire
from p2pcs_nova.bootclock import boottime
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from p2pcs_nova.gateway.etcd_ledger import EtcdLedger
from p2pcs_nova.gateway.settling import Settling
from p2pcs_nova.gateway.store import Store
from p2pcs_nova.manage.era import next_era
from p2pcs_nova.terms.shared import OneOfSeveral
from tests.support import (
    etcd_server,
    fake_pcs,
    gateways,
    ledger_contract,
)
from tests.support.small_office import office, spawn

pytestmark = [pytest.mark.etcd, pytest.mark.trio]

SLICE = 'all'
PREFIX = '/office'
DEADLINE_S = 60.0
STATE = wire.InstanceState
START = wire.ActionRequest(wire.Action.START)


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[etcd_server.Server]:
    with etcd_server.running(tmp_path / 'etcd') as server:
        yield server


@pytest.fixture
def pcs() -> fake_pcs.Office:
    found = office(2)
    for pc in found.pcs.values():
        pc.build_s = 0.01
    return found


class Gateway:
    """One life of the gateway of a machine: alone, or by etcd."""

    def __init__(
        self, service: services.GatewayService, terms: OneOfSeveral | None
    ) -> None:
        self.service = service
        self._terms = terms

    async def take(self) -> wire.Counter:
        """Command the slice, which nobody has."""
        await self.service.settle_era()
        until_s, term = boottime() + DEADLINE_S, None
        if self._terms is not None:
            self._terms.renew()
            term = self._terms.take(SLICE)
            assert term is not None
        held = await self.service.take_term(
            SLICE, wire.TermRequest(until_s, term)
        )
        return held.term

    def placed(self) -> dict[str, wire.Counter]:
        """The epochs that it knows of the slice."""
        return {
            placed.status.instance: placed.status.epoch
            for placed in self.service.placements(SLICE).instances
        }

    def graves(self) -> list[str]:
        """What its PCs have not yet destroyed."""
        return [
            g.instance for g in self.service.instances.graves.listed().graves
        ]


class Machine:
    """The disk of a gateway, and the word that is in force."""

    def __init__(
        self,
        folder: pathlib.Path,
        pcs: fake_pcs.Office,
        server: etcd_server.Server,
    ) -> None:
        self._folder = folder
        self._pcs = pcs
        self._server = server
        self.era: wire.Era | None = None

    async def raise_era(self, gateway: Gateway, lost: bool = False) -> None:
        """As `p2pcs-manage era raise` does."""
        report = await gateway.service.era_report()
        self.era = next_era(report, gateways.GATEWAY_ID, 'a test', lost)

    @contextlib.asynccontextmanager
    async def alone(
        self, *, knows_etcd: bool = True
    ) -> AsyncIterator[Gateway]:
        """It takes terms from its counter."""
        former = self._ledger() if knows_etcd else None
        async with self._running(None, former) as gateway:
            yield gateway

    @contextlib.asynccontextmanager
    async def shared(self) -> AsyncIterator[Gateway]:
        """It takes terms from etcd."""
        terms = OneOfSeveral('a', PREFIX, self._server.connect, boottime)
        terms.renew()
        terms.want(True)
        async with self._running(terms, None) as gateway:
            yield gateway
        with contextlib.suppress(errors.Unavailable):
            terms.close()

    @contextlib.asynccontextmanager
    async def _running(
        self, terms: OneOfSeveral | None, former: EtcdLedger | None
    ) -> AsyncIterator[Gateway]:
        service = gateways.make_service(
            self._folder,
            self._pcs,
            clock=boottime,
            ledger=None if terms is None else self._ledger(),
            former=former,
            era=lambda: self.era,
        )
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as nursery:
                await nursery.start(service.run)
                self._pcs.tell(service)
                yield Gateway(service, terms)
                nursery.cancel_scope.cancel()

    def _ledger(self) -> EtcdLedger:
        return EtcdLedger(self._server.connect(), PREFIX)


@pytest.fixture
def machine(
    tmp_path: pathlib.Path, pcs: fake_pcs.Office, server: etcd_server.Server
) -> Machine:
    return Machine(tmp_path / 'gw', pcs, server)


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; the test has a deadline."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.05)


async def refused(gateway: Gateway, reason: str) -> None:
    """It takes no term, says why, and tells the operator the same."""
    with pytest.raises(errors.EraRefused, match=reason) as caught:
        await gateway.take()
    report = await gateway.service.era_report()
    assert report.problem == caught.value.message


async def test_gateway_goes_to_etcd_and_back_with_all_that_it_has(
    machine: Machine, pcs: fake_pcs.Office
) -> None:
    terms = []
    async with machine.alone() as gateway:
        terms.append(await gateway.take())
        first = (await spawn(gateway.service)).status
        gone = await spawn(gateway.service, 1)
        away = pcs.pcs[gone.peer]
        away.cut = True
        pcs.tell_liveness(gateway.service, away, views.Liveness.FAILED)
        await gateway.service.instances.destroy(
            SLICE, gone.status.instance, ''
        )
    async with machine.shared() as gateway:
        await refused(gateway, "came from this gateway's own counter.* raise")
        await machine.raise_era(gateway)
        terms.append(await gateway.take())
        assert gateway.placed() == {first.instance: first.epoch}
        assert gateway.graves() == [gone.status.instance]
        await gateway.service.instances.act(SLICE, first.instance, START, '')
        second = (await spawn(gateway.service, 2)).status
    assert second.epoch > first.epoch
    async with machine.alone() as gateway:
        assert gateway.placed() == {}
        await refused(gateway, 'terms of era 2 come from etcd')
        await machine.raise_era(gateway)
        terms.append(await gateway.take())
        assert gateway.placed() == {
            first.instance: first.epoch,
            second.instance: second.epoch,
        }
        away.cut = False
        pcs.tell(gateway.service)
        await until(lambda: gateway.graves() == [])
        assert pcs.live(gone.status.instance) == []
        await gateway.service.instances.destroy(SLICE, first.instance, '')
        third = (await spawn(gateway.service, 3)).status
    assert third.epoch > second.epoch
    # To etcd again: what it still has is older, and forgotten.
    async with machine.shared() as gateway:
        await machine.raise_era(gateway)
        terms.append(await gateway.take())
        assert gateway.placed() == {
            second.instance: second.epoch,
            third.instance: third.epoch,
        }
    assert terms == sorted(terms)
    assert [term.era for term in terms] == [1, 2, 3, 4]


async def test_nobody_goes_alone_while_others_share(
    machine: Machine, server: etcd_server.Server
) -> None:
    async with machine.shared() as gateway:
        await refused(gateway, 'no era has begun in etcd')
        await machine.raise_era(gateway)
        assert (await gateway.take()).era == 2
    other = OneOfSeveral('b', PREFIX, server.connect, boottime)
    other.renew()
    other.want(True)
    async with machine.alone() as gateway:
        await machine.raise_era(gateway)
        with pytest.raises(errors.Unavailable, match='p2pcs-gateway: b'):
            await gateway.take()
        # Deaf for a while, it wants no slice, and has one nevertheless.
        assert other.take(SLICE) is not None
        other.want(False)
        with pytest.raises(errors.Unavailable, match='p2pcs-gateway: b'):
            await gateway.take()
        other.close()
        assert (await gateway.take()).era == 3


async def test_era_of_another_gateway_leaves_no_server_behind(
    machine: Machine, server: etcd_server.Server, tmp_path: pathlib.Path
) -> None:
    async with machine.alone() as gateway:
        await gateway.take()
        placed = (await spawn(gateway.service)).status
    other = 'b' * 32
    ledger = EtcdLedger(server.connect(), PREFIX)
    machine.era = wire.Era(2, other, ledger.stands().place)
    with contextlib.closing(Store(tmp_path / 'b.sqlite')) as store:
        settling = Settling(other, store, ledger, None, lambda: machine.era)
        assert settling.settle()
    async with machine.shared() as gateway:
        await refused(gateway, 'era 2 without .*instances: 1, .*raise --ca')
        # Both were told at once, and ours is the word that stays.
        machine.era = wire.Era(2, gateways.GATEWAY_ID, machine.era.place)
        await refused(gateway, 'era 2 without .*instances: 1, .*raise --ca')
        await machine.raise_era(gateway)
        assert (await gateway.take()).era == 3
        assert gateway.placed() == {placed.instance: placed.epoch}


async def test_what_etcd_had_is_not_lost_unless_the_admin_says_so(
    machine: Machine, pcs: fake_pcs.Office
) -> None:
    async with machine.shared() as gateway:
        await machine.raise_era(gateway)
        await gateway.take()
        placed = (await spawn(gateway.service)).status
    async with machine.alone(knows_etcd=False) as gateway:
        await machine.raise_era(gateway)
        await refused(gateway, 'would be lost: name it in etcd_endpoints')
        await machine.raise_era(gateway, lost=True)
        await gateway.take()
        await until(
            lambda: gateway.placed() == {placed.instance: placed.epoch}
        )
        await gateway.service.instances.act(SLICE, placed.instance, START, '')


@pytest.mark.parametrize('is_empty', [False, True])
async def test_etcd_that_was_restored_gives_no_number_twice(
    machine: Machine,
    pcs: fake_pcs.Office,
    server: etcd_server.Server,
    tmp_path: pathlib.Path,
    is_empty: bool,
) -> None:
    async with machine.shared() as gateway:
        await machine.raise_era(gateway)
        await gateway.take()
        moved = (await spawn(gateway.service)).status
        gone = (await spawn(gateway.service, 1)).status
    await trio.to_thread.run_sync(server.back_up, tmp_path / 'copy')
    async with machine.shared() as gateway:
        before = await gateway.take()
        await gateway.service.instances.destroy(SLICE, gone.instance, '')
        await gateway.service.instances.destroy(SLICE, moved.instance, '')
        moved = (await spawn(gateway.service)).status
        new = (await spawn(gateway.service, 2)).status
        await gateway.service.instances.act(SLICE, new.instance, START, '')
        await gateway.service.settle_era()
    known = {moved.instance: moved.epoch, new.instance: new.epoch}
    copy = None if is_empty else tmp_path / 'copy'
    await trio.to_thread.run_sync(server.restore, copy)
    async with machine.shared() as gateway:
        reason = 'has lost what it had' if is_empty else 'is an older copy'
        await refused(gateway, f'{reason}.* era raise --lost')
        await machine.raise_era(gateway)
        await refused(gateway, 'has not all that it had.* era raise --lost')
        await machine.raise_era(gateway, lost=True)
        term = await gateway.take()
        assert term > before
        await until(lambda: known.items() <= gateway.placed().items())
        for uuid in known:
            (holder,) = pcs.live(uuid)
            assert holder.instances[uuid].state is not STATE.QUARANTINED
        assert pcs.live(new.instance)[0].instances[new.instance].state is (
            STATE.RUNNING
        )
        await until(lambda: gateway.graves() == [])
        assert pcs.live(gone.instance) == []
        again = (await spawn(gateway.service, 3)).status
        assert again.epoch > max(known.values())
        await gateway.service.instances.destroy(SLICE, moved.instance, '')
        assert pcs.live(moved.instance) == []


class Breaking(etcd.Etcd):
    """Its connection breaks after so many questions."""

    left = 0

    def transact(
        self,
        conditions: Sequence[etcd.Condition],
        then: Sequence[etcd.Step],
        otherwise: Sequence[etcd.Step] = (),
    ) -> etcd.Outcome:
        self.left -= 1
        if self.left < 0:
            raise errors.Unavailable('broken')
        return super().transact(conditions, then, otherwise)


async def test_way_to_etcd_may_be_interrupted_anywhere(
    tmp_path: pathlib.Path, server: etcd_server.Server
) -> None:
    store = Store(tmp_path / 'gateway.sqlite')
    with contextlib.closing(store):
        command = wire.Command(SLICE, store.next_number())
        for number in range(3):
            row = ledger_contract.row(store.next_number(), number)
            store.place(command, row)
        store.bury(command, row.instance)
        rows, graves, last = store.rows(), store.graves(), store.next_number()
        me = gateways.GATEWAY_ID
        broken = Breaking(server.cluster)
        ledger = EtcdLedger(broken, PREFIX)
        broken.left = 1
        word = wire.Era(2, me, ledger.stands().place)
        Settling(me, store, store, None, lambda: None).settle()
        settling = Settling(me, store, ledger, None, lambda: word)
        for asked in itertools.count():
            broken.left = asked
            try:
                settling.settle()
                break
            except errors.Unavailable:
                whole = EtcdLedger(server.connect(), PREFIX)
                # Whoever sees the era sees all the rest.
                if whole.stands().era == 2:
                    assert whole.rows() == rows
                    assert whole.graves() == graves
        assert asked > len(rows) + len(graves)
        broken.left = 10
        assert (ledger.rows(), ledger.graves()) == (rows, graves)
        found = store.last()
        assert found.number > last
        assert found.place == word.place
