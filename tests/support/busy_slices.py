# SPDX-License-Identifier: Apache-2.0
"""Slices of PCs in memory, and users who want more than there is.

Each slice has a gateway's service of its own, which knows its PCs alone;
messages take some milliseconds, records some seconds, the failure detector
some more.  A PC that is switched off keeps its servers, out of reach, and
has them when it is switched on again.  Everything is drawn from one seed.
"""

from __future__ import annotations

import collections
import dataclasses
import heapq
import pathlib
import random
from collections.abc import Iterable

import trio
from trio.testing import MockClock

from gossip.simulator import churn
from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import view as views
from p2pcs_nova.policy.document import Placing
from tests.support import fake_pcs, gateways, repeatable
from tests.support.bad_network import Network, Weather

GIB = 1024
OFFERS = (
    wire.Capacity(4, 8 * GIB, 80 * GIB),
    wire.Capacity(8, 16 * GIB, 160 * GIB),
    wire.Capacity(12, 24 * GIB, 240 * GIB),
)
"""What owners give; as many PCs of each."""
FLAVORS = (
    (12, wire.Capacity(1, 2 * GIB, 10 * GIB)),
    (6, wire.Capacity(2, 4 * GIB, 20 * GIB)),
    (3, wire.Capacity(4, 8 * GIB, 40 * GIB)),
    (1, wire.Capacity(8, 16 * GIB, 80 * GIB)),
)
"""What users ask for, and how often; no PC of the first kind has room for
the last."""
MEAN_VCPUS = sum(often * need.vcpus for often, need in FLAVORS) / sum(
    often for often, _ in FLAVORS
)
WEATHER = Weather(usual_s=0.005)
BUILD_S = (2.0, 20.0)
RECORD_S = (0.5, 3.0)
"""How long a record is under way."""
DETECTION_S = (5.0, 10.0)
"""How long it takes until a PC that went off is known to be."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is played.

    :param pcs: in each slice
    :param servers: asked for in each slice
    :param load: how much of all that the PCs offer would be in use if
        every server found its place
    :param burst: servers that are asked for at the same moment
    :param office: PCs are switched on in the morning, off in the evening
    """

    slices: int
    pcs: int
    servers: int
    load: float
    burst: int = 8
    office: bool = False
    placing: Placing = Placing.SPREAD
    seconds: float = 86400.0


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One server that a user wants."""

    number: int
    at: float
    need: wire.Capacity
    life_s: float


@dataclasses.dataclass
class Outcome:
    """What came of it."""

    claims: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    """What PCs answered to those for servers that found a place."""
    in_vain: int = 0
    """Claims for the others: every PC that might fit is asked."""
    served: int = 0
    refused: int = 0
    """Servers for which every PC had a reason."""
    deleted: int = 0
    promised_twice: int = 0
    """How often a PC was seen to promise more than it offers, or to hold an
    epoch that another PC was given."""
    epochs: int = 0
    """Run rights that were given; more than served if a build failed."""
    used: float = 0.0
    """vCPU seconds of the servers that ran, in the time that counts."""
    ideal: float = 0.0
    """The same, were all PCs of a slice one."""
    waits: list[float] = dataclasses.field(default_factory=list)
    """Seconds from the wish to the built server."""

    def share(self, answer: str) -> float:
        """Of all claims for servers that found a place."""
        return self.claims[answer] / self.claims.total()

    @property
    def conflicts(self) -> float:
        """Claims that met another's grant, or its run right."""
        return self.share('held') + self.share('full')

    @property
    def behind_ideal(self) -> float:
        """How much less was in use than if all PCs were one."""
        return 1.0 - self.used / self.ideal


def draw(plan: Plan, rng: random.Random) -> list[Wanted]:
    """What the users of one slice want, in order of time."""
    total = sum(offer.vcpus for offer in offers(plan))
    life_s = plan.load * total * plan.seconds / (plan.servers * MEAN_VCPUS)
    moments = plan.servers // plan.burst
    found = []
    for number in range(moments * plan.burst):
        if number % plan.burst == 0:
            at = rng.uniform(0.0, plan.seconds)
        (need,) = rng.choices(
            [need for _, need in FLAVORS], [often for often, _ in FLAVORS]
        )
        found.append(Wanted(number, at, need, rng.expovariate(1 / life_s)))
    return sorted(found, key=lambda one: (one.at, one.number))


def offers(plan: Plan) -> list[wire.Capacity]:
    """What the PCs of one slice give."""
    return [OFFERS[number % len(OFFERS)] for number in range(plan.pcs)]


def ideal_use(plan: Plan, wanted: Iterable[Wanted]) -> float:
    """vCPU seconds in use if all PCs of a slice were one.

    It takes every server for which so much is free, in this order.
    """
    free = sum(offer.vcpus for offer in offers(plan))
    ends: list[tuple[float, int]] = []
    used = 0.0
    for one in wanted:
        while ends and ends[0][0] <= one.at:
            free += heapq.heappop(ends)[1]
        if one.need.vcpus <= free:
            free -= one.need.vcpus
            heapq.heappush(ends, (one.at + one.life_s, one.need.vcpus))
            used += counted(plan, one, one.at, one.at + one.life_s)
    return used


