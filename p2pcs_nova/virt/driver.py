# SPDX-License-Identifier: Apache-2.0
"""Nova's compute driver for a slice of PCs.

A slice is one Nova host with one node.  Every call becomes a request to
the gateway daemon of this machine, which speaks to the PCs; nothing here
knows one.  What the base class leaves out (rescue, consoles…) stays out: its
NotImplementedError is the answer, where that leaves a server as it is.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterable
from typing import Any

import nova.conf
from nova import context as nova_context
from nova import exception, monkey_patch, objects
from nova.virt import driver, event, hardware
from nova.virt import node as local_node
from oslo_context import context as oslo_context
from oslo_log import log

from p2pcs_nova import errors, wire
from p2pcs_nova.client import local
from p2pcs_nova.virt import (
    build,
    conf,
    diagnostics,
    events,
    extension,
    faults,
    guard,
    images,
    interrupted,
    inventory,
    moves,
    provider,
    rebuilding,
    rules,
    snapshots,
    start,
    translate,
    unfinished,
    view,
    vifs,
    wishing,
)

LOG = log.getLogger(__name__)

CONF = nova.conf.CONF
conf.register(CONF)

QUICK_S = 2.0
"""Silence after which a question that must not block is given up."""
CONSOLE_BYTES = 100 * 1024
"""As much console output as Nova's own drivers return."""
MAX_STOP_S = 3600.0
"""The longest that a guest may take to shut down."""


