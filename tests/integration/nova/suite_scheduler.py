# SPDX-License-Identifier: Apache-2.0
"""p2pcs-scheduler in Nova, Placement and all; hosts are Nova's fakes.

To the scheduler a host is a slice if the overlay says so: six are, one
is an ordinary compute host.  The overlay is played, so that it can be
late, wrong and away.
"""

from __future__ import annotations

import logging
import pathlib
import sys
from typing import Any
from unittest import mock

from nova import service
from nova.scheduler import host_manager
from nova.scheduler.client import report
from nova.tests.functional import integrated_helpers

from p2pcs_nova import attributes, errors, wire
from p2pcs_nova.scheduler import choosing, command
from p2pcs_nova.scheduler import manager as ours
from tests.integration.nova import helpers

Base: Any = integrated_helpers.ProviderUsageBaseTestCase
API_PASTE = pathlib.Path(sys.prefix, 'etc/nova/api-paste.ini')
SLICES = tuple(f'slice-{number}' for number in range(6))
ORDINARY = 'ordinary'
ROOM = 10
"""Servers of one CPU, which each host takes."""


class Played:
    """What the overlay says: room by slice, whatever Nova thinks."""

    def __init__(self) -> None:
        self.room = dict.fromkeys(SLICES, ROOM)
        self.matching = dict.fromkeys(SLICES, 2)
        self.error: errors.P2PcsError | None = None
        self.asked: list[tuple[wire.FitRequest, str]] = []

    def wishable(self) -> wire.Wishable:
        """For Nova's API, which checks extra specs."""
        return wire.Wishable(attributes.KNOWN, tuple(self.room))

    def fits(
        self, request: wire.FitRequest, *, request_id: str = ''
    ) -> wire.Fits:
        self.asked.append((request, request_id))
        if self.error is not None:
            raise self.error
        wished = request.wishes.slice
        if wished and wished not in self.room:
            raise errors.NotFound(f'there is no slice {wished}')
        return wire.Fits(
            tuple(
                wire.SliceFit(name, 0, 0, {'of another slice': 2})
                if wished not in ('', name)
                else wire.SliceFit(
                    name,
                    min(room, 2),
                    room,
                    {} if room else {'full': 2},
                    self.matching[name],
                )
                for name, room in self.room.items()
            )
        )


