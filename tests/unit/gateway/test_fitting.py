# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import collections
import random
import uuid

import msgspec
import pytest
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import (
    candidates,
    changes,
    entries,
    fitting,
    groups,
    store,
)
from p2pcs_nova.gateway import view as views
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.partition import Partition


def partition(text: str) -> Partition:
    return Partition(reading.read_policy(text, 'policy'))


pytestmark = pytest.mark.trio

BOTH = partition(
    'slices: [{name: gold, match: {tier: gold}},'
    ' {name: silver, match: {tier: silver}}]'
)
OTHER = partition('slices: [{name: silver, match: {}}]')
FLAVORS = (
    wire.Capacity(1, 100, 10),
    wire.Capacity(2, 300, 10),
    wire.Capacity(9, 100, 10),
)
GROUPS = tuple(
    wire.ServerGroup(str(uuid.UUID(int=number)), policy, limit)
    for number, (policy, limit) in enumerate(
        (
            (wire.GroupPolicy.ANTI_AFFINITY, 1),
            (wire.GroupPolicy.ANTI_AFFINITY, 2),
            (wire.GroupPolicy.AFFINITY, 1),
            (wire.GroupPolicy.SOFT_AFFINITY, 1),
        )
    )
)
KINDS = (
    *(wire.FitRequest(need, ('office',)) for need in FLAVORS),
    wire.FitRequest(FLAVORS[0], wishes=wire.Wishes(slice='gold')),
    wire.FitRequest(FLAVORS[0], wishes=wire.Wishes(not_owner='anna')),
    wire.FitRequest(
        FLAVORS[0],
        wishes=wire.Wishes(query="cores >= p(70) && owner == 'anna'"),
    ),
    wire.FitRequest(
        FLAVORS[0],
        wishes=wire.Wishes(query='cores >= p(30)', hint_query='cores < p(80)'),
    ),
    wire.FitRequest(FLAVORS[0], ('lab',)),
    *(wire.FitRequest(FLAVORS[0], group=group) for group in GROUPS),
)


def peer(number: int) -> str:
    return f'{number:032x}'


def record(
    rng: random.Random | None = None,
    slice_: str = 'gold',
    **attributes: wire.Attribute,
) -> wire.PeerRecord:
    """A PC of 4 CPUs; with a generator, one of many."""
    found = wire.PeerRecord(
        name='pc',
        offer=wire.Offer(wire.Capacity(4, 400, 100), networks=('office',)),
        attributes=attributes,
        used=wire.Capacity(),
        slice=slice_,
    )
    if rng is None:
        return found
    return msgspec.structs.replace(
        found,
        attributes={
            'owner': rng.choice(('anna', 'bruno')),
            'cores': rng.randrange(100),
        },
        slice=rng.choice(('gold', 'silver', 'tin', '')),
        used=wire.Capacity(rng.randrange(5), 100, 0),
        draining=rng.random() < 0.1,
    )


def see(view: views.View, number: int, liveness: views.Liveness) -> None:
    view.see(views.PeerSeen(peer(number), 'peer', '::1', 7400, liveness))


def make(*records: wire.PeerRecord) -> views.View:
    view = views.View(BOTH)
    for number, one in enumerate(records):
        see(view, number, views.Liveness.ALIVE)
        view.take_record(peer(number), one)
    return view


def row(
    number: int,
    slice_: str = 'gold',
    group: wire.ServerGroup | None = None,
) -> store.InstanceRow:
    """A server of 2 CPUs on this PC."""
    key = str(uuid.uuid4())
    spec = wire.InstanceSpec(
        instance=key,
        name='server',
        need=wire.Capacity(2, 100, 10),
        image=wire.Image('sha256:' + '0' * 64, 'raw', 1),
        root_mb=10,
        group=group,
    )
    return store.InstanceRow(
        key,
        slice_,
        peer(number),
        'pc',
        wire.Counter(1, 1),
        store.RowState.PLACED,
        wire.Signed(b'', '0' * 32, b''),
        spec,
    )


def rows_of(*rows: store.InstanceRow) -> entries.Rows:
    """A book of these."""
    found = entries.Rows()
    found.update({one.instance: one for one in rows})
    return found


def as_screened(
    view: views.View, request: wire.FitRequest, rows: entries.Rows
) -> dict[str, tuple[int, int]]:
    """PCs with room and their slots, as a claim would see the slices."""
    holdings = rows.holdings
    company = groups.find_company(request.group, rows.values(), (), ())
    claim = wire.Claim(str(uuid.uuid4()), request.need, request.networks)
    found = {}
    for name in view.partition.names:
        members = view.members(name, holdings)
        slots = [
            company.room(one.peer, one.slots)
            for one in candidates.screen(
                members, holdings, claim, lambda _: '', company
            ).candidates
            if one.slots
        ]
        found[name] = (len(slots), sum(slots))
    return found


