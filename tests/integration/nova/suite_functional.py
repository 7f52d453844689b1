# SPDX-License-Identifier: Apache-2.0
"""Nova and Placement in one process, our driver over the fake overlay."""

from __future__ import annotations

import contextlib
from typing import Any
from unittest import mock

import pytest
from nova import exception, objects
from nova.compute import manager as compute_manager
from nova.image import glance
from nova.tests.functional.api import client

from p2pcs_nova import errors, wire
from tests.integration.nova import helpers, slices
from tests.support.waiting import until

SITE = 'CUSTOM_P2PCS_SITE_ROME'
BY_HAND = 'CUSTOM_BY_HAND'


class SliceTestCase(slices.SliceTestCase):
    """One slice of two PCs with 4 CPUs each: a host of 8."""

    def test_node_provider_and_inventory_are_those_of_the_slice(self) -> None:
        assert self.provider['name'] == 'gold'
        inventory = self._get_provider_inventory(self.provider['uuid'])
        for name, total, largest in (
            ('VCPU', 8, 4),
            ('MEMORY_MB', 16384, 8192),
            ('DISK_GB', 400, 200),
        ):
            assert inventory[name]['total'] == total
            assert inventory[name]['max_unit'] == largest
            assert inventory[name]['allocation_ratio'] == 1.0
            assert inventory[name]['reserved'] == 0
        [shown] = self.api.api_get('/os-hypervisors/detail').body[
            'hypervisors'
        ]
        assert shown['hypervisor_hostname'] == 'gold'

    def test_provider_has_the_traits_of_the_slice_and_of_others(self) -> None:
        nova = self.traits()
        assert 'COMPUTE_NODE' in nova
        avx2 = 'HW_CPU_X86_AVX2'
        self.have_traits(nova, SITE, avx2)
        self._create_trait(BY_HAND)
        self._set_provider_traits(
            self.provider['uuid'], [*self.traits(), BY_HAND]
        )
        # Nova reads again what others have changed when it is told to.
        self.compute.manager.reset()
        self.have_traits(nova | {BY_HAND}, avx2)
        self.create(extra_specs={f'trait:{avx2}': 'required'})

    def traits(self) -> set[str]:
        return set(self._get_provider_traits(self.provider['uuid']))

    def have_traits(self, others: set[str], *ours: str) -> None:
        """Wait until Placement has the slice's, beside those of others."""
        self.overlay.traits = ours

        def has() -> bool:
            self.overlay.changed()  # The driver asks at once.
            self.compute.manager.update_available_resource(self.context())
            return self.traits() == {*others, *ours}

        until(has)

    def test_server_lives_and_leaves_nothing(self) -> None:
        server = self.create()
        assert server['OS-EXT-SRV-ATTR:host'] == 'gold'
        row = self.overlay.rows[server['id']]
        assert row.state is wire.InstanceState.RUNNING
        assert self.used() == {'VCPU': 1, 'MEMORY_MB': 512, 'DISK_GB': 1}
        for action, body, state, status in (
            ('os-stop', None, 'stopped', 'SHUTOFF'),
            ('os-start', None, 'running', 'ACTIVE'),
            ('pause', None, 'paused', 'PAUSED'),
            ('unpause', None, 'running', 'ACTIVE'),
            ('suspend', None, 'suspended', 'SUSPENDED'),
            ('resume', None, 'running', 'ACTIVE'),
            ('reboot', {'type': 'SOFT'}, 'running', 'ACTIVE'),
            ('suspend', None, 'suspended', 'SUSPENDED'),
            ('reboot', {'type': 'HARD'}, 'running', 'ACTIVE'),
        ):
            self.api.post_server_action(server['id'], {action: body})
            self._wait_for_server_parameter(
                server,
                {'status': status, 'OS-EXT-STS:task_state': None},
            )
            assert row.state == state
        output = self.api.post_server_action(
            server['id'], {'os-getConsoleOutput': {}}
        )
        assert output['output'].endswith('login: ')
        found = self.api.api_get(f'/servers/{server["id"]}/diagnostics')
        assert found.body['driver'] == 'libvirt'
        assert found.body['num_cpus'] == 1
        self._delete_server(server)
        assert self.overlay.rows == {}
        assert self.used() == {'VCPU': 0, 'MEMORY_MB': 0, 'DISK_GB': 0}

    def test_server_is_built_and_rebuilt_as_flavor_and_hints_wish(
        self,
    ) -> None:
        for number, pc in enumerate(self.overlay.pcs, 1):
            pc.attributes = {'site': f'floor{number}', 'owner': 'anna'}
        server = self.create(
            extra_specs={'p2pcs:query': "site.startsWith('floor')"},
            hints={
                'p2pcs:slice': 'gold',
                'p2pcs:not_owner': 'bruno',
                'p2pcs:query': "site != 'floor1'",
            },
        )
        wishes = wire.Wishes(
            'gold', "site.startsWith('floor')", 'bruno', "site != 'floor1'"
        )
        assert self.overlay.wishes.pop(server['id']) == wishes
        assert self.overlay.rows[server['id']].pc.name == 'gold-pc2'
        self._rebuild_server(server, slices.IMAGE)
        assert self.overlay.wishes[server['id']] == wishes
        row = self.overlay.rows[server['id']]
        assert row.pc.name == 'gold-pc2'
        row.pc.reachable = False
        self._rebuild_server(server, slices.IMAGE)
        assert self.overlay.rows[server['id']] is row
        assert self.used() == {'VCPU': 1, 'MEMORY_MB': 512, 'DISK_GB': 1}

    def test_wish_that_is_none_ends_in_error_with_its_place(self) -> None:
        far = "site == 'floor2' && cores > 2 && ownr == 'bruno'"
        long = 'x' * 255
        for extra_specs, hints, expected in (
            ({'p2pcs:query': 'cores >='}, {}, 'column 9: it ends too early'),
            ({}, {'p2pcs:query': far}, 'column 34: there is no attribute'),
            ({}, {'p2pcs:query': long}, f"no attribute '{long[:60]}"),
            ({}, {'p2pcs:slice': 'bronze'}, 'there is no slice bronze'),
            ({}, {'p2pcs:querry': 'true'}, 'p2pcs:querry is not known'),
            (
                {'p2pcs:query': "site == 'floor1'"},
                {'p2pcs:query': 'true) || (true'},
                'p2pcs:query of the hint: line 1, column 5: ',
            ),
            (
                {'p2pcs:slice': 'gold'},
                {'p2pcs:slice': 'silver'},
                'p2pcs:slice: the flavor says gold, the hint silver',
            ),
        ):
            self.overlay.requests.clear()
            server = self.create(
                extra_specs=extra_specs, hints=hints, status='ERROR'
            )
            assert not {'put_image', 'spawn'} & set(self.overlay.requests)
            message = server['fault']['message']
            assert f'Build of instance {server["id"]} aborted' in message
            assert expected in message
            assert len(message) <= 255
            assert not message.endswith('...')
        assert self.used() == {'VCPU': 0, 'MEMORY_MB': 0, 'DISK_GB': 0}

    def test_api_refuses_extra_specs_that_are_no_wishes(self) -> None:
        self.overlay.pcs[0].attributes = {'floor': 3}
        flavor = self._create_flavor(vcpu=1, memory_mb=512, disk=1)
        for name, value, expected in (
            ('p2pcs:query', 'cores >=', 'line 1, column 9: it ends too early'),
            ('p2pcs:query', 'flor > 1', "no attribute 'flor'; near: floor"),
            ('p2pcs:slice', 'bronze', 'no slice bronze; the policy has gold'),
            ('p2pcs:slice', 'Gold!', 'p2pcs:slice: '),
            ('p2pcs:not_owner', '', 'p2pcs:not_owner is empty'),
            ('p2pcs:querry', 'true', 'not appear to be a valid extra spec'),
        ):
            with pytest.raises(client.OpenStackApiException) as caught:
                self.api.post_extra_spec(
                    flavor, {'extra_specs': {name: value}}
                )
            assert caught.value.response.status_code == 400
            assert expected in str(caught.value)
        for extra_specs in (
            {'p2pcs:query': 'floor >= p(90) && cores >= 8'},
            {'p2pcs:slice': 'gold', 'p2pcs:not_owner': 'anna'},
        ):
            self.api.post_extra_spec(flavor, {'extra_specs': extra_specs})

    def test_api_without_a_daemon_passes_over_names_alone(self) -> None:
        self.overlay.fail['wishable'] = errors.Unavailable('nobody listens')
        flavor = self._create_flavor(vcpu=1, memory_mb=512, disk=1)
        for query, fine in (
            ('floor > 3', True),
            ('cores > "x"', False),
            ('floor >', False),
        ):
            with contextlib.ExitStack() as stack:
                if not fine:
                    stack.enter_context(
                        pytest.raises(client.OpenStackApiException)
                    )
                self.api.post_extra_spec(
                    flavor, {'extra_specs': {'p2pcs:query': query}}
                )

    def test_gateway_is_told_of_the_server_group(self) -> None:
        plain = self.create()
        assert self.overlay.rows[plain['id']].spec.group is None
        self._delete_server(plain)
        group = self.api.post_server_groups(
            {
                'name': 'apart',
                'policy': 'anti-affinity',
                'rules': {'max_server_per_host': 2},
            }
        )
        server = self.create(hints={'group': group['id']})
        told = self.overlay.rows[server['id']].spec.group
        assert told == wire.ServerGroup(
            group['id'], wire.GroupPolicy.ANTI_AFFINITY, limit=2
        )
        self._delete_server(server)
        self.flags(server_groups=False, group='p2pcs')
        server = self.create(hints={'group': group['id']})
        assert self.overlay.rows[server['id']].spec.group is None

    def test_what_fits_no_pc_finds_no_valid_host(self) -> None:
        server = self.create(vcpus=5, status='ERROR')
        assert 'No valid host was found' in server['fault']['message']
        assert self.used() == {'VCPU': 0, 'MEMORY_MB': 0, 'DISK_GB': 0}

    def test_what_only_placement_takes_ends_in_error_with_nothing_held(
        self,
    ) -> None:
        for pc in self.overlay.pcs:
            self.overlay.rows[helpers.new_uuid()] = helpers.stranger(pc, 3)
        server = self.create(vcpus=2, status='ERROR')
        assert server['fault']['message'] == (
            f'Build of instance {server["id"]} aborted: No valid host was '
            'found. no PC of slice gold has room'
        )
        assert server['id'] not in self.overlay.rows
        assert self.used() == {'VCPU': 0, 'MEMORY_MB': 0, 'DISK_GB': 0}

    def test_suspended_server_stays_so_whatever_nova_compares(self) -> None:
        server = self.create()
        self.api.post_server_action(server['id'], {'suspend': None})
        suspended = {'status': 'SUSPENDED', 'OS-EXT-STS:power_state': 7}
        self._wait_for_server_parameter(server, suspended)
        self.compute.manager._sync_power_states(self.context())
        self._wait_for_server_parameter(server, suspended)
        row = self.overlay.rows[server['id']]
        assert row.state is wire.InstanceState.SUSPENDED

    def test_server_that_cannot_be_suspended_stays_active(self) -> None:
        server = self.create()
        self.overlay.fail['action suspend'] = errors.NoSpace('no room')
        self.api.post_server_action(server['id'], {'suspend': None})
        self._wait_for_server_parameter(
            server, {'status': 'ACTIVE', 'OS-EXT-STS:task_state': None}
        )
        assert 'action suspend' in self.overlay.requests

    def faults(self, server: Any) -> list[str]:
        """Those of a server in ERROR, and those that are not shown."""
        found = objects.InstanceFaultList.get_by_instance_uuids(
            self.context(), [server['id']]
        )
        return [one.message for one in found]

    def test_shelved_server_comes_back_when_nothing_of_it_is_left(
        self,
    ) -> None:
        server = self.create()
        row = self.overlay.rows[server['id']]
        self.api.post_server_action(server['id'], {'shelve': {}})
        self._wait_for_state_change(server, 'SHELVED_OFFLOADED')
        assert server['id'] not in self.overlay.rows
        row.pc.reachable = False
        before = self.overlay.requests.count('spawn')
        self.api.post_server_action(server['id'], {'unshelve': None})
        until(lambda: self.faults(server))
        (fault,) = self.faults(server)
        assert f'{row.pc.name} has still to destroy' in fault
        found = self._wait_for_server_parameter(
            server,
            {'status': 'SHELVED_OFFLOADED', 'OS-EXT-STS:task_state': None},
        )
        assert found['OS-EXT-SRV-ATTR:host'] is None
        assert self.overlay.requests.count('spawn') == before
        assert self.used() == {'VCPU': 0, 'MEMORY_MB': 0, 'DISK_GB': 0}
        row.pc.reachable = True
        self.api.post_server_action(server['id'], {'unshelve': None})
        self._wait_for_state_change(server, 'ACTIVE')

    def test_snapshot_and_backup_are_images_and_failed_ones_are_none(
        self,
    ) -> None:
        server = self.create()
        settled = {'OS-EXT-STS:task_state': None}
        known = self.images()
        self.api.post_server_action(
            server['id'], {'createImage': {'name': 'snap'}}
        )
        self._wait_for_server_parameter(server, settled)
        self.api.post_server_action(
            server['id'],
            {
                'createBackup': {
                    'name': 'daily',
                    'backup_type': 'daily',
                    # Nova's fixture takes every image for a backup.
                    'rotation': 99,
                }
            },
        )
        self._wait_for_server_parameter(server, settled)
        made = self.images()
        assert set(made) - set(known) == {'snap', 'daily'}
        for name in ('snap', 'daily'):
            assert made[name]['status'] == 'active'
            assert made[name]['data'].startswith('QFI')
        self.overlay.fail['snapshot'] = errors.NoSpace('no room')
        self.api.post_server_action(
            server['id'], {'createImage': {'name': 'none'}}
        )
        self._wait_for_server_parameter(server, settled)
        assert set(self.images()) == set(made)
        assert self.overlay.copies == 0

    def test_guest_that_powers_itself_off_is_shut_off(self) -> None:
        server = self.create()
        self.overlay.set_state(server['id'], wire.InstanceState.STOPPED)
        self._wait_for_server_parameter(server, {'status': 'SHUTOFF'})

    def test_server_out_of_reach_stays_active(self) -> None:
        server = self.create()
        pc = self.overlay.rows[server['id']].pc
        self.overlay.set_reachable(pc.name, False)
        self.compute.manager._sync_power_states(self.context())
        self._wait_for_server_parameter(
            server, {'status': 'ACTIVE', 'OS-EXT-STS:power_state': 0}
        )
        self._delete_server(server)
        assert self.used() == {'VCPU': 0, 'MEMORY_MB': 0, 'DISK_GB': 0}

    def test_restarted_compute_finds_its_servers(self) -> None:
        server = self.create()
        self.restart_compute_service(self.compute)
        found = self.api.get_server(server['id'])
        assert found['status'] == 'ACTIVE'
        assert found['OS-EXT-STS:power_state'] == 1
        self._delete_server(server)
        assert self.overlay.rows == {}

    def images(self) -> dict[str, Any]:
        """All images in Glance, by name."""
        found = glance.API().get_all(self.context())
        return {image['name']: image for image in found}

    def test_servers_run_again_with_their_host_where_that_is_wished(
        self,
    ) -> None:
        self.flags(resume_guests_state_on_host_boot=True)
        server = self.create()
        row = self.overlay.rows[server['id']]
        for reachable, state in ((True, 'running'), (False, 'crashed')):
            self.compute.stop()
            row.state = wire.InstanceState.CRASHED
            row.pc.reachable = reachable
            self.compute = self.restart_compute_service(self.compute)
            assert row.state == state
            # A PC that is off is no fault of the server.
            assert self.api.get_server(server['id'])['status'] == 'ACTIVE'

    # -- what the end of nova-compute interrupts -----------------------------

    def rewind(self, server: Any, task_state: str, **more: Any) -> None:
        """Have Nova's record as if the build were not yet at its end."""
        record = self.record(server)
        record.vm_state = 'building'
        record.task_state = task_state
        record.power_state = 0
        record.launched_at = None
        record.update(more)
        record.save()

    def rewind_to_no_host(self, server: Any, **more: Any) -> None:
        """As on the way from a slice that failed to the next."""
        nowhere = {'host': None, 'node': None, 'compute_id': None}
        self.rewind(server, 'scheduling', **nowhere, **more)
        self.placement.delete(f'/allocations/{server["id"]}')

    def delete_failed(self, server: Any) -> None:
        """Nova's own helper takes ERROR for a deletion that failed."""
        self.api.delete_server(server['id'])
        until(lambda: not self.api.get_servers())

    def restart(self) -> None:
        self.compute = self.restart_compute_service(self.compute)

    def wait_for_error(self, server: Any, reason: str) -> None:
        """Given up, with the reason told, and Placement free."""
        found = self.wait_for_fault(server, reason)
        assert found['OS-EXT-STS:task_state'] is None
        assert self.used() == {'VCPU': 0, 'MEMORY_MB': 0, 'DISK_GB': 0}
        assert server['id'] not in self.overlay.rows

    def wait_for_fault(self, server: Any, reason: str) -> Any:
        """The server, once it is in ERROR for this reason."""

        def so() -> bool:
            found = self.api.get_server(server['id'])
            return reason in found.get('fault', {}).get('message', '')

        until(so)
        return self._wait_for_state_change(server, 'ERROR')

    def test_build_whose_guest_runs_is_active_after_a_restart(self) -> None:
        server = self.create()
        before = self.record(server)
        self.rewind(server, 'spawning', config_drive='')
        self.restart()
        found = self._wait_for_state_change(server, 'ACTIVE')
        assert found['OS-EXT-STS:power_state'] == 1
        assert found['OS-SRV-USG:launched_at']
        assert self.record(server).config_drive == before.config_drive
        assert self.used() == {'VCPU': 1, 'MEMORY_MB': 512, 'DISK_GB': 1}
        self._delete_server(server)
        assert self.overlay.rows == {}

    def test_build_that_is_plugged_and_not_started_is_given_up(self) -> None:
        server = self.create()
        self.overlay.rows[server['id']].state = wire.InstanceState.PLUGGED
        self.rewind(server, 'spawning')
        self.restart()
        self.wait_for_error(server, 'while the server was being built')
        self.delete_failed(server)

    def test_build_that_no_pc_knows_is_given_up(self) -> None:
        server = self.create()
        del self.overlay.rows[server['id']]
        self.rewind(server, 'networking')
        self.restart()
        assert self.overlay.requests.count('destroy') == 1
        self.wait_for_error(server, 'while the server was being built')
        self.delete_failed(server)

    def test_silent_gateway_leaves_a_build_in_error_for_its_owner(
        self,
    ) -> None:
        server = self.create()
        self.rewind(server, 'spawning')
        self.overlay.fail['instance'] = errors.Unreachable('silence')
        self.restart()
        self._wait_for_state_change(server, 'ERROR')
        assert self.used()['VCPU'] == 1
        del self.overlay.fail['instance']
        self.delete_failed(server)
        assert self.overlay.rows == {}
        assert self.used()['VCPU'] == 0

    def test_deletion_of_what_was_being_built_goes_on(self) -> None:
        server = self.create()
        self.rewind(server, 'deleting')
        self.restart()
        self._wait_until_deleted(server)
        assert self.overlay.rows == {}
        assert self.used()['VCPU'] == 0

    def take_and_lose(self) -> tuple[Any, Any]:
        """A request that nova-compute takes and does nothing about.

        :returns: the server, and the call that a queue would repeat
        """
        with mock.patch.object(
            compute_manager.ComputeManager,
            'build_and_run_instance',
            autospec=True,
        ) as taken:
            server = self.create(status='BUILD')
            until(lambda: taken.called)
        assert self.used()['VCPU'] == 1
        return server, taken.call_args

    def test_build_that_was_taken_and_not_begun_is_given_up(self) -> None:
        server, _ = self.take_and_lose()
        self.restart()
        self.wait_for_error(server, 'before it began to build')
        self.delete_failed(server)

    def test_build_that_is_still_queued_is_built_after_all(self) -> None:
        server, queued = self.take_and_lose()
        self.restart()
        self.wait_for_error(server, 'before it began to build')
        self.compute.manager.build_and_run_instance(
            *queued.args, **queued.kwargs
        )
        self._wait_for_state_change(server, 'ACTIVE')
        assert self.used() == {'VCPU': 1, 'MEMORY_MB': 512, 'DISK_GB': 1}
        self._delete_server(server)

    def test_build_whose_share_is_taken_meanwhile_has_no_host(self) -> None:
        server, queued = self.take_and_lose()
        self.restart()
        self.wait_for_error(server, 'before it began to build')
        for _ in self.overlay.pcs:
            self.take_in_placement(self.provider, vcpus=4)
        self.compute.manager.build_and_run_instance(
            *queued.args, **queued.kwargs
        )
        found = self.wait_for_fault(server, 'Exhausted all hosts')
        assert found['OS-EXT-SRV-ATTR:host'] is None
        assert self.overlay.rows == {}

    def test_build_lost_between_two_slices_is_given_up(self) -> None:
        server = self.create()
        del self.overlay.rows[server['id']]
        self.rewind_to_no_host(server)
        self.restart()
        self.wait_for_error(server, 'before it began to build')

    def test_build_on_its_way_to_another_slice_is_left_alone(self) -> None:
        server = self.create()
        self.rewind_to_no_host(server, launched_on='silver')
        self.restart()
        assert self.api.get_server(server['id'])['status'] == 'BUILD'

    # -- snapshots that it interrupts ----------------------------------------

    def leave_image(self, server: Any, name: str, status: str) -> None:
        """What Nova's API has made for a snapshot."""
        glance.API().create(
            self.context(),
            {
                'name': name,
                'status': status,
                'properties': {
                    'instance_uuid': server['id'],
                    'image_type': 'snapshot',
                },
            },
        )

    def copy_halfway(self, server: Any, task_state: str) -> None:
        """Have Nova's record as if it were being copied."""
        record = self.record(server)
        record.task_state = task_state
        record.save()

    def test_snapshot_that_was_cut_off_leaves_no_image(self) -> None:
        server, other = self.create(), {'id': helpers.new_uuid()}
        known = self.images()
        for whose, name, status in (
            (server, 'cut off', 'queued'),
            (server, 'half', 'saving'),
            (server, 'earlier', 'active'),
            (other, 'of another', 'queued'),
        ):
            self.leave_image(whose, name, status)
        self.copy_halfway(server, 'image_uploading')
        self.restart()
        self._wait_for_server_parameter(
            server, {'status': 'ACTIVE', 'OS-EXT-STS:task_state': None}
        )
        assert set(self.images()) - set(known) == {'earlier', 'of another'}

    def test_server_that_was_being_shelved_is_given_back(self) -> None:
        server = self.create()
        known = self.images()
        self.leave_image(server, 'shelved', 'queued')
        self.copy_halfway(server, 'shelving_image_uploading')
        self.restart()
        self._wait_for_server_parameter(
            server, {'status': 'ACTIVE', 'OS-EXT-STS:task_state': None}
        )
        assert set(self.images()) == set(known)

    def test_silent_glance_does_not_hinder_the_start(self) -> None:
        server = self.create()
        self.leave_image(server, 'cut off', 'queued')
        self.copy_halfway(server, 'image_snapshot')

        def detail(*args: Any, **kwargs: Any) -> Any:
            raise exception.GlanceConnectionFailed(
                server='glance', reason='silence'
            )

        self.stub_out('nova.tests.fixtures.GlanceFixture.detail', detail)
        self.restart()
        self._wait_for_server_parameter(
            server, {'status': 'ACTIVE', 'OS-EXT-STS:task_state': None}
        )
