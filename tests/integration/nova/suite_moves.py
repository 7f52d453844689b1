# SPDX-License-Identifier: Apache-2.0
"""What slices do not do yet, asked of Nova as an administrator asks it.

Each move is scheduled, by p2pcs-scheduler, to the other of two slices; then
it is refused in words, and nothing is left of it but a migration that has
failed.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from nova import service
from nova import utils as nova_utils
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional.api import client

from p2pcs_nova import wire
from p2pcs_nova.scheduler import command
from tests.integration.nova import slices
from tests.support.waiting import until

VOLUME = nova_fixtures.CinderFixture.IMAGE_BACKED_VOL


class MovesTestCase(slices.SliceTestCase):
    """Two slices; a server is in one of them."""

    names = ('gold', 'silver')

    def setUp(self) -> None:
        self.enterContext(
            mock.patch.dict(
                service.SERVICE_MANAGERS, {'nova-scheduler': command.MANAGER}
            )
        )
        super().setUp()
        self.server = self.create(host='gold')
        self.held = self.allocations(self.server)
        assert list(self.held) == [self.provider['uuid']]

    def ask(self, action: str, body: Any, version: str = '2.79') -> None:
        with nova_utils.temporary_mutation(self.api, microversion=version):
            self.api.post_server_action(self.server['id'], {action: body})

    def assert_as_before(self, status: str = 'ACTIVE') -> None:
        """Nova, Placement and the PC have it as it was."""
        found = self._wait_for_server_parameter(
            self.server, {'status': status, 'OS-EXT-STS:task_state': None}
        )
        assert found['OS-EXT-SRV-ATTR:host'] == 'gold'
        until(lambda: self.allocations(self.server) == self.held)
        row = self.overlay.rows[self.server['id']]
        assert row.pc.slice == 'gold'
        running = row.state is wire.InstanceState.RUNNING
        assert running == (status == 'ACTIVE')

    def assert_failed(self, kind: str, said: str) -> None:
        """All moves that there were have ended; the last tells why."""
        until(lambda: any(said in detail for detail in self.told()))
        until(lambda: set(self.migrations()) <= {'error', 'failed'})
        assert set(self.migrations().values()) == {kind}

    def migrations(self) -> dict[str, str]:
        """The kinds of the server's moves, by their states."""
        found = self.api.api_get('/os-migrations').body['migrations']
        return {one['status']: one['migration_type'] for one in found}

    def told(self) -> list[str]:
        """The details of the last action's events."""
        with nova_utils.temporary_mutation(self.api, microversion='2.84'):
            path = f'/servers/{self.server["id"]}/os-instance-actions'
            (last, *_) = self.api.api_get(path).body['instanceActions']
            asked = self.api.api_get(f'{path}/{last["request_id"]}').body
        return [
            str(event['details'])
            for event in asked['instanceAction']['events']
        ]

    def test_resize_is_refused(self) -> None:
        larger = self._create_flavor(
            vcpu=2, memory_mb=512, disk=1, ephemeral=0
        )
        self.ask('resize', {'flavorRef': larger})
        self.assert_failed('resize', 'cannot be resized yet; it stays as')
        self.assert_as_before()
        assert self.record(self.server).flavor.vcpus == 1

    def test_cold_migration_is_refused(self) -> None:
        self.ask('migrate', None)
        self.assert_failed('migration', 'cannot be migrated yet; it stays as')
        self.assert_as_before()

    def test_server_that_is_stopped_stays_so(self) -> None:
        self._stop_server(self.server)
        self.ask('migrate', None)
        self.assert_failed('migration', 'cannot be migrated yet; it stays as')
        self.assert_as_before('SHUTOFF')

    def test_live_migration_is_refused(self) -> None:
        for host in (None, 'silver'):
            self.ask(
                'os-migrateLive', {'host': host, 'block_migration': 'auto'}
            )
            self.assert_failed(
                'live-migration', 'cannot be migrated yet; it stays as'
            )
            self.assert_as_before()

    def test_old_api_tells_who_waits_for_a_live_migration(self) -> None:
        with pytest.raises(client.OpenStackApiException) as caught:
            self.ask(
                'os-migrateLive',
                {'host': None, 'block_migration': 'auto'},
                '2.30',
            )
        assert caught.value.response.status_code == 400
        assert 'Live migration is refused: a server of' in str(caught.value)
        self.assert_as_before()

    def test_evacuation_is_refused(self) -> None:
        self.compute.stop()
        (found,) = self.api.get_services(binary='nova-compute', host='gold')
        self.api.put_service(found['id'], {'forced_down': True})
        self.ask('evacuate', {})
        self.assert_failed('evacuation', 'cannot be evacuated yet; it stays')
        self.assert_as_before()

    def test_server_with_a_volume_is_refused_before_a_volume_is_touched(
        self,
    ) -> None:
        cinder = self.useFixture(nova_fixtures.CinderFixture(self))
        disk = {'boot_index': 0, 'destination_type': 'volume'}
        for source in (
            {'source_type': 'volume', 'uuid': VOLUME},
            {
                'source_type': 'image',
                'uuid': slices.IMAGE,
                'volume_size': 1,
            },
        ):
            flavor = self._create_flavor(
                vcpu=1, memory_mb=512, disk=1, ephemeral=0
            )
            server = self._build_server(
                image_uuid='', flavor_id=flavor, networks='none'
            )
            server['block_device_mapping_v2'] = [disk | source]
            created = self.api.post_server({'server': server})
            found = self._wait_for_state_change(created, 'ERROR')
            message = found['fault']['message']
            assert 'can neither boot from a volume nor have one' in message
            assert self.allocations(created) == {}
        attached = cinder.volume_to_attachment.values()
        assert not any(
            one['connector'] for some in attached for one in some.values()
        )
