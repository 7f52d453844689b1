# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import msgspec
import pytest

from p2pcs_nova import hearsay, wire
from p2pcs_nova.gateway import view as views
from p2pcs_nova.gateway.holdings import Holding, Holdings
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.partition import Partition, next_map

SLICES = Partition(
    reading.read_policy(
        'slices: [{name: gold, match: {tier: gold}, zone: it,'
        ' traits: [CUSTOM_P2PCS_GOLD]},'
        ' {name: silver, match: {tier: silver}}]',
        'policy',
    )
)
TERM = wire.Counter(1, 1)
BIG = wire.Capacity(8, 800, 80)
WIDE = wire.Capacity(2, 900, 90)
ONE = wire.Capacity(1, 100, 10)
NOTHING = wire.Capacity()


def record(
    total: wire.Capacity = BIG,
    slice_: str = 'gold',
    *,
    used: wire.Capacity = NOTHING,
    draining: bool = False,
    networks: tuple[str, ...] = ('office',),
    model: str = 'qemu64',
) -> wire.PeerRecord:
    offer = wire.Offer(
        total, networks=networks, cpu_model=model, hypervisor_version=7002000
    )
    return wire.PeerRecord(
        name='pc',
        offer=offer,
        attributes={},
        used=used,
        slice=slice_,
        draining=draining,
    )


def peer(number: int) -> str:
    return f'{number:032x}'


def holding(number: int, need: wire.Capacity) -> Holdings:
    """One PC has an instance of this need in slice gold."""
    found = Holdings()
    found[peer(number)] = Holding('gold', need, 1)
    return found


FREE = Holdings()
"""No PC has any."""


def make(
    *records: wire.PeerRecord,
    liveness: views.Liveness = views.Liveness.ALIVE,
) -> views.View:
    view = views.View(SLICES)
    for number, one in enumerate(records, 1):
        see(view, number, liveness)
        view.take_record(peer(number), one)
    return view


def see(
    view: views.View,
    number: int,
    liveness: views.Liveness,
    role: str = 'peer',
) -> None:
    view.see(views.PeerSeen(peer(number), role, '::1', 7400, liveness))


@pytest.mark.parametrize(
    ('what', 'holdings', 'expected'),
    [
        (record(), FREE, 'gold'),
        (record(slice_='silver'), FREE, 'silver'),
        (record(slice_=''), FREE, ''),
        (record(slice_='closed'), FREE, ''),
        (record(slice_='silver'), holding(1, ONE), 'gold'),
    ],
    ids=['first', 'second', 'none', 'foreign', 'held'],
)
def test_slice_of_a_pc_is_its_word_but_for_what_it_holds(
    what: wire.PeerRecord, holdings: Holdings, expected: str
) -> None:
    assert make(what).slice_of(peer(1), holdings) == expected


def test_gateway_is_in_no_slice() -> None:
    view = make(record())
    see(view, 1, views.Liveness.ALIVE, 'gateway')
    assert view.slice_of(peer(1), FREE) == ''


def test_summary_adds_what_live_pcs_offer() -> None:
    view = make(record(), record(WIDE, used=ONE), record(BIG, 'silver'))
    summary = view.summarize('gold', TERM, FREE)
    assert summary == wire.SliceSummary(
        name='gold',
        term=TERM,
        peers=2,
        unreachable=0,
        total=BIG + WIDE,
        largest=wire.Capacity(8, 900, 90),
        used=ONE,
        largest_free=wire.Capacity(8, 800, 80),
        accelerators=(wire.Accelerator.TCG,),
        networks=('office',),
        cpu_model='qemu64',
        hypervisor_version=7002000,
        zone='it',
        traits=(
            'CUSTOM_P2PCS_GOLD',
            'HW_CPU_X86_SSE42',
            'HW_CPU_X86_SSSE3',
        ),
    )


@pytest.mark.parametrize('how', ['failed', 'unknown', 'draining'])
def test_pc_that_takes_nothing_new_counts_what_it_holds(how: str) -> None:
    view = make(record(), record(WIDE, used=ONE, draining=how == 'draining'))
    if how == 'failed':
        see(view, 2, views.Liveness.FAILED)
    elif how == 'unknown':
        view.drop(peer(2))
    held = holding(2, ONE)
    summary = view.summarize('gold', TERM, held)
    assert summary.total == BIG + ONE
    assert summary.largest == BIG
    assert summary.used == ONE
    assert summary.peers == 2
    assert summary.unreachable == (how != 'draining')