class P2PDriver(driver.ComputeDriver):  # type: ignore[misc]
    """``compute_driver = p2pcs.P2PDriver``."""

    capabilities = driver.ComputeDriver.capabilities | {
        'supports_image_type_qcow2': True,
        'supports_image_type_raw': True,
        # That it is asked, and can refuse: see moves.
        'supports_evacuate': True,
    }

    def __init__(self, virtapi: Any) -> None:
        super().__init__(virtapi)
        if monkey_patch.is_patched():
            raise exception.InvalidConfiguration(
                'P2PDriver needs native threads: set [DEFAULT] '
                'concurrency_backend = threading'
            )
        socket = CONF.p2pcs.socket
        self._slice = CONF.p2pcs.slice or CONF.host
        term = start.take_term(self._slice)
        self._client = local.LocalClient(socket, CONF.p2pcs.timeout_s, term)
        self._quick = local.LocalClient(socket, QUICK_S, term)
        # Who names a term is told of its slice alone.
        self._asker = local.LocalClient(socket, CONF.p2pcs.timeout_s)
        self._images = images.Images(self._client, CONF.p2pcs.image_timeout_s)
        self._snapshots = snapshots.Snapshots(
            self._client, CONF.p2pcs.snapshot_timeout_s
        )
        self._view = view.View()
        self._interrupted = interrupted.Interrupted(self._client)
        self._host = CONF.host
        self._watcher: events.Watcher | None = None
        self._guard: guard.Guard | None = None

    # -- the node -----------------------------------------------------------

    def init_host(self, host: str) -> None:
        """Learn the slice, then watch it.

        :raises InvalidConfiguration: Nova's; the policy has no such slice,
            or the host is another's
        """
        self._host = host
        self._slice = CONF.p2pcs.slice or host
        start.write_node_id(self._slice, host)
        watcher = events.Watcher(
            self._client, self._slice, self._view, self._emit
        )
        start.wait_for_daemon(watcher.look, self._slice)
        watcher.start()
        self._guard = guard.Guard(
            self._client,
            self._slice,
            self._view,
            self._ports,
            lambda placeholder: extension.release_addresses(
                nova_context.get_admin_context(), placeholder
            ),
        )
        self._guard.start()
        self._watcher = watcher

    def process_instances_at_startup(
        self, context: Any, instances: Any
    ) -> Any:
        """Settle what an earlier nova-compute of this host left half done."""
        self._interrupted.settle(context, self._slice, self._host, instances)
        unfinished.give_up(instances)
        return instances

    def cleanup_host(self, host: str) -> None:
        """Stop watching: the process is about to end."""
        if self._watcher is not None:
            self._watcher.stop()
        if self._guard is not None:
            self._guard.stop()

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        """The slice.

        :raises VirtDriverNotReady: Nova's; the daemon never answered
        """
        self._summary()
        return [self._slice]

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        """The slice, by the id in ``compute_id``; needs no daemon."""
        return {local_node.get_local_node_uuid(): self._slice}

    def node_is_available(self, nodename: str) -> bool:
        """Whether this is our slice."""
        return bool(nodename == self._slice)

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """The slice's capacity, as of the last poll."""
        return inventory.summary_to_resources(self._summary(), nodename)

    def update_provider_tree(
        self, provider_tree: Any, nodename: str, allocations: Any = None
    ) -> None:
        """Inventory and traits; no I/O: Nova holds its one big lock."""
        provider.update(provider_tree, nodename, self._summary())

    def get_host_ip_addr(self) -> str:
        """The gateway's address."""
        return str(CONF.my_ip)

    # -- what runs ----------------------------------------------------------

    def list_instance_uuids(self) -> list[str]:
        """Every instance of the slice, as the gateway knows them."""
        try:
            found = self._quick.placements(self._slice)
        except errors.P2PcsError as error:
            raise faults.not_ready(error) from error
        return [placed.status.instance for placed in found.instances]

    def list_instances(self) -> list[str]:
        """The same by Nova's names, which only Nova knows."""
        context = nova_context.get_admin_context()
        return [_name(context, found) for found in self.list_instance_uuids()]

    def get_num_instances(self) -> int:
        """How many the slice has."""
        return len(self.list_instance_uuids())

    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        """An instance's power state, without waiting for any PC.

        :param use_cache: take the last poll's word, if it is fresh; else
            the gateway's, which hears of changes first
        :raises InstanceNotFound: Nova's; the gateway does not know it.
            Nothing else is raised: it would end a starting nova-compute
        """
        placed = self._view.get(instance.uuid)
        fresh = self._view.is_fresh(time.monotonic(), events.FRESH_S)
        if not (use_cache and placed and fresh):
            try:
                placed = self._quick.instance(self._slice, instance.uuid)
            except errors.NotFound:
                raise exception.InstanceNotFound(
                    instance_id=instance.uuid
                ) from None
            except errors.P2PcsError as error:
                LOG.info(
                    'State of the server is the last one heard: %s', error
                )
        if placed is None:
            state = translate.state_to_power_state(wire.InstanceState.UNKNOWN)
        else:
            state = translate.placed_to_power_state(placed)
        return hardware.InstanceInfo(
            state=translate.told_to_nova(instance, state)
        )

    # -- from birth to death ------------------------------------------------

    def prepare_for_spawn(self, instance: Any) -> None:
        """A build that was given up at the start may come after all.

        :raises ComputeResourcesUnavailable: Nova's; there is no room left
        :raises InvalidBDM: Nova's; it has volumes
        """
        context = nova_context.get_admin_context()
        moves.check_volumes(context, instance)
        self._interrupted.take_back(context, instance)

    def spawn(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: str | None,
        allocations: Any,
        network_info: Any = None,
        block_device_info: Any = None,
        power_on: bool = True,
        accel_info: Any = None,
    ) -> None:
        """Build on a PC of the slice, plug, start.

        On failure nothing is left on any PC that answers.

        :raises BuildAbortException: Nova's; no PC has room, or one that
            does not answer may run it: no other is to do so
        """
        extras = build.Extras(
            injected_files,
            admin_password,
            _ports(network_info),
            block_device_info,
            accel_info,
        )
        with contextlib.ExitStack() as undo:
            try:
                build.check_gone(self._asker, context, instance)
                wished = wishing.read(context, instance)
                wishing.check(self._client, context, instance, wished)
                spec = self._make_spec(context, instance, image_meta, extras)
                undo.callback(self._undo_spawn, instance)
                self._put_up(context, instance, spec, wished, extras)
                if power_on:
                    undo.pop_all()
                    self._start_new(context, instance, network_info or ())
                else:
                    self._act(instance, wire.Action.STOP)
                    undo.pop_all()
            except errors.P2PcsError as error:
                raise faults.build_fault(error, image_meta.id) from error

    def rebuild(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: str | None,
        allocations: Any,
        bdms: Any,
        detach_block_devices: Any,
        attach_block_devices: Any,
        network_info: Any = None,
        evacuate: bool = False,
        block_device_info: Any = None,
        preserve_ephemeral: bool = False,
        accel_uuids: Any = None,
        reimage_boot_volume: bool = False,
    ) -> None:
        """Build it anew, on its PC.

        Evacuations and servers with volumes have been refused before.

        :raises UnexpectedDeletingTaskStateError: Nova's; it has failed, or
            the server is deleted meanwhile
        """
        extras = build.Extras(
            injected_files,
            admin_password,
            _ports(network_info),
            block_device_info,
            accel_uuids,
        )
        look = functools.partial(
            rebuilding.find, self._client, self._slice, instance.uuid
        )
        with rebuilding.written_down(context, instance, self._host):
            with rebuilding.untouched():
                if preserve_ephemeral:
                    raise exception.PreserveEphemeralNotSupported()
                old = look()
                wished = wishing.read(context, instance)
                spec = self._make_spec(context, instance, image_meta, extras)
                rebuilding.begin(instance)
            with rebuilding.replacing(
                look, old, lambda: self._undo_spawn(instance)
            ):
                self._put_up(context, instance, spec, wished, extras, old)
                self._act(instance, wire.Action.START)

    def destroy(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        """Destroy; with the PC out of reach it is told when it returns.

        :raises InstancePowerOffFailure: Nova's; the server may run on, and
            Nova keeps its addresses
        """
        with faults.told_as(exception.InstancePowerOffFailure):
            gone = self._client.destroy(
                self._slice, instance.uuid, request_id=_request_id()
            )
            self._view.forget(instance.uuid)
            if not gone.done:
                LOG.warning(
                    'PC %s is out of reach: it destroys the server when it '
                    'returns',
                    gone.peer_name,
                    instance=instance,
                )
                if vifs.is_deletion(instance):
                    vifs.hold_addresses(
                        context, network_info, self._host, gone.peer_name
                    )

    def cleanup(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        migrate_data: Any = None,
        destroy_vifs: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        """Nothing may be left: the same as destroy, which may be repeated."""
        self.destroy(context, instance, network_info)

    def plug_vifs(self, instance: Any, network_info: Any) -> None:
        """Nothing: a PC keeps the taps of what it runs."""

    # -- moves, all of them refused -----------------------------------------

    def migrate_disk_and_power_off(
        self,
        context: Any,
        instance: Any,
        dest: str,
        flavor: Any,
        network_info: Any,
        block_device_info: Any = None,
        timeout: float = 0,
        retry_interval: float = 0,
    ) -> None:
        """Nova has found a host for it; the server stays on its PC.

        :raises InstanceFaultRollback: Nova's
        """
        raise moves.cold(instance, flavor)

    def check_can_live_migrate_destination(
        self,
        context: Any,
        instance: Any,
        src_compute_info: Any,
        dst_compute_info: Any,
        block_migration: bool = False,
        disk_over_commit: bool = False,
    ) -> None:
        """Nova would have it come here.

        :raises HypervisorUnavailable: Nova's; it is on another slice
        :raises MigrationPreCheckError: Nova's; it is on another host
        """
        raise moves.live(src_compute_info)

    def instance_on_disk(self, instance: Any) -> bool:
        """Nova asks this at an evacuation, and never else.

        :raises InstanceFaultRollback: Nova's
        """
        raise moves.evacuation()

    # -- power --------------------------------------------------------------

    def power_off(
        self, instance: Any, timeout: float = 0, retry_interval: float = 0
    ) -> None:
        """Stop; the guest has ``timeout`` seconds to do it by itself."""
        with faults.told_as(exception.InstancePowerOffFailure):
            self._act(
                instance, wire.Action.STOP, min(float(timeout), MAX_STOP_S)
            )

    def power_on(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        accel_info: Any = None,
        share_info: Any = None,
    ) -> None:
        """Start a stopped server on the PC that holds its disk."""
        with faults.told_as(exception.InstancePowerOnFailure):
            self._act(instance, wire.Action.START)

    def reboot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        reboot_type: str,
        block_device_info: Any = None,
        bad_volumes_callback: Any = None,
        accel_info: Any = None,
        share_info: Any = None,
    ) -> None:
        """Soft: the guest shuts down by itself, in time; hard: a reset."""
        with faults.told_as(exception.InstanceRebootFailure):
            if reboot_type == 'SOFT':
                self._act(
                    instance,
                    wire.Action.REBOOT_SOFT,
                    CONF.p2pcs.soft_reboot_timeout_s,
                )
            else:
                self._act(instance, wire.Action.REBOOT_HARD)

    def pause(self, instance: Any) -> None:
        """Freeze the guest; its memory stays on the PC."""
        with faults.told_as(exception.NovaException):
            self._act(instance, wire.Action.PAUSE)

    def unpause(self, instance: Any) -> None:
        """Let it run on."""
        with faults.told_as(exception.NovaException):
            self._act(instance, wire.Action.UNPAUSE)

    def suspend(self, context: Any, instance: Any) -> None:
        """End the guest, its memory on the disk of its PC.

        It runs on if there is no room for it.
        """
        with (
            faults.as_before(),
            faults.told_as(exception.InstanceSuspendFailure),
        ):
            self._act(
                instance, wire.Action.SUSPEND, CONF.p2pcs.suspend_timeout_s
            )

    def resume(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        share_info: Any = None,
    ) -> None:
        """Let a suspended guest go on where it was."""
        with (
            faults.as_before(),
            faults.told_as(exception.InstanceResumeFailure),
        ):
            self._act(
                instance, wire.Action.RESUME, CONF.p2pcs.suspend_timeout_s
            )

    def resume_state_on_host_boot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        share_info: Any,
        block_device_info: Any = None,
    ) -> None:
        """Start what Nova believes to run.

        Raises nothing: Nova would take the server for broken, whose PC is
        perhaps only switched off for the night.
        """
        try:
            self._act(
                instance, wire.Action.START, CONF.p2pcs.suspend_timeout_s
            )
        except (errors.P2PcsError, exception.InstanceNotFound) as error:
            LOG.warning('It is not started: %s', error, instance=instance)

    # -- what it says -------------------------------------------------------

    def get_console_output(self, context: Any, instance: Any) -> str:
        """The tail of the serial console."""
        with faults.told_as(exception.ConsoleNotAvailable):
            console = self._client.console(
                self._slice,
                instance.uuid,
                CONSOLE_BYTES,
                request_id=_request_id(),
            )
        return console.output.decode('utf-8', 'replace')

    def get_diagnostics(self, instance: Any) -> dict[str, int]:
        """Counters for API versions before 2.48."""
        return translate.diagnostics_to_legacy(self._diagnose(instance))

    def get_instance_diagnostics(self, instance: Any) -> Any:
        """Counters as Nova's versioned object."""
        return diagnostics.to_object(
            self._diagnose(instance), bool(instance.config_drive)
        )

    def snapshot(
        self,
        context: Any,
        instance: Any,
        image_id: str,
        update_task_state: Any,
    ) -> None:
        """Give Glance the disk as it is now, with its image in one."""
        with faults.told_as(exception.NovaException):
            try:
                self._snapshots.take(
                    context, self._slice, instance, image_id, update_task_state
                )
            except errors.NotFound:
                raise exception.InstanceNotRunning(
                    instance_id=instance.uuid
                ) from None

    # -- how ----------------------------------------------------------------

    def _act(
        self, instance: Any, action: wire.Action, timeout_s: float = 0.0
    ) -> None:
        """Ask for an action; PCs take one that is done already as done."""
        request = wire.ActionRequest(action=action, timeout_s=timeout_s)
        try:
            placed = self._client.action(
                self._slice,
                instance.uuid,
                request,
                request_id=_request_id(),
            )
        except errors.NotFound:
            raise exception.InstanceNotFound(
                instance_id=instance.uuid
            ) from None
        self._view.put(placed)

    def _ports(self) -> wire.SlicePorts:
        """What Neutron says of our ports.

        :raises Unavailable: it does not answer
        """
        context = nova_context.get_admin_context()
        return extension.slice_ports(context, self._host)

    def _make_spec(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        extras: build.Extras,
    ) -> wire.InstanceSpec:
        spec = build.make_spec(
            self._images, context, instance, image_meta, extras
        )
        return rules.filtered(spec, self._filters(instance))

    def _put_up(
        self,
        context: Any,
        instance: Any,
        spec: wire.InstanceSpec,
        wished: wire.Wishes,
        extras: build.Extras,
        instead_of: wire.Counter | None = None,
    ) -> None:
        """Have a PC build and plug it."""
        build.plug(
            self._client,
            self._view,
            self._slice,
            self.virtapi,
            context,
            instance,
            spec,
            wished,
            extras.network_info,
            CONF.p2pcs.build_timeout_s,
            instead_of,
        )

    def _filters(self, instance: Any) -> rules.Filters:
        """What may pass at the ports of an instance."""
        return rules.port_filters(self._ports()).get(instance.uuid, ())

    def _diagnose(self, instance: Any) -> wire.Diagnostics:
        with faults.told_as(exception.NovaException):
            return self._client.diagnostics(
                self._slice, instance.uuid, request_id=_request_id()
            )

    def _start_new(
        self, context: Any, instance: Any, network_info: Iterable[Any]
    ) -> None:
        """Start what has just been built; undo it if that fails.

        :raises P2PcsError: it does not run
        :raises BuildAbortException: Nova's; it may run.  Nova would build it
            elsewhere after any other error, and give its addresses to others
        """
        try:
            self._act(instance, wire.Action.START)
        except Exception as error:
            peer_name = self._undo_spawn(instance)
            if not peer_name:
                raise
            try:
                vifs.hold_addresses(
                    context, network_info, self._host, peer_name
                )
            except errors.Unavailable as unheld:
                LOG.error(
                    'Its addresses are free, and %s may use them still: %s',
                    peer_name,
                    unheld,
                    instance=instance,
                )
            reason = f'{peer_name} may run it, and does not say: {error}'
            raise exception.BuildAbortException(
                instance_uuid=instance.uuid, reason=reason
            ) from error

    def _undo_spawn(self, instance: Any) -> str:
        """Leave nothing of a failed build; Nova calls destroy besides.

        :returns: the name of a PC that has still to do so; '' if none has
        """
        try:
            found = self._client.destroy(
                self._slice, instance.uuid, request_id=_request_id()
            )
        except errors.P2PcsError as error:
            LOG.warning(
                'The build is not undone yet: %s', error, instance=instance
            )
            found = wire.Destroyed(done=False, peer_name='its PC')
        self._view.forget(instance.uuid)
        return '' if found.done else found.peer_name

    def _summary(self) -> wire.SliceSummary:
        summary = self._view.summary()
        if summary is None:
            raise exception.VirtDriverNotReady(
                f'The daemon on {CONF.p2pcs.socket} has not yet answered '
                f'for slice {self._slice}'
            )
        return summary

    def _emit(self, instance_uuid: str, transition: int) -> None:
        self.emit_event(event.LifecycleEvent(instance_uuid, transition))


def _name(context: Any, instance_uuid: str) -> str:
    try:
        found = objects.Instance.get_by_uuid(context, instance_uuid)
    except exception.InstanceNotFound:
        return instance_uuid
    return str(found.name)


def _ports(network_info: Any) -> Any:
    # Not by its truth: Nova's list waits for Neutron when looked at.
    return [] if network_info is None else network_info


def _request_id() -> str:
    """Of the request that this thread works for; '' for none."""
    current = oslo_context.get_current()
    return (current.global_id or '') if current else ''
