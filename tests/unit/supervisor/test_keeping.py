# SPDX-License-Identifier: Apache-2.0
"""How a gateway's slices fare when others are slow, or are not there."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.supervisor import blocking, compute, fitness, keeping
from p2pcs_nova.terms.holder import TTL_S, Lapsed, Shares

pytestmark = pytest.mark.trio

T = TypeVar('T')

NONE = wire.Capacity()
THREADS = 40
"""As many calls may block at once."""


@dataclasses.dataclass
class Office:
    """What gateways share: who wants slices, and who has them."""

    slices: tuple[str, ...]
    gateways: set[str] = dataclasses.field(default_factory=set)
    held: dict[str, tuple[str, int]] = dataclasses.field(default_factory=dict)
    """Gateway and term, by slice."""
    numbers: itertools.count[int] = dataclasses.field(
        default_factory=itertools.count
    )
    is_away: bool = False
    """Nobody gets an answer."""

    def check(self) -> None:
        if self.is_away:
            raise errors.Unavailable('etcd does not answer')

    def holders(self) -> dict[str, str]:
        return {slice_: name for slice_, (name, _) in self.held.items()}


class Terms:
    """See :class:`p2pcs_nova.terms.holder.Holder`; as etcd has it."""

    def __init__(self, office: Office, name: str) -> None:
        self._office = office
        self.name = name
        self.renewed: list[float] = []
        self._own: set[str] = set()

    def renew(self) -> float:
        self._office.check()
        self.renewed.append(trio.current_time())
        return trio.current_time() + TTL_S

    def want(self, wanted: bool) -> None:
        self._office.check()
        if wanted:
            self._office.gateways.add(self.name)
        else:
            self._office.gateways.discard(self.name)

    def shares(self) -> Shares:
        self._office.check()
        return Shares(frozenset(self._office.gateways), self._office.holders())

    def take(self, slice_: str) -> wire.Counter | None:
        self._office.check()
        if slice_ in self._office.held:
            return None
        number = next(self._office.numbers)
        self._office.held[slice_] = self.name, number
        return wire.Counter(2, number)

    def give_back(self, command: wire.Command) -> None:
        self._office.check()
        assert self._office.held.pop(command.slice) == (
            self.name,
            command.term.n,
        )

    def close(self) -> None: ...


class Daemon(LocalClient):
    """A gateway's daemon, which may hang."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self.hangs = False
        self.refuses = False
        """It has seen a higher term of each slice."""
        self.ended: list[wire.Command] = []

    def slices(self, **_: Any) -> wire.SliceRows:
        return wire.SliceRows(
            tuple(
                wire.SliceSummary(name, None, 0, 0, NONE, NONE, NONE)
                for name in self._office.slices
            )
        )

    def settle_era(self, **_: Any) -> None: ...

    def take_term(
        self, name: str, request: wire.TermRequest, **_: Any
    ) -> wire.HeldTerm:
        if self.hangs:
            raise errors.Unreachable('nothing was said for 1.5 s')
        if self.refuses:
            raise errors.StaleTerm(f'the term of slice {name} is over')
        assert request.term is not None
        return wire.HeldTerm(name, request.term, request.until_s)

    def end_term(self, command: wire.Command, **_: Any) -> None:
        self.ended.append(command)


class Computes:
    """The nova-computes of a gateway: how long each lives."""

    def __init__(self, folder: pathlib.Path, life_s: float) -> None:
        self._broken = ''
        self._lives: dict[str, trio.CancelScope] = {}
        self._options = compute.Options('none', (), folder, None, '')
        self.life_s = life_s
        self.ending = trio.Event()
        self.last_s = 0.0
        """Each takes so long to end."""
        self.killed_at: list[float] = []
        self.is_mute = False
        """None gives a sign of life."""

    def break_(self, slice_: str) -> None:
        """This slice's ends, and those that follow live for 5 s."""
        self._broken = slice_
        self._lives[slice_].cancel()

    def make(self, slice_: str) -> compute.Compute:
        computes = self

        class Played(compute.Compute):
            began = 0.0

            @property
            def lived_s(self) -> float:
                if computes.is_mute:
                    return 0.0
                return trio.current_time() - self.began

            async def keep(self) -> float:
                self.began = trio.current_time()
                life_s = 5.0 if slice_ == computes._broken else computes.life_s
                try:
                    with trio.move_on_after(life_s) as life:
                        computes._lives[slice_] = life
                        await computes.ending.wait()
                finally:
                    with trio.CancelScope(shield=True):
                        await trio.sleep(computes.last_s)
                return self.lived_s

            def kill(self) -> None:
                computes.killed_at.append(trio.current_time())

        return Played(self._options, slice_)


