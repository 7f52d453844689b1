# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pathlib
import types
from typing import Any
from unittest import mock

import pytest
from keystoneauth1 import exceptions as auth_exceptions
from novaclient import exceptions as nova_exceptions
from novaclient.v2 import aggregates, hypervisors, services
from oslo_config import cfg

from p2pcs_nova import errors, wire
from p2pcs_nova.hosts import nova as hosts
from p2pcs_nova.hosts import plan
from p2pcs_nova.hosts.node import node_id
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.partition import Partition

SLICES = Partition(
    reading.read_policy(
        'slices: [{name: gold, match: {a: b}, zone: rome},'
        ' {name: tin, match: {}}]',
        'policy',
    )
)


def service(name: str, **changes: Any) -> types.SimpleNamespace:
    """As Nova tells of a nova-compute."""
    said = {'status': 'enabled', 'state': 'up', 'disabled_reason': None}
    return types.SimpleNamespace(id=f'id-{name}', host=name, **said | changes)


def node(host: str, id_: str = '') -> types.SimpleNamespace:
    """As Nova tells of a compute node."""
    return types.SimpleNamespace(
        id=id_ or node_id(host), service={'host': host}
    )


def tell_nodes(nova: Any, *pages: list[types.SimpleNamespace]) -> None:
    """Nova tells of these, page by page."""
    markers = [None, *(page[-1].id for page in pages)]
    told = dict(zip(markers, (*pages, []), strict=True))
    nova.hypervisors.list.side_effect = lambda marker: told[marker]


@pytest.fixture
def nova() -> Any:
    """Nova knows both hosts, and no aggregate."""
    found = types.SimpleNamespace(
        services=mock.create_autospec(services.ServiceManager, instance=True),
        aggregates=mock.create_autospec(
            aggregates.AggregateManager, instance=True
        ),
        hypervisors=mock.Mock(spec=hypervisors.HypervisorManager),
    )
    found.services.list.return_value = [service('gold'), service('tin')]
    found.aggregates.list.return_value = []
    tell_nodes(found, [node('gold')], [node('tin')])
    found.aggregates.create.return_value = types.SimpleNamespace(id=7)
    return found


class Placement:
    """Has servers on these hosts; of others it has no provider."""

    def __init__(self, *busy: str) -> None:
        self.paths = [f'/resource_providers/{node_id(one)}/' for one in busy]

    def get(self, path: str) -> Any:
        if path.removesuffix('allocations') not in self.paths:
            raise auth_exceptions.NotFound()
        return types.SimpleNamespace(json=lambda: {'allocations': {'a': {}}})


def follow(nova: Any, slices: Partition, *busy: str) -> hosts.Outcome:
    return hosts.follow(hosts.Apis(nova, Placement(*busy)), slices)


def test_each_slice_gets_its_aggregate_in_its_zone(nova: Any) -> None:
    outcome = follow(nova, SLICES)
    assert outcome.waiting == ()
    assert outcome.done == (
        plan.MakeAggregate('p2pcs:gold', 'rome', 'gold'),
        plan.MakeAggregate('p2pcs:tin', '', 'tin'),
    )
    assert nova.aggregates.create.call_args_list == [
        mock.call('p2pcs:gold', 'rome'),
        mock.call('p2pcs:tin', None),
    ]
    nova.aggregates.add_host.assert_called_with(7, 'tin')


@pytest.mark.parametrize(
    'refusal',
    [
        nova_exceptions.NotFound(404, 'Compute host gold could not be found'),
        nova_exceptions.Conflict(409, 'Aggregate p2pcs:gold already exists'),
        nova_exceptions.BadRequest(400, 'Host has servers'),
    ],
)
def test_what_nova_is_not_ready_for_keeps_nothing_else_waiting(
    nova: Any, refusal: Exception
) -> None:
    nova.aggregates.create.side_effect = [
        refusal,
        types.SimpleNamespace(id=8),
    ]
    outcome = follow(nova, SLICES)
    assert outcome.done == (plan.MakeAggregate('p2pcs:tin', '', 'tin'),)
    (why,) = outcome.waiting
    assert "'p2pcs:gold'" in why
    assert str(refusal) in why


def test_a_host_that_nova_does_not_know_yet_is_waited_for(nova: Any) -> None:
    nova.services.list.return_value = [service('tin')]
    outcome = follow(nova, SLICES)
    assert outcome.waiting == (
        'gold: Nova does not know its nova-compute yet',
    )


def test_nothing_is_done_to_a_host_with_the_node_of_another(nova: Any) -> None:
    tell_nodes(nova, [node('gold', 'another'), node('tin')])
    outcome = follow(nova, SLICES)
    assert outcome.waiting == (f'gold: {plan.ANOTHERS}',)
    assert outcome.done == (plan.MakeAggregate('p2pcs:tin', '', 'tin'),)


def test_a_host_whose_zone_nova_keeps_takes_no_servers(nova: Any) -> None:
    nova.services.list.return_value = [
        service('gold', status='disabled', disabled_reason=plan.DRAINED),
        service('tin'),
    ]
    nova.aggregates.list.return_value = [
        types.SimpleNamespace(
            id=7, name='p2pcs:gold', availability_zone='oslo', hosts=['gold']
        )
    ]
    nova.aggregates.set_metadata.side_effect = nova_exceptions.Conflict(
        409, 'Host gold has servers'
    )
    outcome = follow(nova, SLICES)
    assert outcome.done == (plan.MakeAggregate('p2pcs:tin', '', 'tin'),)
    nova.services.enable.assert_not_called()
    nova.aggregates.set_metadata.side_effect = None
    assert plan.Enable('id-gold') in follow(nova, SLICES).done


def test_silent_nova_is_unreachable(nova: Any) -> None:
    nova.services.list.side_effect = auth_exceptions.ConnectFailure('gone')
    with pytest.raises(errors.Unreachable, match='nova: gone'):
        follow(nova, SLICES)


@pytest.mark.parametrize(
    ('text', 'why'),
    [
        ('[DEFAULT]\n', 'says no user'),
        ('[service_user]\nauth_type = password\n', 'auth_url'),
    ],
)
def test_without_a_user_there_is_nobody_to_ask_as(
    tmp_path: pathlib.Path, text: str, why: str
) -> None:
    path = tmp_path / 'nova.conf'
    path.write_text(text)
    with pytest.raises(cfg.Error, match=why):
        hosts.connect(path)


def test_what_placement_has_of_slices_that_are_not_open_is_told(
    nova: Any,
) -> None:
    rows = (
        wire.SliceRow('rest', of='rest', share=1_000_000),
        wire.SliceRow('gold', wire.SliceState.CLOSED),
        wire.SliceRow('tin', wire.SliceState.DRAINING),
        wire.SliceRow('new', wire.SliceState.DRAINING),
    )
    policy = reading.read_policy('slices: [{name: rest, match: {}}]', 'p')
    partition = Partition(policy, wire.SliceMap(0, 1, rows))
    found = follow(nova, partition, 'gold', 'rest')
    assert (found.gone, found.idle, found.busy) == ((), ('new',), ('gold',))
    assert found.done == (plan.Disable('id-gold'), plan.Disable('id-tin'))
    shut = service('tin', status='disabled', disabled_reason=plan.DRAINED)
    nova.services.list.return_value = [shut]
    assert follow(nova, partition).idle == ('tin', 'new')
    assert follow(nova, partition, 'tin').idle == ('new',)
