# SPDX-License-Identifier: Apache-2.0
"""Nova's own contract for drivers, on ours over the fake overlay.

Nova's suite forgives NotImplementedError: an empty driver passes nearly
all of it.  So each test says what the driver must implement, and a method
that is later in coming is named here.
"""

from __future__ import annotations

import inspect
import logging
from typing import Any
from unittest import mock

import oslo_messaging
import pytest
from neutronclient.common import exceptions as neutron_errors
from nova import exception, objects, test
from nova.compute import (
    power_state,
    provider_tree,
    task_states,
    vm_states,
)
from nova.image import glance
from nova.network import neutron
from nova.tests.unit import utils as test_utils
from nova.tests.unit.virt import test_virt_drivers
from nova.virt import driver as base

from p2pcs_nova import errors, wire
from p2pcs_nova.hosts.node import node_id
from p2pcs_nova.virt import driver as ours
from p2pcs_nova.virt import plugin
from tests.integration.nova import helpers
from tests.support import fake_overlay

Base: Any = test_virt_drivers._VirtDriverTestCase
TestCase: Any = test.TestCase

LATER = frozenset(
    {
        # what Nova calls -> not in this release
        'attach_volume',
        'block_stats',
        'finish_migration',
        'get_device_name_for_instance',
        'get_host_cpu_stats',
        'get_host_uptime',
        'get_instance_disk_info',
        'get_mks_console',
        'get_serial_console',
        'get_spice_console',
        'get_vnc_console',
        'get_volume_connector',
        'host_power_action',
        'live_migration',
        'live_migration_abort',
        'live_migration_force_complete',
        'poll_rebooting_instances',
        'rescue',
        'restore',
        'set_admin_password',
        'set_host_enabled',
        'soft_delete',
        'swap_volume',
        'trigger_crash_dump',
        'unrescue',
    }
)


class Missing(logging.Handler):
    """Collects the names of methods that a test found missing."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if 'does not implement' in str(record.msg):
            assert isinstance(record.args, dict)
            self.names.append(str(record.args['method']))


class P2PDriverTestCase(helpers.RunByPytest, Base, TestCase):  # type: ignore[misc]
    """The whole suite."""

    def setUp(self) -> None:
        self.driver_module = f'{plugin.ALIAS}.P2PDriver'
        self.overlay = helpers.make_overlay('gold', 'myhostname')
        helpers.stand_in_for_the_gateway(self, self.overlay)
        plugin.install()
        super().setUp()
        helpers.stand_in_for_nova_and_neutron(self)
        self.connection.init_host('gold')
        self.addCleanup(self.connection.cleanup_host, 'gold')
        self.missing = Missing()
        log = logging.getLogger(test_virt_drivers.__name__)
        log.addHandler(self.missing)
        self.addCleanup(log.removeHandler, self.missing)
        self.addCleanup(self._nothing_is_missing)

    def _nothing_is_missing(self) -> None:
        assert set(self.missing.names) <= LATER

    def test_live_migration(self) -> None:
        """Not forgiven by Nova's suite itself."""
        with pytest.raises(NotImplementedError):
            super().test_live_migration()

    def test_migrate_disk_and_power_off(self) -> None:
        """Refused, and not by NotImplementedError, which says nothing."""
        with pytest.raises(exception.InstanceFaultRollback) as caught:
            super().test_migrate_disk_and_power_off()
        assert 'it stays as it is' in str(caught.value.inner_exception)

    def test_live_migration_force_complete(self) -> None:
        """Nova's suite writes into an attribute of other drivers."""
        self.connection.active_migrations = {}
        super().test_live_migration_force_complete()

    def test_driver_is_ours_under_novas_name(self) -> None:
        assert type(self.connection) is ours.P2PDriver


