# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from p2pcs_nova import wire
from p2pcs_nova.hosts import plan
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


NO_COMPUTE = plan.Wait('gold', 'Nova does not know its nova-compute yet')
READY = Aggregate(1, 'p2pcs:gold', 'rome', ('gold',))


@pytest.mark.parametrize(
    ('services', 'aggregates', 'steps'),
    [
        ([], [], [NO_COMPUTE]),
        (
            [Service('s', 'gold')],
            [],
            [plan.MakeAggregate('p2pcs:gold', 'rome', 'gold')],
        ),
        ([Service('s', 'gold')], [READY], []),
        (
            [Service('s', 'gold'), Service('t', 'somebody-else')],
            [
                Aggregate(1, 'p2pcs:gold', 'rome', ()),
                Aggregate(2, 'x', '', ()),
            ],
            [plan.AddHost(1, 'gold')],
        ),
        (
            [Service('s', 'gold')],
            [Aggregate(1, 'p2pcs:gold', '', ('gold',))],
            [plan.SetZone(1, 'rome')],
        ),
        ([Service('s', 'gold', plan.DRAINED)], [READY], [plan.Enable('s')]),
        ([Service('s', 'gold', 'by a person')], [READY], []),
    ],
)
def test_an_open_slice_has_its_aggregate_and_takes_servers(
    services: Sequence[Service],
    aggregates: Sequence[Aggregate],
    steps: Sequence[plan.Step],
) -> None:
    assert list(plan.steps(OPEN, services, aggregates)) == steps


def test_a_drained_slice_is_disabled_once_and_keeps_its_zone() -> None:
    partition = with_old(wire.SliceState.DRAINING)
    aggregates = [READY, Aggregate(2, 'p2pcs:old', 'oslo', ('old',))]
    services = [Service('s', 'gold'), Service('t', 'old')]
    found = list(plan.steps(partition, services, aggregates))
    assert found == [plan.Disable('t')]
    services[1] = Service('t', 'old', plan.DRAINED)
    assert list(plan.steps(partition, services, aggregates)) == []


def test_a_closed_slice_is_taken_away_aggregate_first() -> None:
    partition = with_old(wire.SliceState.CLOSED)
    aggregates = [READY, Aggregate(2, 'p2pcs:old', 'oslo', ('old',))]
    services = [
        Service('s', 'gold'),
        Service('t', 'old', plan.DRAINED, is_up=False),
    ]
    assert list(plan.steps(partition, services, aggregates)) == [
        plan.DropAggregate(2, ('old',)),
        plan.DropService('t'),
    ]
    assert list(plan.steps(partition, services[:1], [READY])) == []


def test_a_closed_slice_is_gone_when_nova_has_nothing_of_it() -> None:
    partition = with_old(wire.SliceState.CLOSED)
    old = Aggregate(2, 'p2pcs:old', '', ())
    assert list(plan.gone(partition, [Service('t', 'old')], [])) == []
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
    services = [Service('s', 'gold'), Service('t', 'old', reason)]
    *before, last = plan.steps(partition, services, [READY])
    assert before == ([] if reason else [plan.Disable('t')])
    assert isinstance(last, plan.Wait)
    assert last.host == 'old'