def counted(plan: Plan, one: Wanted, start: float, end: float) -> float:
    """vCPU seconds of a server in the time that counts: the second half."""
    start = max(start, plan.seconds / 2)
    return one.need.vcpus * max(min(end, plan.seconds) - start, 0.0)


class Slice:
    """One slice, its gateway, its PCs and its users."""

    def __init__(
        self,
        plan: Plan,
        folder: pathlib.Path,
        rng: random.Random,
        outcome: Outcome,
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._rng = rng
        self._outcome = outcome
        self._pcs = fake_pcs.Office(
            *(
                fake_pcs.FakePc(number + 1, total)
                for number, total in enumerate(offers(plan))
            )
        )
        self._network = Network(self._pcs, rng, self._watch)
        self._network.weather = WEATHER
        self._untold: set[str] = set()
        """PCs whose new record is under way."""
        self._served: set[str] = set()

    async def run(self) -> None:
        """One day."""
        plan, rng = self._plan, self._rng
        wanted = draw(plan, rng)
        self._outcome.ideal += ideal_use(plan, wanted)
        slice_ = f'{{name: all, match: {{}}, placing: {plan.placing}}}'
        for pc in self._pcs.pcs.values():
            pc.cut = plan.office
            pc.build_s = rng.uniform(*BUILD_S)
        async with (
            trio.open_nursery() as nursery,
            gateways.running(
                self._folder,
                self._network,
                policy=f'slices: [{slice_}]',
                seed=rng.getrandbits(32),
            ) as self._service,
        ):
            await nursery.start(self._network.run)
            self._nursery = nursery
            if plan.office:
                self._switch_all(nursery)
            for one in wanted:
                nursery.start_soon(self._use, one)
            await trio.sleep_until(plan.seconds)
            nursery.cancel_scope.cancel()
        for instance, heard in self._network.claims.items():
            if instance in self._served:
                self._outcome.claims += heard
            else:
                self._outcome.in_vain += heard.total()
        self._outcome.epochs += len(self._network.rights)

    # -- PCs ----------------------------------------------------------------

    def _switch_all(self, nursery: trio.Nursery) -> None:
        by_number = dict(enumerate(self._pcs.pcs.values()))
        for pc in by_number.values():
            self._pcs.tell_liveness(self._service, pc, views.Liveness.FAILED)
        for stay in churn.draw(
            churn.Model.OFFICE, self._plan.pcs, self._plan.seconds, self._rng
        ):
            nursery.start_soon(self._stay, by_number[stay.number], stay)

    async def _stay(self, pc: fake_pcs.FakePc, stay: churn.Stay) -> None:
        """From when it is switched on until it is known to be off."""
        await trio.sleep_until(stay.start)
        pc.cut = False
        await trio.sleep(self._rng.uniform(*RECORD_S))
        self._pcs.tell_liveness(self._service, pc, views.Liveness.ALIVE)
        self._pcs.tell_records(self._service, pc)
        await trio.sleep_until(stay.end)
        pc.cut = True
        self._network.cut_power(pc)
        await trio.sleep(self._rng.uniform(*DETECTION_S))
        self._pcs.tell_liveness(self._service, pc, views.Liveness.FAILED)

    def _watch(self, pc: fake_pcs.FakePc) -> None:
        """What must hold; and its record goes on its way."""
        rights = self._network.rights
        self._outcome.promised_twice += not (
            pc.offer.total.fits(pc.reservations.promised())
            and all(
                rights[one.instance, one.epoch] == pc.id
                for one in pc.instances.values()
            )
        )
        if pc.id not in self._untold:
            self._untold.add(pc.id)
            self._nursery.start_soon(self._tell, pc)

    async def _tell(self, pc: fake_pcs.FakePc) -> None:
        await trio.sleep(self._rng.uniform(*RECORD_S))
        self._untold.discard(pc.id)
        if not pc.cut:
            self._pcs.tell_records(self._service, pc)

    # -- users --------------------------------------------------------------

    async def _use(self, one: Wanted) -> None:
        await trio.sleep_until(one.at)
        request = fake_pcs.spawn_request(one.number, one.need)
        try:
            await self._service.instances.spawn('all', request)
        except errors.NoPeerFits:
            self._outcome.refused += 1
            return
        now, end = trio.current_time(), one.at + one.life_s
        self._served.add(request.claim.instance)
        self._outcome.served += 1
        self._outcome.waits.append(now - one.at)
        self._outcome.used += counted(self._plan, one, now, end)
        await trio.sleep_until(end)
        await self._service.instances.destroy(
            'all', request.claim.instance, ''
        )
        self._outcome.deleted += 1


def play(plan: Plan, seed: int, folder: pathlib.Path) -> Outcome:
    """A day of all slices, on one virtual clock."""
    outcome = Outcome()

    async def day() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(plan.slices):
                rng = random.Random(f'{seed}/{number}')
                one = Slice(plan, folder / str(number), rng, outcome)
                nursery.start_soon(one.run)

    repeatable.order_tasks_by(seed)
    trio.run(day, clock=MockClock(autojump_threshold=0.0))
    return outcome