class SchedulerTestCase(helpers.RunByPytest, Base):  # type: ignore[misc]
    """Six slices and an ordinary host."""

    compute_driver = 'fake.MediumFakeDriver'

    def setUp(self) -> None:
        self.overlay = Played()
        self.stub_out(
            'p2pcs_nova.client.local.LocalClient',
            lambda socket, timeout_s: self.overlay,
        )
        self.flags(api_paste_config=str(API_PASTE), group='wsgi')
        self.flags(instances=-1, cores=-1, group='quota')
        self.enterContext(
            mock.patch.dict(
                service.SERVICE_MANAGERS, {'nova-scheduler': command.MANAGER}
            )
        )
        super().setUp()
        self.manager = self.scheduler_service.manager
        assert isinstance(self.manager, ours.P2PSchedulerManager)
        self.computes = {
            name: self.start_service('compute', host=name)
            for name in (*SLICES, ORDINARY)
        }
        self.logged: list[str] = []
        handler = logging.Handler()
        handler.emit = (  # type: ignore[method-assign]
            lambda record: self.logged.append(record.getMessage())
        )
        logger = logging.getLogger('p2pcs_nova.scheduler')
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        self.flavor = self._create_flavor(vcpu=1, memory_mb=64, disk=1)

    def post(
        self,
        hints: dict[str, Any] | None = None,
        count: int = 1,
        **server: Any,
    ) -> dict[str, Any]:
        """Ask for a server, or for several at once."""
        built = self._build_server(
            flavor_id=self.flavor, networks='none', **server
        )
        body: dict[str, Any] = {'server': built | {'min_count': count}}
        if hints:
            body['os:scheduler_hints'] = hints
        created: dict[str, Any] = self.api.post_server(body)
        return created

    def create(
        self, hints: dict[str, Any] | None = None, **server: Any
    ) -> str:
        """The host of a new server."""
        found = self._wait_for_state_change(
            self.post(hints, **server), 'ACTIVE'
        )
        return str(found['OS-EXT-SRV-ATTR:host'])

    def refusal(self, hints: dict[str, Any] | None = None) -> str:
        """Why a server is in ERROR."""
        found = self._wait_for_state_change(self.post(hints), 'ERROR')
        message = str(found['fault']['message'])
        assert message.startswith('No valid host was found.'), message
        assert len(message.encode()) < 255
        assert found['OS-EXT-SRV-ATTR:host'] is None
        return message.removeprefix('No valid host was found.').strip()

    def flavor_with(self, **wishes: str) -> str:
        extra_specs = {f'p2pcs:{key}': value for key, value in wishes.items()}
        made = self._create_flavor(
            vcpu=1, memory_mb=64, disk=1, extra_spec=extra_specs
        )
        return str(made)

    # -- where it goes -------------------------------------------------------

    def test_server_goes_where_the_overlay_sees_most_room(self) -> None:
        self.overlay.room |= dict.fromkeys(SLICES, 0)
        self.overlay.room['slice-3'] = 1
        # Nova weighs the ordinary host too.
        assert self.create() in ('slice-3', ORDINARY)
        (asked, request_id) = self.overlay.asked[0]
        (server,) = self.api.get_servers()
        assert asked == wire.FitRequest(
            wire.Capacity(1, 64, 1024), instances=(server['id'],)
        )
        assert request_id.startswith('req-')

    def test_overlay_is_told_of_networks_and_group(self) -> None:
        known = self.neutron._networks[self.neutron.network_1['id']]
        known['provider:physical_network'] = 'office'
        group = self.api.post_server_groups(
            {
                'name': 'apart',
                'policy': 'anti-affinity',
                'rules': {'max_server_per_host': 2},
            }
        )
        server = self._build_server(
            flavor_id=self.flavor,
            networks=[{'uuid': self.neutron.network_1['id']}],
        )
        created = self.api.post_server(
            {'server': server, 'os:scheduler_hints': {'group': group['id']}}
        )
        self._wait_for_state_change(created, 'ACTIVE')
        ((asked, _),) = self.overlay.asked
        assert asked.networks == ('office',)
        assert asked.group == wire.ServerGroup(
            group['id'], wire.GroupPolicy.ANTI_AFFINITY, 2
        )

    def test_slice_that_cannot_take_another_of_a_group_is_not_offered(
        self,
    ) -> None:
        self.flags(disable_group_policy_check_upcall=True, group='workarounds')
        self.disable(ORDINARY)
        group = self.api.post_server_groups(
            {'name': 'apart', 'policy': 'anti-affinity'}
        )
        hints = {'group': group['id']}
        self.overlay.matching = dict.fromkeys(SLICES, 0) | {'slice-4': 1}
        self.overlay.room['slice-4'] = 0
        for _ in range(2):
            assert self.create(hints) == 'slice-4'
        self.overlay.matching['slice-4'] = 0
        self.overlay.room = dict.fromkeys(SLICES, 0)
        assert self.refusal(hints) == '12 PCs: 12 full'

    def test_decision_is_one_line_of_the_log(self) -> None:
        server = self._wait_for_state_change(self.post(), 'ACTIVE')
        (line,) = self.logged
        ((_, request_id),) = self.overlay.asked
        host = server['OS-EXT-SRV-ATTR:host']
        assert line.startswith(
            f'[{request_id}] instance {server["id"]}: goes to {host}, then '
        ), line
        assert '; room in slice-' in line

    def test_nova_looks_at_few_slices_however_many_there_are(self) -> None:
        self.create()
        looked: list[int] = []
        look = host_manager.HostManager.get_host_states_by_uuids

        def count(
            self: Any, context: Any, compute_uuids: Any, spec_obj: Any
        ) -> Any:
            looked.append(len(compute_uuids))
            return look(self, context, compute_uuids, spec_obj)

        self.stub_out(
            'nova.scheduler.host_manager.HostManager.get_host_states_by_uuids',
            count,
        )
        self.create()
        assert looked == [choosing.FIRST + 1]
        assert len(SLICES) > choosing.FIRST

    def test_late_overlay_costs_a_try_and_no_server(self) -> None:
        # Nova's room is where the overlay sees none, and no other.
        for name in (*SLICES[:5], ORDINARY):
            self.disable(name)
        self.overlay.room['slice-5'] = 0
        assert self.create() == 'slice-5'
        self.overlay.room |= dict.fromkeys(SLICES, 0)
        assert self.create() == 'slice-5'

    def disable(self, name: str) -> None:
        (found,) = self.api.get_services(binary='nova-compute', host=name)
        self.api.put_service(found['id'], {'status': 'disabled'})

    def test_several_servers_at_once_go_where_there_is_room(self) -> None:
        self.overlay.room |= dict.fromkeys(SLICES, 2)
        self.post(count=10)
        for server in self.api.get_servers():
            self._wait_for_state_change(server, 'ACTIVE')
        assert len(self.api.get_servers()) == 10
        ((asked, _),) = self.overlay.asked
        assert len(asked.instances) == 10
        assert len(self.logged) == 10

    def test_zone_is_honoured_whatever_the_overlay_sees(self) -> None:
        aggregate = self.api.post_aggregate(
            {'aggregate': {'name': 'rome', 'availability_zone': 'rome'}}
        )
        self.api.add_host_to_aggregate(aggregate['id'], 'slice-5')
        self.overlay.room['slice-5'] = 1
        for _ in range(3):
            assert self.create(az='rome') == 'slice-5'

    def test_host_that_is_asked_for_is_taken(self) -> None:
        self.overlay.room['slice-2'] = 0
        assert self.create(host='slice-2') == 'slice-2'
        assert self.create(az='nova:slice-2') == 'slice-2'
        assert self.create(host=ORDINARY) == ORDINARY

    def test_groups_are_novas(self) -> None:
        for policy, spread in (
            ('soft-anti-affinity', len(SLICES)),
            ('affinity', 1),
        ):
            group = self.api.post_server_groups(
                {'name': policy, 'policy': policy}
            )
            hosts = {
                self.create({'group': group['id']}) for _ in range(len(SLICES))
            }
            assert len(hosts) == spread, policy

    def test_servers_that_are_to_be_apart_share_slices_and_no_other_host(
        self,
    ) -> None:
        self.flags(disable_group_policy_check_upcall=True, group='workarounds')
        group = self.api.post_server_groups(
            {'name': 'apart', 'policy': 'anti-affinity'}
        )
        hints = {'group': group['id']}
        for _ in range(3):
            wish = {**hints, 'p2pcs:slice': 'slice-4'}
            assert self.create(wish) == 'slice-4'
        assert self.create(hints, host=ORDINARY) == ORDINARY
        second = self.post(hints, host=ORDINARY)
        self._wait_for_state_change(second, 'ERROR')

    def test_weighers_that_an_operator_has_chosen_stay_alone(self) -> None:
        def names() -> set[str]:
            made = ours.P2PSchedulerManager()
            return {type(one).__name__ for one in made.host_manager.weighers}

        assert {'P2PSlotsWeigher', 'RAMWeigher'} < names()
        self.flags(
            weight_classes=['nova.scheduler.weights.ram.RAMWeigher'],
            group='filter_scheduler',
        )
        assert names() == {'RAMWeigher'}

    # -- wishes --------------------------------------------------------------

    def test_slice_is_wished_by_hint_or_by_flavor(self) -> None:
        assert self.create({'p2pcs:slice': 'slice-4'}) == 'slice-4'
        self.flavor = self.flavor_with(slice='slice-5')
        assert self.create() == 'slice-5'
        self.overlay.room['slice-5'] = 0
        assert self.create() == 'slice-5'
        assert self.refusal({'p2pcs:slice': 'slice-4'}) == (
            'p2pcs:slice: the flavor says slice-5, the hint slice-4'
        )

    def test_wish_that_no_pc_fulfils_has_no_host_and_tells_why(self) -> None:
        self.overlay.matching = dict.fromkeys(SLICES, 0)
        self.overlay.room = dict.fromkeys(SLICES, 0)
        assert self.refusal({'p2pcs:not_owner': 'anna'}) == '12 PCs: 12 full'
        (line,) = self.logged
        assert line.endswith(': finds no host: 12 PCs: 12 full')

    def test_wish_that_is_none_is_told_with_its_place(self) -> None:
        assert self.refusal({'p2pcs:slice': 'lead'}) == (
            'there is no slice lead'
        )
        assert self.refusal({'p2pcs:slise': 'gold'}).startswith(
            'p2pcs:slise is not known'
        )
        self.overlay.error = errors.Malformed('p2pcs:query, 1:9: no number')
        assert self.refusal({'p2pcs:query': 'cores > x'}) == (
            'p2pcs:query, 1:9: no number'
        )

    def test_wish_that_is_none_costs_no_look_at_placement(self) -> None:
        with mock.patch.object(
            report.SchedulerReportClient,
            'get_allocation_candidates',
            autospec=True,
        ) as candidates:
            self.refusal({'p2pcs:slise': 'gold'})
            self.overlay.error = errors.Malformed('p2pcs:query, 1:9: no')
            self.refusal({'p2pcs:query': 'cores > x'})
        assert not candidates.called
        assert len(self.overlay.asked) == 1

    def test_what_nova_refuses_is_told_with_the_overlays_reasons(
        self,
    ) -> None:
        self.flavor = self._create_flavor(vcpu=11, memory_mb=64, disk=1)
        self.overlay.room |= dict.fromkeys(SLICES[:5], 0)
        # Where there is room, it is not the overlay that refuses.
        reason = '12 PCs: 10 full, 2 with room in slices that Nova passes over'
        assert self.refusal() == reason
        assert self.logged.pop().endswith(f': finds no host: {reason}')
        self.overlay.room |= dict.fromkeys(SLICES, 0)
        assert self.refusal() == '12 PCs: 12 full'

    # -- the overlay is away -------------------------------------------------

    def test_without_the_overlay_it_is_as_stock_and_warns_once(self) -> None:
        self.overlay.error = errors.Unavailable('no daemon answers')
        hosts = {self.create() for _ in range(len(SLICES) + 1)}
        assert len(hosts) == len(SLICES) + 1
        warnings = [
            line for line in self.logged if 'no daemon answers' in line
        ]
        assert len(warnings) == 1
        assert self.create({'p2pcs:slice': 'slice-4'}) == 'slice-4'
        assert self.refusal({'p2pcs:not_owner': 'anna'}) == (
            'The overlay is out of reach'
        )

    # -- moves ---------------------------------------------------------------

    def server_on(self, host: str) -> dict[str, Any]:
        found: dict[str, Any] = self._wait_for_state_change(
            self.post(host=host), 'ACTIVE'
        )
        return found

    def host_of(self, server: dict[str, Any]) -> str:
        found = self.api.get_server(server['id'])
        return str(found['OS-EXT-SRV-ATTR:host'])

    def test_moves_leave_their_host_and_go_where_they_are_told(self) -> None:
        self.overlay.room |= {'slice-1': 0}
        server = self.server_on('slice-0')
        self._migrate_server(server)
        assert self.host_of(server) != 'slice-0'
        self._confirm_resize(server)
        self._migrate_server(server, host='slice-1')
        assert self.host_of(server) == 'slice-1'
        self._confirm_resize(server)
        self._resize_server(
            server, self._create_flavor(vcpu=2, memory_mb=64, disk=1)
        )
        assert self.host_of(server) != 'slice-1'
        self._confirm_resize(server)
        self._live_migrate(server, server_expected_state='ACTIVE')
        self._live_migrate(server, server_expected_state='ACTIVE')

    def test_wish_is_kept_by_moves(self) -> None:
        self.flags(allow_resize_to_same_host=True)
        server = self._wait_for_state_change(
            self.post({'p2pcs:slice': 'slice-4'}), 'ACTIVE'
        )
        self.api.post_server_action(
            server['id'], {'migrate': None}, check_response_status=[202]
        )
        self._wait_for_server_parameter(
            server,
            {'status': 'ACTIVE', 'OS-EXT-STS:task_state': None},
        )
        assert self.host_of(server) == 'slice-4'

    def test_evacuation_goes_elsewhere(self) -> None:
        server = self.server_on('slice-0')
        self.computes['slice-0'].stop()
        (found,) = self.api.get_services(binary='nova-compute', host='slice-0')
        self.api.put_service(found['id'], {'forced_down': True})
        self._evacuate_server(server, expected_state='SHUTOFF')
        assert self.host_of(server) != 'slice-0'

    def test_new_server_is_no_rebuild_though_a_hint_says_so(self) -> None:
        hints = {'_nova_check_type': 'rebuild'}
        server = self._wait_for_state_change(self.post(hints), 'ACTIVE')
        assert len(self.overlay.asked) == 1
        assert self._get_allocations_by_server_uuid(server['id'])

    def test_rebuild_asks_no_overlay(self) -> None:
        server = self.server_on('slice-0')
        asked = len(self.overlay.asked)
        self._rebuild_server(server, '155d900f-4e14-4e4c-a73d-069cbf4541e6')
        assert self.host_of(server) == 'slice-0'
        assert len(self.overlay.asked) == asked