class SignaturesTestCase(helpers.RunByPytest, TestCase):  # type: ignore[misc]
    """Several of Nova's callers pass arguments by position."""

    def test_signatures_are_those_of_the_base_class(self) -> None:
        compared = []
        for name, method in inspect.getmembers(
            ours.P2PDriver, inspect.isfunction
        ):
            inherited = getattr(base.ComputeDriver, name, None)
            if name.startswith('_') or inherited is None:
                continue
            mine = self._shape(method)
            assert mine == self._shape(inherited), name
            compared.append(name)
        assert {'spawn', 'destroy', 'reboot', 'get_info'} <= set(compared)

    def _shape(self, method: Any) -> list[tuple[str, Any, Any]]:
        return [
            (p.name, p.kind, p.default)
            for p in inspect.signature(method).parameters.values()
        ]

    def test_what_is_left_out_is_left_to_the_base_class(self) -> None:
        for name in LATER:
            assert getattr(ours.P2PDriver, name) is getattr(
                base.ComputeDriver, name
            ), name

    def test_every_capability_of_nova_is_answered(self) -> None:
        answered = ours.P2PDriver.capabilities
        assert set(answered) == set(base.ComputeDriver.capabilities)
        assert {name for name, yes in answered.items() if yes} == {
            'supports_evacuate',
            'supports_image_type_qcow2',
            'supports_image_type_raw',
        }


