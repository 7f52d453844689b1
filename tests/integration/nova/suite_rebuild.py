# SPDX-License-Identifier: Apache-2.0
"""Servers that are built anew, and the ways in which that fails."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from nova import exception
from nova import utils as nova_utils
from nova.cmd import manage

from p2pcs_nova import errors
from tests.integration.nova import helpers, slices
from tests.support.waiting import until

ANOTHER = 'a2459075-d96c-40d5-893e-577ff92e721c'


class RebuildTestCase(slices.SliceTestCase):
    """Two slices; the server is in the first."""

    names = ('gold', 'silver')

    def setUp(self) -> None:
        super().setUp()
        self.server = self.create(
            host='gold', hints={'p2pcs:query': 'cores > 1 || true'}
        )
        self.held = self.allocations(self.server)
        assert list(self.held) == [self.provider['uuid']]

    @property
    def row(self) -> Any:
        return self.overlay.rows[self.server['id']]

    def rebuild(self, image: str = slices.IMAGE, **more: Any) -> None:
        self.api.post_server_action(
            self.server['id'], {'rebuild': {'imageRef': image, **more}}
        )

    def wait_for(self, status: str) -> Any:
        """It has ended so, and Placement has what it had."""
        found = self._wait_for_server_parameter(
            self.server, {'status': status, 'OS-EXT-STS:task_state': None}
        )
        assert self.allocations(self.server) == self.held
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            manage.PlacementCommands().heal_allocations(
                verbose=True, dry_run=True
            )
        assert f'{self.server["id"]} is up-to-date' in said.getvalue()
        return found

    def told(self) -> dict[str, str]:
        """What the last action's events say, by their names."""
        path = f'/servers/{self.server["id"]}/os-instance-actions'
        with nova_utils.temporary_mutation(self.api, microversion='2.84'):
            (last, *_) = self.api.api_get(path).body['instanceActions']
            asked = self.api.api_get(f'{path}/{last["request_id"]}').body
        return {
            event['event']: str(event['details'])
            for event in asked['instanceAction']['events']
            if asked['instanceAction']['message'] == 'Error'
        }

    def wait_until_told(self, said: str) -> None:
        """Its owner hears that the rebuild has failed, and why."""
        said = f'Failed to deploy instance: {said}'
        until(lambda: self.told().get('p2pcs_rebuild') == said)

    def assert_as_before(
        self, before: Any, reason: str, status: str = 'ACTIVE'
    ) -> None:
        """Its guest was not touched."""
        self.wait_until_told(f'the server stays as it is: {reason}')
        self.wait_for(status)
        assert self.row is before

    def assert_in_error(self, reason: str) -> None:
        self.wait_until_told(reason)
        found = self.wait_for('ERROR')
        assert found['fault']['message'] == (
            f'Failed to deploy instance: {reason}'
        )

    def rebuild_well(self, status: str = 'ACTIVE', **more: Any) -> None:
        before = self.overlay.rows.get(self.server['id'])
        self.rebuild(**more)
        until(
            lambda: (
                self.overlay.rows.get(self.server['id'], before) is not before
            )
        )
        self.wait_for(status)

    def test_server_stays_on_its_full_pc_in_a_drained_slice(self) -> None:
        before = self.row
        self.overlay.rows[helpers.new_uuid()] = helpers.stranger(before.pc, 3)
        self.overlay.drained.add('gold')
        self.rebuild_well()
        assert self.row.pc is before.pc
        assert self.row.state == 'running'
        self._stop_server(self.server)
        self.rebuild_well('SHUTOFF', image=ANOTHER)
        assert self.row.pc is before.pc
        assert self.row.state == 'stopped'

    def test_server_that_cannot_be_rebuilt_stays_as_it_is(self) -> None:
        before = self.row
        refused = exception.PreserveEphemeralNotSupported().format_message()
        self.rebuild(preserve_ephemeral=True)
        self.assert_as_before(before, refused)
        for call, error in (
            ('has_image', errors.ImageRefused('its header says vmdk')),
            ('instance', errors.Unavailable('nobody listens')),
        ):
            self.overlay.fail = {call: error}
            self.rebuild()
            self.assert_as_before(before, error.message)
        self.overlay.fail.clear()
        before.pc.reachable = False
        self.rebuild()
        self.assert_as_before(before, f'{before.pc.name} does not take it')
        assert self.row.state == 'running'

    def test_server_whose_rebuild_has_begun_and_failed_is_in_error(
        self,
    ) -> None:
        for call, error in (
            ('build', errors.NoPeerFits('1 PC: 1 no space')),
            ('action start', errors.HypervisorFailed('no KVM')),
        ):
            self.overlay.fail[call] = error
            self.rebuild()
            self.assert_in_error(f'its old disk is given up: {error.message}')
            assert self.server['id'] not in self.overlay.rows
            self.overlay.fail.clear()
            self.rebuild_well()
            assert self.row.state == 'running'

    def test_server_that_may_still_be_rebuilt_is_in_error_and_left_alone(
        self,
    ) -> None:
        before = self.row
        for said, is_silent in (
            (errors.Unreachable('no answer'), False),
            (errors.Unavailable('etcd'), False),
            (errors.NoPeerFits('1 PC: 1 full'), True),
        ):
            self.have_spawn_fail(said, is_silent)
            self.rebuild()
            self.assert_in_error(f'its old disk may be gone: {said.message}')
            assert self.row is before

    def have_spawn_fail(
        self, said: errors.P2PcsError, is_silent: bool
    ) -> None:
        """Perhaps the last that is heard of the gateway."""

        def fail(*args: Any, **kwargs: Any) -> Any:
            if is_silent:
                self.overlay.fail['instance'] = errors.Unavailable('silence')
            raise said

        self.stub_out('tests.support.fake_overlay.FakeClient.spawn', fail)
