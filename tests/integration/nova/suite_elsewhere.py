# SPDX-License-Identifier: Apache-2.0
"""A slice has less room than its records said: who serves, and what is told.

Two slices of two PCs each.  All of gold are full, which Placement does not
know, and Nova's scheduler begins with gold: it has more memory.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import msgspec
import oslo_messaging as messaging
from keystoneauth1 import exceptions as keystone_errors
from nova import exception
from nova.scheduler import request_filter
from nova.scheduler.client import report

from p2pcs_nova import errors
from tests.integration.nova import helpers, slices
from tests.support import fake_overlay

ALL = 8
"""CPUs of a slice."""
OWNER = 'OWNER_NOVA'
FULL = 'no PC of slice gold has room'


class SilentPlacement(report.SchedulerReportClient):  # type: ignore[misc]
    """Does not tell a driver what it would give; a scheduler asks for more."""

    asked = 0

    def get(self, url: str, *more: Any, **named: Any) -> Any:
        if url.startswith('/allocation_candidates') and OWNER not in url:
            self.asked += 1
            raise keystone_errors.ConnectFailure('nobody listens')
        return super().get(url, *more, **named)


class ElsewhereTestCase(slices.SliceTestCase):
    """What spawn does with a server that gold cannot take."""

    names = ('gold', 'silver')

    def setUp(self) -> None:
        super().setUp()
        self.fill('gold')

    def make_overlay(self) -> fake_overlay.FakeOverlay:
        found = super().make_overlay()
        for pc in found.pcs:
            if pc.slice == 'silver':
                pc.offer = msgspec.structs.replace(pc.offer, memory_mb=4096)
        return found

    def fill(self, name: str) -> None:
        """Have no CPU free on the PCs of a slice."""
        for pc in self.overlay.pcs:
            if pc.slice == name:
                row = helpers.stranger(pc, pc.offer.vcpus)
                self.overlay.rows[row.spec.instance] = row

    def assert_lost(self, said: str, **wished: Any) -> None:
        """It ends in ERROR with the reason, and nothing is held for it."""
        server = self.create(status='ERROR', **wished)
        assert server['fault']['message'] == (
            f'Build of instance {server["id"]} aborted: '
            f'No valid host was found. {said}'
        )
        assert self.allocations(server) == {}
        assert 'spawn' in self.overlay.requests

    def assert_served(self) -> None:
        """Gold was asked, and silver serves."""
        before = self.overlay.requests.count('spawn')
        server = self.create()
        assert server['OS-EXT-SRV-ATTR:host'] == 'silver'
        assert self.overlay.requests.count('spawn') == before + 2
        self._delete_server(server)

    def test_slice_with_room_serves(self) -> None:
        self.assert_served()

    def test_room_that_placement_has_given_away_is_none(self) -> None:
        self.take_in_placement(self.providers['silver'], ALL // 2)
        self.take_in_placement(self.providers['silver'], ALL // 2)
        self.assert_lost(f'{FULL}; elsewhere 2 PCs: 2 not given by Placement')

    def test_room_outside_the_zone_is_none(self) -> None:
        for name in self.names:
            made = self._create_aggregate(name, f'zone of {name}')
            self.api.add_host_to_aggregate(made, name)
        self.assert_lost(
            f'{FULL}; elsewhere 2 PCs: 2 not given by Placement',
            zone='zone of gold',
        )

    def test_room_on_pcs_that_are_full_is_none(self) -> None:
        self.fill('silver')
        self.assert_lost(f'{FULL}; elsewhere 2 PCs: 2 full')

    def test_host_that_is_no_slice_may_serve_who_wishes_nothing(self) -> None:
        self.fill('silver')
        self.add_ordinary_provider()
        server = self.create(status='ERROR')
        assert 'Exhausted all hosts' in server['fault']['message']
        self.assert_lost(
            f'{FULL}; elsewhere 2 PCs: 2 full',
            hints={'p2pcs:not_owner': 'anna'},
        )

    def add_ordinary_provider(self) -> None:
        """To Placement alone: it is of no compute node that Nova tries."""
        provider = self._post_resource_provider('ordinary')['uuid']
        room = {'total': 10**5}
        answer = self.placement.put(
            f'/resource_providers/{provider}/inventories',
            {
                'resource_provider_generation': 0,
                'inventories': dict.fromkeys(
                    ('VCPU', 'MEMORY_MB', 'DISK_GB'), room
                ),
            },
        )
        assert answer.status == 200

    def test_forced_host_tells_its_own_reason(self) -> None:
        server = self.create(zone='nova:gold', status='ERROR')
        assert server['fault']['message'] == (
            f'Insufficient compute resources: {FULL}.'
        )

    def test_other_slice_is_tried_if_nobody_can_tell(self) -> None:
        self.overlay.fail['fits'] = errors.Unavailable('nobody listens')
        self.assert_served()
        del self.overlay.fail['fits']
        # Nova's own services have their list of filters, and their client.
        for error in (
            exception.RequestSpecNotFound(instance_uuid='it'),
            messaging.RemoteError('CantStartEngineError', 'no API database'),
        ):
            with mock.patch.object(
                request_filter, 'compute_status_filter', side_effect=error
            ):
                self.assert_served()
        silent = SilentPlacement(mock.MagicMock())
        with mock.patch.object(
            report, 'report_client_singleton', return_value=silent
        ):
            self.assert_served()
        assert silent.asked