class Office:
    """A view and rows, to which things happen at random."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.view = views.View(BOTH)
        self.rows = entries.Rows()

    def step(self) -> None:
        number = self.rng.randrange(12)
        self.rng.choice(
            (
                self.see,
                self.see,
                self.tell,
                self.tell,
                self.tell,
                self.place,
                self.bury,
                self.drop,
                self.bar,
                self.change_policy,
            )
        )(number)

    def see(self, number: int) -> None:
        see(self.view, number, self.rng.choice(list(views.Liveness)))

    def tell(self, number: int) -> None:
        self.view.take_record(peer(number), record(self.rng))

    def place(self, number: int) -> None:
        placed = row(
            number,
            self.rng.choice(('gold', 'silver')),
            self.rng.choice((None, *GROUPS)),
        )
        self.rows[placed.instance] = placed

    def bury(self, number: int) -> None:
        if self.rows:
            del self.rows[self.rng.choice(list(self.rows))]

    def drop(self, number: int) -> None:
        self.view.drop(peer(number))

    def bar(self, number: int) -> None:
        bar = views.Bar(views.Liveness.REVOKED, 'stolen')
        self.view.bar(peer(number), self.rng.choice((bar, None)))

    def change_policy(self, number: int) -> None:
        if self.rng.random() < 0.2:
            self.view.partition = self.rng.choice((BOTH, OTHER))


@pytest.mark.parametrize('seed', range(10))
async def test_what_is_kept_never_differs_from_what_is_counted_anew(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some kinds are asked so seldom that they must look at everything.
    monkeypatch.setattr(changes, 'KEPT', 20)
    office = Office(random.Random(seed))
    kept = fitting.Fitting(office.view)
    for _ in range(300):
        office.step()
        request = office.rng.choice(KINDS)
        anew = await fitting.Fitting(office.view).answer(request, office.rows)
        assert await kept.answer(request, office.rows) == anew
        if request.wishes == wire.Wishes():
            seen = as_screened(office.view, request, office.rows)
            for one in anew.slices:
                peers, slots = seen[one.slice]
                assert one.peers == peers
                # Of a group's limit it knows no more than the sum.
                assert one.slots >= slots
                assert one.slots == slots or request.group


@pytest.mark.parametrize('seed', range(5))
async def test_askers_at_once_keep_nothing_wrong_though_some_go_away(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, 'KEPT', 20)
    monkeypatch.setattr(fitting, 'AT_ONCE', 2)
    office = Office(random.Random(seed))
    kept = fitting.Fitting(office.view)

    async def ask_again_and_again() -> None:
        for _ in range(50):
            office.step()
            request = office.rng.choice(KINDS)
            with trio.move_on_after(office.rng.choice((0.0, 60.0))):
                await kept.answer(request, office.rows)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask_again_and_again)
    for request in KINDS:
        anew = await fitting.Fitting(office.view).answer(request, office.rows)
        assert await kept.answer(request, office.rows) == anew


async def test_slices_tell_who_could_take_one_and_why_others_cannot() -> None:
    view = make(
        record(),
        record(),
        msgspec.structs.replace(record(), draining=True),
        record(slice_='silver'),
    )
    see(view, 1, views.Liveness.FAILED)
    held = row(3, 'silver')
    answer = await fitting.Fitting(view).answer(
        wire.FitRequest(wire.Capacity(3, 100, 10), ('office',)),
        rows_of(held),
    )
    assert answer == wire.Fits(
        (
            wire.SliceFit('gold', 1, 1, {'unreachable': 1, 'draining': 1}, 3),
            wire.SliceFit('silver', 0, 0, {'full': 1}, 1),
        )
    )


@pytest.mark.parametrize(
    ('wishes', 'slots', 'matching'),
    [
        (wire.Wishes(), [8, 4], [2, 1]),
        (wire.Wishes(slice='silver'), [0, 4], [0, 1]),
        (wire.Wishes(not_owner='anna'), [4, 4], [1, 1]),
        (wire.Wishes(slice='gold', not_owner='anna'), [4, 0], [1, 0]),
    ],
)
async def test_wishes_are_limits(
    wishes: wire.Wishes, slots: list[int], matching: list[int]
) -> None:
    view = make(record(owner='anna'), record(), record(slice_='silver'))
    answer = await fitting.Fitting(view).answer(
        wire.FitRequest(FLAVORS[0], wishes=wishes), entries.Rows()
    )
    assert [one.slots for one in answer.slices] == slots
    assert [one.matching for one in answer.slices] == matching


async def test_group_has_room_where_it_may_have_another() -> None:
    apart, two_each, together, _ = GROUPS
    view = make(record(), record(), record(), record(slice_='silver'))
    held = [row(0, group=apart), row(1, group=two_each)]
    held += [row(0, group=together), row(3, 'silver', group=apart)]
    rows = rows_of(*held)
    fits = fitting.Fitting(view)

    async def asked(
        group: wire.ServerGroup, *instances: str
    ) -> tuple[wire.SliceFit, ...]:
        request = wire.FitRequest(FLAVORS[0], group=group, instances=instances)
        return (await fits.answer(request, rows)).slices

    gold, silver = await asked(apart)
    told = {'kept apart by its group': 1}
    assert gold == wire.SliceFit('gold', 2, 2, told, 2)
    assert silver == wire.SliceFit('silver', 0, 0, told, 0)
    _, silver = await asked(apart, held[-1].instance)
    assert silver.matching == 1
    gold, silver = await asked(two_each)
    assert (gold.slots, silver.slots) == (4, 2)
    gold, silver = await asked(together)
    # Two servers of two CPUs are on the only PC that it may be on.
    assert gold.refused == {'away from its group': 2, 'full': 1}
    assert (gold.matching, silver.matching) == (1, 0)
    choice = groups.Choice(row(1, group=apart).spec, peer(1))
    request = wire.FitRequest(FLAVORS[0], group=apart)
    gold, _ = (await fits.answer(request, rows, [choice])).slices
    assert gold.matching == 1


async def test_what_was_asked_for_an_instance_is_explained_pc_by_pc() -> None:
    view = make(record(owner='anna'), record(), record(slice_='silver'))
    view.take_record(peer(5), record(slice_=''))
    see(view, 5, views.Liveness.ALIVE)
    gateway = views.PeerSeen(
        peer(6), 'gateway', '::1', 7400, views.Liveness.ALIVE
    )
    view.see(gateway)
    fits = fitting.Fitting(view)
    asked = [str(uuid.uuid4()) for _ in range(fitting.ASKED)]
    first = str(uuid.uuid4())
    wishes = wire.Wishes(not_owner='anna')
    await fits.answer(
        wire.FitRequest(FLAVORS[0], wishes=wishes, instances=(first,)),
        entries.Rows(),
    )

    async def explained(instance: str) -> tuple[wire.PeerFit, ...]:
        request = fits.asked(instance)
        assert request is not None
        return await fits.explain(request, entries.Rows())

    assert await explained(first) == (
        wire.PeerFit('gold', 'pc', 0, 'of that owner'),
        wire.PeerFit('gold', 'pc', 4),
        wire.PeerFit('silver', 'pc', 4),
        wire.PeerFit('', 'pc', 0, 'in no slice'),
    )
    view.partition = OTHER
    assert (await explained(first))[0] == wire.PeerFit('silver', 'pc', 4)
    for one in asked:
        await fits.answer(
            wire.FitRequest(FLAVORS[0], instances=(one,)), entries.Rows()
        )
    assert fits.asked(first) is None
    assert await explained(asked[0])


async def test_pc_of_which_nothing_is_known_matches_no_wish() -> None:
    view = make()
    see(view, 1, views.Liveness.ALIVE)
    held = row(1)
    wishes = wire.Wishes(not_owner='anna')
    answer = await fitting.Fitting(view).answer(
        wire.FitRequest(FLAVORS[0], wishes=wishes), rows_of(held)
    )
    gold, _ = answer.slices
    assert gold == wire.SliceFit('gold', 0, 0, {'not yet known': 1})


def scored(*scores: int) -> views.View:
    return make(*(record(score=score) for score in scores))


async def test_query_takes_the_best_of_all_slices_as_they_are_now() -> None:
    view = scored(1, 2, 3)
    silver = record(slice_='silver', score=9)
    view.take_record(peer(7), silver)
    request = wire.FitRequest(
        FLAVORS[0], wishes=wire.Wishes(query='score >= p(75)')
    )
    kept = fitting.Fitting(view)
    gold, other = (await kept.answer(request, entries.Rows())).slices
    assert (gold.matching, other.matching) == (0, 1)
    assert gold.refused == {'not matching the query': 3}
    view.take_record(peer(7), msgspec.structs.replace(silver, attributes={}))
    gold, _ = (await kept.answer(request, entries.Rows())).slices
    assert gold.matching == 1


async def test_query_that_is_none_is_refused_with_its_place() -> None:
    wishes = wire.Wishes(query='cores > 3 && scroe > 1')
    with pytest.raises(errors.Malformed) as caught:
        await fitting.Fitting(scored(1)).answer(
            wire.FitRequest(FLAVORS[0], wishes=wishes), entries.Rows()
        )
    assert caught.value.message.startswith(
        "p2pcs:query: line 1, column 14: there is no attribute 'scroe'; near:"
    )


async def test_only_so_many_kinds_of_requests_are_kept() -> None:
    kept = fitting.Fitting(make(record()))
    counted = collections.Counter[int]()
    for vcpus in range(1, fitting.KINDS * 3):
        need = wire.Capacity(vcpus)
        (gold, _) = (
            await kept.answer(wire.FitRequest(need), entries.Rows())
        ).slices
        counted[gold.slots] += 1
    assert counted == {4: 1, 2: 1, 1: 2, 0: fitting.KINDS * 3 - 5}
    assert len(kept._kinds) == fitting.KINDS