@dataclasses.dataclass
class Gateway:
    """One of them, that runs."""

    terms: Terms
    daemon: Daemon
    computes: Computes
    keeper: keeping.Keeper
    done: trio.Event = dataclasses.field(default_factory=trio.Event)

    async def run(self) -> None:
        await self.keeper.run()
        self.done.set()


class Scene:
    """Some gateways, on a virtual clock."""

    def __init__(
        self, folder: pathlib.Path, nursery: trio.Nursery, office: Office
    ) -> None:
        self._folder = folder
        self._nursery = nursery
        self.office = office

    def begin(self, name: str, life_s: float = math.inf) -> Gateway:
        terms, daemon = Terms(self.office, name), Daemon(self.office)
        computes = Computes(self._folder / name, life_s)
        keeper = keeping.Keeper(
            terms, daemon, computes.make, trio.current_time
        )
        one = Gateway(terms, daemon, computes, keeper)
        self._nursery.start_soon(one.run)
        return one


Begin = Callable[..., contextlib.AbstractAsyncContextManager[Scene]]
"""By the names of the slices."""


@pytest.fixture
def begin(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> Begin:
    threads = trio.CapacityLimiter(THREADS)

    async def call(function: Callable[..., T], *arguments: Any) -> T:
        async with threads:
            daemon = getattr(function, '__self__', None)
            if isinstance(daemon, Daemon) and daemon.hangs:
                await trio.sleep(1.5)
            await trio.lowlevel.checkpoint()
            return function(*arguments)

    monkeypatch.setattr(blocking, 'call', call)

    @contextlib.asynccontextmanager
    async def running(*slices: str) -> AsyncIterator[Scene]:
        async with trio.open_nursery() as nursery:
            yield Scene(tmp_path, nursery, Office(slices))
            nursery.cancel_scope.cancel()

    return running


async def test_slice_whose_term_could_not_be_given_back_is_served_again(
    autojump_clock: MockClock,
    begin: Begin,
) -> None:
    async with begin('gold') as scene:
        office = scene.office
        one = scene.begin('a')
        await trio.sleep(3.0)
        assert office.held == {'gold': ('a', 0)}
        office.is_away = True
        one.computes.ending.set()
        await trio.sleep(3.0)
        office.is_away = False
        one.computes.ending = trio.Event()
        await trio.sleep(5.0)
        assert office.held == {'gold': ('a', 1)}


async def test_stop_gives_all_back_and_the_daemon_is_told(
    autojump_clock: MockClock,
    begin: Begin,
) -> None:
    async with begin('gold', 'silver') as scene:
        office = scene.office
        one = scene.begin('a')
        await trio.sleep(3.0)
        commands = {
            wire.Command(slice_, wire.Counter(2, number))
            for slice_, (_, number) in office.held.items()
        }
        assert len(commands) == 2
        one.keeper.stop()
        with trio.fail_after(1.5):
            await one.done.wait()
        assert (office.held, office.gateways) == ({}, set())
        assert set(one.daemon.ended) == commands


async def test_stop_does_not_wait_for_others_to_answer(
    autojump_clock: MockClock,
    begin: Begin,
) -> None:
    async with begin('gold') as scene:
        one = scene.begin('a')
        await trio.sleep(3.0)
        scene.office.is_away = True
        one.computes.ending.set()
        await trio.sleep(1.5)
        one.keeper.stop()
        with trio.fail_after(1.5):
            await one.done.wait()


async def test_slice_is_free_while_its_next_nova_compute_waits(
    autojump_clock: MockClock,
    begin: Begin,
) -> None:
    async with begin('gold') as scene:
        office = scene.office
        scene.begin('a', life_s=0.2)
        free_s = 0.0
        for _ in range(200):
            await trio.sleep(0.5)
            free_s += 0.5 * (not office.held)
        assert free_s > 90.0


async def test_gateway_that_cannot_keep_nova_computes_leaves_all_to_others(
    autojump_clock: MockClock,
    begin: Begin,
) -> None:
    async with begin('gold', 'silver', 'tin') as scene:
        office = scene.office
        bad = scene.begin('bad', life_s=0.2)
        await trio.sleep(60.0)
        # Nobody else is there: it goes on.
        assert office.gateways == {'bad'}
        scene.begin('good')
        await trio.sleep(10.0)
        assert set(office.holders().values()) == {'good'}
        assert len(office.held) == 3
        await trio.sleep(fitness.FAILING_S / 2)
        assert office.gateways == {'good'}
        # Another try, some time after it was mended.
        bad.computes.life_s = math.inf
        await trio.sleep(fitness.FAILING_S)
        assert set(office.holders().values()) == {'bad', 'good'}


async def test_slice_that_does_not_run_on_one_gateway_runs_on_another(
    autojump_clock: MockClock, begin: Begin
) -> None:
    """Each has its share all the same."""
    async with begin('gold', 'lead', 'silver', 'tin') as scene:
        office = scene.office
        one = scene.begin('a')
        scene.begin('b')
        await trio.sleep(60.0)
        broken = min(s for s, who in office.holders().items() if who == 'a')
        one.computes.break_(broken)
        await trio.sleep(300.0)
        for _ in range(600):
            await trio.sleep(1.0)
            assert office.holders()[broken] == 'b'
            assert len(office.held) == 4
        assert sorted(office.holders().values()) == ['a', 'a', 'b', 'b']


async def test_gateway_whose_nova_computes_cannot_begin_leaves_them_to_others(
    autojump_clock: MockClock, begin: Begin
) -> None:
    """They wait for Nova, which it cannot reach, and are killed at last."""
    async with begin('gold', 'silver', 'tin', 'lead') as scene:
        bad = scene.begin('bad', life_s=compute.FIRST_S)
        bad.computes.is_mute = True
        scene.begin('good')
        await trio.sleep(3 * compute.FIRST_S)
        assert set(scene.office.holders().values()) == {'good'}
        assert len(scene.office.held) == 4


async def test_gateway_whose_disk_is_full_leaves_all_to_others(
    autojump_clock: MockClock, begin: Begin, tmp_path: pathlib.Path
) -> None:
    """A nova-compute that is not told of its term ends with it."""
    (tmp_path / 'bad').write_text('no folder')
    async with begin('gold', 'silver', 'tin') as scene:
        scene.begin('bad', life_s=TTL_S)
        await trio.sleep(60.0)
        scene.begin('good')
        await trio.sleep(10.0)
        assert set(scene.office.holders().values()) == {'good'}
        assert len(scene.office.held) == 3


async def test_hanging_daemon_delays_no_renewal_however_many_slices_there_are(
    autojump_clock: MockClock,
    begin: Begin,
) -> None:
    slices = [f's{number}' for number in range(6 * THREADS)]
    async with begin(*slices) as scene:
        one = scene.begin('a')
        await trio.sleep(5.0)
        assert len(scene.office.held) == len(slices)
        one.daemon.hangs = True
        await trio.sleep(10.0)
        gaps = itertools.pairwise(one.terms.renewed)
        assert max(after - before for before, after in gaps) < TTL_S * 0.7


async def test_nova_compute_is_killed_when_its_term_is_over(
    autojump_clock: MockClock,
    begin: Begin,
) -> None:
    with pytest.RaisesGroup(Lapsed, flatten_subgroups=True):
        async with begin('gold') as scene:
            one = scene.begin('a')
            one.computes.last_s = compute.STOP_S
            await trio.sleep(3.0)
            scene.office.is_away = True
            await trio.sleep_forever()
    assert one.computes.killed_at[0] == one.terms.renewed[-1] + TTL_S


async def test_nova_compute_is_killed_when_the_daemon_knows_a_higher_term(
    autojump_clock: MockClock,
    begin: Begin,
) -> None:
    with pytest.RaisesGroup(Lapsed, flatten_subgroups=True):
        async with begin('gold') as scene:
            one = scene.begin('a')
            await trio.sleep(3.0)
            one.daemon.refuses = True
            await trio.sleep(keeping.RENEW_S + 0.5)
    assert one.computes.killed_at
