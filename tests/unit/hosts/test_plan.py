# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import pytest

from p2pcs_nova import wire
from p2pcs_nova.hosts import plan
from p2pcs_nova.hosts.node import node_id
from p2pcs_nova.hosts.plan import Aggregate, Service
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.partition import Partition

POLICY = reading.read_policy(
    'version: 2\nslices: [{name: gold, match: {}, zone: rome}]', 'policy'
)
GOLD = wire.SliceRow('gold', of='gold', share=1_000_000)
OPEN = Partition(POLICY, wire.SliceMap(2, 1, (GOLD,)))


def with_old(state: wire.SliceState) -> Partition:
    rows = (GOLD, wire.SliceRow('old', state))
    return Partition(POLICY, wire.SliceMap(2, 1, rows))


def ours(
    service: str,
    host: str,
    disabled_reason: str | None = None,
    *,
    is_up: bool = True,
) -> Service:
    """A nova-compute with our driver."""
    nodes = frozenset([node_id(host)])
    return Service(service, host, nodes, disabled_reason, is_up)


def anothers(service: str, host: str, *, is_up: bool = True) -> Service:
    """One with libvirt's, say."""
    return Service(service, host, frozenset(['n']), is_up=is_up)


def unknown(service: str, host: str, *, is_up: bool = True) -> Service:
    """One that has told of no node yet."""
    return Service(service, host, frozenset(), is_up=is_up)


def steps(
    partition: Partition,
    services: Sequence[Service],
    aggregates: Sequence[Aggregate] = (),
    occupied: Sequence[str] = (),
) -> list[plan.Step]:
    """Those of all slices."""
    found = plan.steps(partition, services, aggregates, occupied)
    return list(itertools.chain.from_iterable(found))


NO_COMPUTE = plan.Wait('gold', 'Nova does not know its nova-compute yet')
READY = Aggregate(1, 'p2pcs:gold', 'rome', ('gold',))


@pytest.mark.parametrize(
    ('services', 'aggregates', 'expected'),
    [
        ([], [], [NO_COMPUTE]),
        (
            [ours('s', 'gold')],
            [],
            [plan.MakeAggregate('p2pcs:gold', 'rome', 'gold')],
        ),
        ([ours('s', 'gold')], [READY], []),
        (
            [ours('s', 'gold'), anothers('t', 'somebody-else')],
            [
                Aggregate(1, 'p2pcs:gold', 'rome', ()),
                Aggregate(2, 'x', '', ()),
            ],
            [plan.AddHost(1, 'gold')],
        ),
        (
            [ours('s', 'gold')],
            [Aggregate(1, 'p2pcs:gold', '', ('gold',))],
            [plan.SetZone(1, 'rome')],
        ),
        ([ours('s', 'gold', plan.DRAINED)], [READY], [plan.Enable('s')]),
        ([ours('s', 'gold', 'by a person')], [READY], []),
    ],
)
def test_an_open_slice_has_its_aggregate_and_takes_servers(
    services: Sequence[Service],
    aggregates: Sequence[Aggregate],
    expected: Sequence[plan.Step],
) -> None:
    assert steps(OPEN, services, aggregates) == expected


def test_a_zone_is_taken_away_with_its_aggregate() -> None:
    policy = reading.read_policy('slices: [{name: gold, match: {}}]', 'policy')
    assert steps(Partition(policy), [ours('s', 'gold')], [READY]) == [
        plan.DropAggregate(1, ('gold',)),
        plan.MakeAggregate('p2pcs:gold', '', 'gold'),
    ]


def test_a_drained_slice_is_disabled_once_and_keeps_its_zone() -> None:
    partition = with_old(wire.SliceState.DRAINING)
    aggregates = [READY, Aggregate(2, 'p2pcs:old', 'oslo', ('old',))]
    services = [ours('s', 'gold'), ours('t', 'old')]
    assert steps(partition, services, aggregates) == [plan.Disable('t')]
    services[1] = ours('t', 'old', plan.DRAINED)
    assert steps(partition, services, aggregates) == []


def test_a_closed_slice_is_taken_away_aggregate_first() -> None:
    partition = with_old(wire.SliceState.CLOSED)
    aggregates = [READY, Aggregate(2, 'p2pcs:old', 'oslo', ('old',))]
    services = [
        ours('s', 'gold'),
        ours('t', 'old', plan.DRAINED, is_up=False),
    ]
    assert steps(partition, services, aggregates) == [
        plan.DropAggregate(2, ('old',)),
        plan.DropService('t'),
    ]
    assert steps(partition, services[:1], [READY]) == []


