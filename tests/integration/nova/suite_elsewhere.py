# SPDX-License-Identifier: Apache-2.0
"""A slice has less room than its records said: who serves, and what is told.

Two slices of two PCs each.  All of gold are full, which Placement does not
know, and Nova's scheduler begins with gold: it has more memory.
"""

from __future__ import annotations

from typing import Any

import msgspec
import oslo_messaging as messaging
from keystoneauth1 import exceptions as keystone_errors
from nova import exception

from p2pcs_nova import errors
from tests.integration.nova import helpers, slices
from tests.support import fake_overlay

ALL = 8
"""CPUs of a slice."""
FULL = 'no PC of slice gold has room'


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

    def assert_lost(self, said: str, zone: str | None = None) -> None:
        """It ends in ERROR with the reason, and nothing is held for it."""
        server = self.create(zone=zone, status='ERROR')
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
            'zone of gold',
        )

    def test_room_on_pcs_that_are_full_is_none(self) -> None:
        self.fill('silver')
        self.assert_lost(f'{FULL}; elsewhere 2 PCs: 2 full')

    def test_other_slice_is_tried_if_nobody_can_tell(self) -> None:
        self.overlay.fail['fits'] = errors.Unavailable('nobody listens')
        self.assert_served()
        del self.overlay.fail['fits']
        for error in (
            exception.RequestSpecNotFound(instance_uuid='it'),
            keystone_errors.ConnectFailure('nobody listens'),
            messaging.RemoteError('CantStartEngineError', 'no API database'),
        ):
            self.fail_for_drivers_with(error)
            self.assert_served()

    def fail_for_drivers_with(self, error: Exception) -> None:
        """The scheduler has its list of all such filters already."""

        def refuse(*args: Any) -> None:
            raise error

        self.stub_out(
            'nova.scheduler.request_filter.compute_status_filter', refuse
        )