class DriverTestCase(helpers.DriverTestCase):
    """What Nova's suite does not ask."""

    def test_spawn_builds_plugs_reports_and_starts_in_this_order(
        self,
    ) -> None:
        instance = self.spawn()
        row = self.overlay.rows[instance.uuid]
        assert row.state is wire.InstanceState.RUNNING
        calls = [c for c in self.overlay.requests if c not in helpers.POLLS]
        assert calls == [
            'has_image',
            'put_image',
            'spawn',
            'plugged',
            'action start',
        ]
        [vif] = row.spec.vifs
        assert vif.network == 'office'
        assert '10.0.0.73' in vif.ips
        assert row.spec.root_mb == instance.flavor.root_gb * 1024

    def test_server_built_to_stay_off_is_stopped(self) -> None:
        instance = self.spawn(power_on=False)
        row = self.overlay.rows[instance.uuid]
        assert row.state is wire.InstanceState.STOPPED

    def test_wait_is_open_before_the_pc_plugs(self) -> None:
        self.spawn()
        assert self.waited == [[('network-vif-plugged', helpers.PORT)]]
        assert self.requests_when_waiting == ['has_image', 'put_image']

    def test_config_drive_holds_metadata_files_and_password(self) -> None:
        instance = self.spawn(config_drive=True)
        files = {
            file.path: file.content
            for file in self.overlay.rows[instance.uuid].spec.config_drive
        }
        assert b'"herp"' in files['openstack/latest/meta_data.json']
        assert 'openstack/latest/network_data.json' in files

    def test_server_without_config_drive_has_none(self) -> None:
        instance = self.spawn()
        assert self.overlay.rows[instance.uuid].spec.config_drive == ()

    def test_image_is_read_with_the_token_of_the_request(self) -> None:
        self.spawn()
        assert len(self.readers) == 2
        assert all(reader is self.context for reader in self.readers)

    def test_second_server_of_an_image_downloads_nothing(self) -> None:
        self.spawn()
        self.spawn()
        assert self.overlay.requests.count('put_image') == 1

    def test_no_room_anywhere_ends_the_build_and_leaves_nothing(self) -> None:
        with pytest.raises(
            exception.BuildAbortException, match='No valid host was found'
        ):
            self.spawn(vcpus=64)
        assert self.overlay.rows == {}

    def test_no_room_is_told_as_no_room_when_another_slice_has_it(
        self,
    ) -> None:
        huge = wire.Capacity(vcpus=64, memory_mb=4096, disk_mb=102400)
        self.overlay.pcs.append(fake_overlay.FakePc('huge', 'vast', huge))
        with pytest.raises(exception.ComputeResourcesUnavailable):
            self.spawn(vcpus=64)
        assert self.overlay.rows == {}

    def test_port_that_never_comes_up_fails_the_build_and_undoes_it(
        self,
    ) -> None:
        self.wait_times_out = True
        with pytest.raises(exception.VirtualInterfaceCreateException):
            self.spawn()
        assert self.overlay.rows == {}

    def test_port_that_never_comes_up_may_be_forgiven(self) -> None:
        self.flags(vif_plugging_is_fatal=False)
        self.wait_times_out = True
        assert self.spawn().uuid in self.overlay.rows

    def test_start_that_fails_undoes_the_build(self) -> None:
        self.overlay.fail['action start'] = errors.HypervisorFailed('no')
        with pytest.raises(exception.InstanceDeployFailure, match='no'):
            self.spawn()
        assert self.overlay.rows == {}

    def test_server_that_may_run_is_built_nowhere_else(self) -> None:
        act = fake_overlay.FakeClient.action

        def lose(*args: Any, **named: Any) -> wire.Placed:
            """Its PC falls silent when it has started the guest."""
            act(*args, **named)
            for pc in self.overlay.pcs:
                pc.reachable = False
            raise errors.Unreachable('no answer')

        self.stub_out('tests.support.fake_overlay.FakeClient.action', lose)
        with pytest.raises(
            exception.BuildAbortException,
            match=r'gold-pc. may run it, and does not say: no answer',
        ):
            self.spawn()
        (held,) = self.held
        assert held[:2] == (helpers.PORT, 'gold')

    def test_server_that_may_run_is_built_nowhere_else_if_nobody_knows(
        self,
    ) -> None:
        self.overlay.fail['action start'] = errors.Unreachable('no answer')
        self.overlay.fail['destroy'] = errors.Unavailable('etcd is silent')
        with pytest.raises(exception.BuildAbortException, match='its PC may'):
            self.spawn()
        assert len(self.held) == 1

    def test_image_that_the_gateway_refuses_ends_the_build(self) -> None:
        self.overlay.fail['put_image'] = errors.ImageRefused('backing file')
        with pytest.raises(exception.ImageUnacceptable, match='backing file'):
            self.spawn()

    def test_wish_that_we_cannot_honour_is_refused_by_name(self) -> None:
        for extra_specs, name in (
            ({'hw:cpu_policy': 'dedicated'}, 'hw:cpu_policy=dedicated'),
            ({'os:secure_boot': 'required'}, 'os:secure_boot=required'),
            ({'pci_passthrough:alias': 'gpu:1'}, 'pci_passthrough:alias'),
        ):
            with pytest.raises(exception.InvalidInput, match=name):
                self.spawn(extra_specs=extra_specs)
        with pytest.raises(
            exception.InvalidInput, match='hw_firmware_type=uefi'
        ):
            self.spawn(properties={'hw_firmware_type': 'uefi'})
        assert self.overlay.rows == {}
        assert 'put_image' not in self.overlay.requests

    def test_hints_that_cannot_be_read_are_not_passed_over(self) -> None:
        for error in (
            exception.NovaException('no such database'),
            oslo_messaging.RemoteError('CantStartEngineError', 'no database'),
        ):
            with (
                self.asked_for_hints(side_effect=error),
                pytest.raises(
                    exception.InstanceDeployFailure, match=r'no.* database'
                ),
            ):
                self.spawn()
        assert 'spawn' not in self.overlay.requests

    def test_hints_are_read_though_nova_checks_no_group(self) -> None:
        # As p2pcs-gateway has it in every nova-compute's nova.conf.
        self.flags(disable_group_policy_check_upcall=True, group='workarounds')
        hints = {'p2pcs:not_owner': ['ann']}
        with self.asked_for_hints(
            return_value=objects.RequestSpec(scheduler_hints=hints)
        ):
            instance = self.spawn()
        wished = self.overlay.wishes[instance.uuid]
        assert wished == wire.Wishes(not_owner='ann')

    def asked_for_hints(self, **how: Any) -> Any:
        return mock.patch.object(
            objects.RequestSpec, 'get_by_instance_uuid', autospec=True, **how
        )

    def test_machine_follows_the_image(self) -> None:
        instance = self.spawn(
            properties={'hw_disk_bus': 'sata', 'hw_vif_model': 'e1000'}
        )
        machine = self.overlay.rows[instance.uuid].spec.machine
        assert (machine.disk_bus, machine.vif_model) == ('sata', 'e1000')

    def test_port_that_we_have_not_bound_is_refused(self) -> None:
        with pytest.raises(exception.InvalidInput, match='not a flat'):
            self.spawn(details={})

    def test_destroy_of_what_is_out_of_reach_succeeds(self) -> None:
        instance = self.spawn()
        for pc in self.overlay.pcs:
            pc.reachable = False
        self.driver.destroy(self.context, instance, [])
        with pytest.raises(exception.InstanceNotFound):
            self.driver.get_info(instance)

    def cut_off(self) -> Any:
        """A server whose PC is out of reach, and its ports."""
        instance = self.spawn()
        for pc in self.overlay.pcs:
            pc.reachable = False
        return instance, helpers.network_info()

    def test_deletion_out_of_reach_holds_the_addresses(self) -> None:
        instance, ports = self.cut_off()
        instance.task_state = task_states.DELETING
        self.driver.destroy(self.context, instance, ports)
        (held,) = self.held
        assert held[:2] == (helpers.PORT, 'gold')
        assert held[2].startswith('gold-pc')

    def test_deletion_within_reach_holds_nothing(self) -> None:
        instance = self.spawn()
        instance.task_state = task_states.DELETING
        ports = helpers.network_info()
        self.driver.destroy(self.context, instance, ports)
        assert self.held == []

    def test_port_that_nova_keeps_keeps_its_addresses(self) -> None:
        instance, ports = self.cut_off()
        for vif in ports:
            vif['preserve_on_delete'] = True
        instance.task_state = task_states.DELETING
        self.driver.destroy(self.context, instance, ports)
        assert self.held == []

    def test_server_that_is_built_anew_keeps_its_addresses(self) -> None:
        for task_state in (
            task_states.SPAWNING,
            task_states.REBUILD_SPAWNING,
        ):
            instance, ports = self.cut_off()
            instance.task_state = task_state
            self.driver.destroy(self.context, instance, ports)
            assert self.held == []
            for pc in self.overlay.pcs:
                pc.reachable = True

    def test_nova_keeps_the_addresses_if_nobody_can_hold_them(self) -> None:
        instance, ports = self.cut_off()
        instance.task_state = task_states.DELETING
        self.stub_out('p2pcs_nova.virt.extension.hold_addresses', self.hold)
        client = mock.Mock(spec=['put'])
        client.put.side_effect = neutron_errors.ServiceUnavailable()
        with mock.patch.object(
            neutron, 'get_client', autospec=True, return_value=client
        ):
            # The one failure after which Nova does not give them up.
            with pytest.raises(exception.InstancePowerOffFailure):
                self.driver.destroy(self.context, instance, ports)
            # Told again, it is done: the port may be gone meanwhile.
            client.put.side_effect = neutron_errors.NotFound()
            self.driver.destroy(self.context, instance, ports)
        client.put.assert_called_with(
            f'/p2pcs-ports/{helpers.PORT}',
            body={'p2pcs_port': {'host': 'gold', 'held_on': mock.ANY}},
        )

    def test_server_begins_with_the_rules_of_its_ports(self) -> None:
        rule = wire.Rule(wire.Direction.INGRESS, 4, 6, 22, 22)

        def slice_ports(context: Any, host: str) -> wire.SlicePorts:
            assert host == 'gold'
            uuid = self.building.uuid
            port = wire.SlicePort(
                helpers.PORT, uuid, ('10.0.0.73',), groups=('group',)
            )
            return wire.SlicePorts((port,), {'group': (rule,)})

        self.stub_out('p2pcs_nova.virt.extension.slice_ports', slice_ports)
        instance = self.spawn()
        [vif] = self.overlay.rows[instance.uuid].spec.vifs
        assert vif.rules == (rule,)
        assert vif.ips == ('10.0.0.73',)

    def test_without_neutrons_word_nothing_may_pass(self) -> None:
        instance = self.spawn()
        [vif] = self.overlay.rows[instance.uuid].spec.vifs
        assert vif.secured
        assert vif.rules == ()

    def test_unreachable_is_no_state_and_never_a_stop(self) -> None:
        instance = self.spawn()
        for state in wire.InstanceState:
            self.overlay.rows[instance.uuid].state = state
            self.overlay.rows[instance.uuid].pc.reachable = False
            found = self.driver.get_info(instance, use_cache=False)
            assert found.state == power_state.NOSTATE

    def test_silent_gateway_leaves_the_last_state_heard(self) -> None:
        instance = self.spawn()
        self.overlay.fail['instance'] = errors.Unreachable('silence')
        assert self.driver.get_info(instance, use_cache=False).state == (
            power_state.RUNNING
        )
        stranger = test_utils.get_test_instance(obj=True)
        stranger.uuid = helpers.new_uuid()
        assert self.driver.get_info(stranger).state == power_state.NOSTATE

    def test_silent_gateway_makes_the_driver_not_ready(self) -> None:
        self.overlay.fail['placements'] = errors.Unavailable('nobody')
        with pytest.raises(exception.VirtDriverNotReady, match='nobody'):
            self.driver.get_num_instances()

    def test_actions_tell_why_they_failed(self) -> None:
        instance = self.spawn()
        pc = self.overlay.rows[instance.uuid].pc
        pc.reachable = False
        for call in (
            lambda: self.driver.power_off(instance),
            lambda: self.driver.power_on(self.context, instance, []),
            lambda: self.driver.reboot(self.context, instance, [], 'HARD'),
            lambda: self.driver.pause(instance),
            lambda: self.driver.unpause(instance),
            lambda: self.driver.suspend(self.context, instance),
            lambda: self.driver.resume(self.context, instance, []),
            lambda: self.driver.get_console_output(self.context, instance),
            lambda: self.driver.get_instance_diagnostics(instance),
        ):
            with pytest.raises(exception.NovaException, match=pc.name):
                call()

    def test_suspended_is_said_of_a_server_that_nova_suspends_only(
        self,
    ) -> None:
        instance = self.spawn()
        self.driver.suspend(self.context, instance)
        row = self.overlay.rows[instance.uuid]
        assert row.state is wire.InstanceState.SUSPENDED
        for vm_state, task_state, state in (
            (vm_states.ACTIVE, None, power_state.PAUSED),
            (vm_states.ACTIVE, task_states.REBOOTING, power_state.PAUSED),
            (
                vm_states.ACTIVE,
                task_states.SUSPENDING,
                power_state.SUSPENDED,
            ),
            (vm_states.SUSPENDED, None, power_state.SUSPENDED),
            (
                vm_states.SUSPENDED,
                task_states.RESUMING,
                power_state.SUSPENDED,
            ),
        ):
            instance.vm_state, instance.task_state = vm_state, task_state
            for use_cache in (True, False):
                found = self.driver.get_info(instance, use_cache=use_cache)
                assert found.state == state
        self.driver.resume(self.context, instance, [])
        assert self.driver.get_info(instance).state == power_state.RUNNING

    def test_server_that_cannot_be_suspended_runs_on_for_nova_too(
        self,
    ) -> None:
        instance = self.spawn()
        self.overlay.fail['action suspend'] = errors.NoSpace('no room')
        with pytest.raises(
            exception.InstanceFaultRollback, match='no room'
        ) as raised:
            self.driver.suspend(self.context, instance)
        assert isinstance(
            raised.value.inner_exception, exception.InstanceSuspendFailure
        )

    def test_boot_of_the_host_starts_what_is_off_and_forgives_the_rest(
        self,
    ) -> None:
        instance = self.spawn()
        row = self.overlay.rows[instance.uuid]

        def boot() -> None:
            self.driver.resume_state_on_host_boot(
                self.context, instance, [], []
            )

        for state in ('stopped', 'crashed', 'suspended', 'running'):
            row.state = wire.InstanceState(state)
            boot()
            assert row.state is wire.InstanceState.RUNNING
        row.state = wire.InstanceState.STOPPED
        row.pc.reachable = False
        boot()
        row.pc.reachable = True
        row.state = wire.InstanceState.UNKNOWN
        boot()
        self.overlay.fail['action start'] = errors.Unavailable('nobody')
        boot()
        self.overlay.rows.clear()
        boot()

    def snapshot(self, instance: Any) -> tuple[Any, list[Any]]:
        """A snapshot, and what Nova is told meanwhile."""
        told: list[Any] = []
        image = glance.API().create(self.context, {'name': 'snap'})
        self.image_id = image['id']
        self.driver.snapshot(
            self.context,
            instance,
            self.image_id,
            lambda **states: told.append(states),
        )
        return self.images.images[self.image_id], told

    def test_snapshot_gives_glance_the_disk_and_tells_nova(self) -> None:
        instance = self.spawn()
        image, told = self.snapshot(instance)
        assert told == [
            {'task_state': task_states.IMAGE_PENDING_UPLOAD},
            {
                'task_state': task_states.IMAGE_UPLOADING,
                'expected_state': task_states.IMAGE_PENDING_UPLOAD,
            },
        ]
        assert image['data'].startswith('QFI')
        assert image['disk_format'] == 'qcow2'
        assert image['container_format'] == 'bare'
        assert image['properties']['owner_id'] == instance.project_id
        assert self.overlay.copies == 0

    def test_snapshot_that_fails_says_why_and_ends_the_copy(self) -> None:
        instance = self.spawn()
        self.overlay.fail['snapshot'] = errors.NoSpace('no room for it')
        with pytest.raises(exception.NovaException, match='no room for it'):
            self.snapshot(instance)
        del self.overlay.fail['snapshot']
        self.overlay.rows.clear()
        with pytest.raises(exception.InstanceNotRunning):
            self.snapshot(instance)

    def test_snapshot_of_which_glance_has_a_part_is_none(self) -> None:
        instance = self.spawn()

        def repeated(
            self: Any,
            context: Any,
            image_id: str,
            metadata: Any,
            data: Any,
            purge_props: bool,
        ) -> Any:
            # Nova's client repeats an upload with what is left to read.
            data.read(10)
            return {'size': len(data.read(2**30))}

        self.stub_out('nova.tests.fixtures.GlanceFixture.update', repeated)
        with pytest.raises(exception.ImageUnacceptable, match='Glance took'):
            self.snapshot(instance)
        assert self.overlay.copies == 0

    def test_stop_gives_the_guest_its_time(self) -> None:
        instance = self.spawn()
        with mock.patch.object(
            fake_overlay.FakeClient, 'action', autospec=True
        ) as action:
            action.return_value = self.overlay.client().instance(
                'gold', instance.uuid
            )
            self.driver.power_off(instance, 60, 10)
        assert action.call_args.args[-1] == wire.ActionRequest(
            wire.Action.STOP, 60.0
        )

    def test_inventory_is_that_of_the_slice(self) -> None:
        tree = provider_tree.ProviderTree()
        tree.new_root('gold', helpers.NODE)
        self.driver.update_provider_tree(tree, 'gold')
        inventory = tree.data('gold').inventory
        assert inventory['VCPU']['total'] == 8
        assert inventory['VCPU']['max_unit'] == 4

    def test_node_id_is_made_from_the_slice(self) -> None:
        assert self.written == [node_id('gold')]

    def test_host_that_is_no_slice_is_left_alone(self) -> None:
        self.written.clear()
        foreign = objects.ComputeNode(uuid=helpers.PORT, host='compute1')
        with (
            mock.patch.object(
                objects.ComputeNodeList,
                'get_all_by_host',
                autospec=True,
                return_value=[foreign],
            ),
            pytest.raises(exception.InvalidConfiguration, match='another'),
        ):
            self.driver.init_host('compute1')
        assert self.written == []

    def test_file_with_another_id_ends_the_start(self) -> None:
        self.written.clear()
        self.stub_out(
            'nova.virt.node.read_local_node_uuid', lambda: helpers.PORT
        )
        with pytest.raises(exception.InvalidConfiguration, match='compute_id'):
            self.driver.init_host('gold')
        assert self.written == []

    def test_slice_that_is_not_in_the_policy_ends_the_start(self) -> None:
        with pytest.raises(exception.InvalidConfiguration, match='iron'):
            self.driver.init_host('iron')

    def test_start_without_a_daemon_is_not_ready(self) -> None:
        self.flags(start_timeout_s=0.0, group='p2pcs')
        self.overlay.fail['slice'] = errors.Unavailable('nobody')
        driver = ours.P2PDriver(self.virtapi)
        driver.init_host('gold')
        self.addCleanup(driver.cleanup_host, 'gold')
        with pytest.raises(exception.VirtDriverNotReady):
            driver.get_available_nodes()
        with pytest.raises(exception.VirtDriverNotReady):
            driver.get_available_resource('gold')
        assert driver.get_nodenames_by_uuid() == {helpers.NODE: 'gold'}

    def test_neutron_without_our_extension_fails_the_build(self) -> None:
        self.stub_out('p2pcs_nova.virt.extension.report_plugged', self.report)
        client = mock.Mock(spec=['put'])
        client.put.side_effect = neutron_errors.NotFound()
        with (
            mock.patch.object(
                neutron, 'get_client', autospec=True, return_value=client
            ),
            pytest.raises(exception.VirtualInterfaceCreateException),
        ):
            self.spawn()
        client.put.assert_called_once_with(
            f'/p2pcs-ports/{helpers.PORT}',
            body={'p2pcs_port': {'host': 'gold', 'plugged': True}},
        )
        assert self.overlay.rows == {}