def test_a_closed_slice_is_gone_when_nova_has_nothing_of_it() -> None:
    partition = with_old(wire.SliceState.CLOSED)
    old = Aggregate(2, 'p2pcs:old', '', ())
    assert list(plan.gone(partition, [ours('t', 'old')], [])) == []
    assert list(plan.gone(partition, [], [old])) == []
    assert list(plan.gone(partition, [], [READY])) == ['old']
    # The operator has named one of his own like the slice.
    own = dataclasses.replace(old, name='old')
    assert list(plan.gone(partition, [], [own])) == ['old']
    drained = with_old(wire.SliceState.DRAINING)
    assert list(plan.gone(drained, [], [])) == []


@pytest.mark.parametrize('reason', [None, plan.DRAINED, 'by a person'])
def test_a_closed_slice_is_kept_disabled_while_its_nova_compute_may_run(
    reason: str | None,
) -> None:
    partition = with_old(wire.SliceState.CLOSED)
    services = [ours('s', 'gold'), ours('t', 'old', reason)]
    *before, last = steps(partition, services, [READY])
    assert before == ([] if reason else [plan.Disable('t')])
    assert isinstance(last, plan.Wait)
    assert last.host == 'old'


@pytest.mark.parametrize('is_up', [True, False])
@pytest.mark.parametrize('state', list(wire.SliceState))
def test_a_host_of_another_is_left_alone_whatever_the_slice_of_its_name_is(
    state: wire.SliceState, is_up: bool
) -> None:
    partition = with_old(state)
    services = [ours('s', 'gold'), anothers('t', 'old', is_up=is_up)]
    is_closed = state is wire.SliceState.CLOSED
    waits = [] if is_closed else [plan.Wait('old', plan.ANOTHERS)]
    assert steps(partition, services, [READY]) == waits
    assert list(plan.gone(partition, services, [])) == ['old'] * is_closed


@pytest.mark.parametrize('is_up', [True, False])
@pytest.mark.parametrize('state', list(wire.SliceState))
def test_a_host_that_may_be_anothers_is_waited_for(
    state: wire.SliceState, is_up: bool
) -> None:
    services = [ours('s', 'gold'), unknown('t', 'old', is_up=is_up)]
    waits = [plan.Wait('old', plan.NO_NODE)]
    assert steps(with_old(state), services, [READY]) == waits
    assert list(plan.gone(with_old(state), services, [])) == []


def test_a_host_with_a_node_of_ours_and_another_is_anothers() -> None:
    both = Service('s', 'gold', frozenset([node_id('gold'), 'n']))
    assert steps(OPEN, [both]) == [plan.Wait('gold', plan.ANOTHERS)]


def test_a_closed_slice_that_has_servers_is_disabled_and_keeps_its_zone() -> (
    None
):
    old = Aggregate(2, 'p2pcs:old', 'oslo', ('old',))
    services = [ours('s', 'gold'), ours('t', 'old', is_up=False)]
    closed = with_old(wire.SliceState.CLOSED)
    disable, wait = steps(closed, services, [READY, old], ['old'])
    assert disable == plan.Disable('t')
    assert isinstance(wait, plan.Wait)
    assert steps(closed, services, [READY, old]) == [
        plan.Disable('t'),
        plan.DropAggregate(2, ('old',)),
        plan.DropService('t'),
    ]


@pytest.mark.parametrize(
    ('there', 'is_idle'),
    [
        ([], True),
        ([ours('t', 'old')], False),
        ([ours('t', 'old', 'by a person')], True),
        ([unknown('t', 'old')], False),
        ([anothers('t', 'old')], True),
    ],
)
def test_a_drained_slice_is_idle_once_its_host_is_disabled(
    there: list[Service], is_idle: bool
) -> None:
    drained = with_old(wire.SliceState.DRAINING)
    assert list(plan.idle(drained, there, [])) == ['old'] * is_idle
    assert list(plan.idle(drained, there, ['old'])) == []
    assert list(plan.idle(with_old(wire.SliceState.CLOSED), there, [])) == []


def test_of_a_closed_slice_another_keeps_his_host_and_not_our_aggregate() -> (
    None
):
    old = Aggregate(2, 'p2pcs:old', 'oslo', ('old',))
    services = [ours('s', 'gold'), anothers('t', 'old', is_up=False)]
    found = steps(with_old(wire.SliceState.CLOSED), services, [READY, old])
    assert found == [plan.DropAggregate(2, ('old',))]