def test_a_slice_that_is_drained_offers_what_it_holds_and_no_more() -> None:
    view = make(record(), record(WIDE, used=ONE))
    newer = reading.read_policy(
        'version: 2\nslices: [{name: tin, match: {}}]', 'policy'
    )
    drained = next_map(newer, SLICES.map, {}, {'gold'})
    view.partition = Partition(newer, drained)
    held = holding(2, ONE)
    summary = view.summarize('gold', TERM, held)
    assert summary.state is wire.SliceState.DRAINING
    assert (summary.total, summary.largest) == (ONE, NOTHING)
    assert summary.peers == 2
    assert view.summarize('tin', TERM, held).state is wire.SliceState.OPEN


def test_suspect_pc_still_counts_as_live() -> None:
    view = make(record(), liveness=views.Liveness.SUSPECT)
    summary = view.summarize('gold', TERM, FREE)
    assert (summary.total, summary.unreachable) == (BIG, 0)


def test_empty_slice_has_nothing() -> None:
    summary = make().summarize('gold', TERM, FREE)
    assert (summary.total, summary.peers) == (NOTHING, 0)
    assert summary.hypervisor_version == 0


def test_own_run_rights_count_before_the_record_knows_them() -> None:
    view = make(record(used=ONE))
    held = holding(1, ONE + ONE)
    assert view.summarize('gold', TERM, held).used == ONE + ONE


def test_different_processors_have_no_common_model() -> None:
    view = make(record(), record(model='other'))
    assert view.summarize('gold', TERM, FREE).cpu_model == ''


def test_rows_say_why_a_pc_gives_nothing() -> None:
    view = make(record(), record(slice_=''), record(slice_='closed'))
    see(view, 4, views.Liveness.ALIVE)
    see(view, 5, views.Liveness.ALIVE, 'gateway')
    view.take_record(peer(1), record(draining=True))
    rows = {row.peer: row for row in view.rows(FREE)}
    assert rows[peer(1)].state == 'draining'
    assert rows[peer(1)].address == '[::1]:7400'
    assert 'in no slice of the policy' in rows[peer(2)].reason
    assert 'in slice closed, which the policy does not' in rows[peer(3)].reason
    assert 'not yet said' in rows[peer(4)].reason
    assert (rows[peer(5)].role, rows[peer(5)].reason) == ('gateway', '')


def test_pc_with_instances_is_listed_though_it_left() -> None:
    held = holding(9, ONE)
    (row,) = make().rows(held)
    assert (row.state, row.slice, row.instances) == ('unknown', 'gold', 1)
    assert row.used == ONE


def test_largest_words_of_many_pcs_are_a_summary_still() -> None:
    lies = [record(total=hearsay.MOST, used=hearsay.MOST)] * 4096
    summary = make(*lies).summarize('gold', TERM, FREE)
    again = msgspec.json.decode(
        msgspec.json.encode(summary), type=wire.SliceSummary
    )
    assert again == summary


@pytest.mark.parametrize(
    'liveness', [views.Liveness.REVOKED, views.Liveness.CONTESTED]
)
def test_a_barred_pc_gives_nothing_whatever_the_detector_says(
    liveness: views.Liveness,
) -> None:
    view = make(record(), record())
    holdings = holding(1, ONE)
    view.bar(peer(1), views.Bar(liveness, 'stolen'))
    see(view, 1, views.Liveness.ALIVE)
    view.take_record(peer(1), record())

    summary = view.summarize('gold', TERM, holdings)
    assert (summary.peers, summary.unreachable) == (2, 1)
    assert summary.total == BIG + ONE
    first = next(row for row in view.rows(holdings) if row.peer == peer(1))
    assert (first.state, first.reason) == (liveness, 'stolen')
    assert first.instances == 1

    view.bar(peer(1), None)
    assert view.peer(peer(1)).offer is not None


def test_a_revoked_pc_is_listed_by_its_name_when_its_records_are_gone() -> (
    None
):
    view = make(record())
    view.bar(peer(1), views.Bar(views.Liveness.REVOKED, 'stolen'))
    view.drop(peer(1))
    (row,) = view.rows(FREE)
    assert (row.name, row.role, row.state) == ('pc', '', 'revoked')
