# SPDX-License-Identifier: Apache-2.0
"""What the sudden end of nova-compute left half done, put right at its start.

Nova calls us before its own look at each server, which sets whatever is
being built to ERROR and leaves what it holds.  The rules:

1. a build whose guest runs on its PC has come to its end: ACTIVE;
2. every other build is given up: the gateway ends it, how far it may have
   come (a PC that is off, when it is back), Placement's allocation goes, and
   Nova sets ERROR.  If the gateway does not answer, both of the first wait
   for the server's deletion;
3. a deletion goes on, also that of a server which was being built;
4. a build that this host had been given, but had not begun, is given up
   too.  Its request may still be in the queue: when it comes after all, the
   allocation is made again, or another slice must serve.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable
from concurrent import futures
from typing import Any

from keystoneauth1 import exceptions as keystone_errors
from nova import exception, objects
from nova.compute import power_state, task_states, vm_states
from nova.compute import utils as compute_utils
from nova.scheduler.client import report
from nova.virt import configdrive
from nova.virt import node as local_node
from oslo_log import log
from oslo_utils import timeutils

from p2pcs_nova import errors, wire
from p2pcs_nova.client import local

LOG = log.getLogger(__name__)

AT_ONCE = 8
"""Builds that are settled at once: each may wait for a PC that is hung."""
ENDED = 'nova-compute ended while the server was being built'
LOST = 'nova-compute ended before it began to build the server'


class _Outcome(enum.Enum):
    """What became of an interrupted build."""

    RUNS = 'its guest runs'
    GONE = 'nothing is left of it on any PC that is in reach'
    UNKNOWN = 'the gateway does not answer'
    """A deletion by its owner will tell the gateway, and Placement."""


class Interrupted:
    """Settles what was interrupted; remembers what it has given up."""

    def __init__(self, client: local.LocalClient) -> None:
        self._client = client
        self._given_up: dict[str, Any] = {}
        """What Placement held for builds that were never begun."""

    def settle(
        self,
        context: Any,
        slice_name: str,
        host: str,
        instances: Iterable[Any],
    ) -> None:
        """Bring these servers, as Nova has them, to one of the ends above.

        :param instances: all of the host; those that are given up keep
            their state for Nova, which sets ERROR
        """
        builds = []
        for instance in instances:
            if instance.vm_state != vm_states.BUILDING:
                continue
            if instance.task_state == task_states.DELETING:
                _let_deletion_go_on(instance)
            else:
                builds.append(instance)
        uuids = [instance.uuid for instance in builds]
        with futures.ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = pool.map(
                functools.partial(self._find_or_end, slice_name), uuids
            )
        for instance, outcome in zip(builds, outcomes, strict=True):
            self._conclude(context, instance, outcome)
        self._give_up_unbegun(context, host)

    @staticmethod
    def _conclude(context: Any, instance: Any, outcome: _Outcome) -> None:
        """Have Nova's and Placement's records follow."""
        LOG.warning('%s: %s', ENDED, outcome.value, instance=instance)
        if outcome is _Outcome.RUNS:
            _adopt(instance)
            return
        if outcome is _Outcome.GONE:
            _free(context, instance)
        _blame(context, instance, ENDED)

    def take_back(self, context: Any, instance: Any) -> None:
        """A build is about to begin: if it was given up, claim again.

        :raises ComputeResourcesUnavailable: Nova's; Placement has given
            its share away
        """
        claim = self._given_up.pop(instance.uuid, None)
        if claim is None:
            return
        try:
            held = report.report_client_singleton().put_allocations(
                context, instance.uuid, claim
            )
        except (
            exception.AllocationUpdateFailed,
            exception.PlacementAPIConnectFailure,
        ) as error:
            raise _taken() from error
        if not held:
            raise _taken()

    def _find_or_end(self, slice_name: str, uuid: str) -> _Outcome:
        """Whether its guest runs; if not, nothing shall be left of it.

        A build that the gateway is still about is ended by its deletion.
        """
        try:
            if self._runs(slice_name, uuid):
                return _Outcome.RUNS
            self._client.destroy(slice_name, uuid)
        except errors.P2PcsError as error:
            LOG.error('Build of server %s is not settled: %s', uuid, error)
            return _Outcome.UNKNOWN
        return _Outcome.GONE

    def _runs(self, slice_name: str, uuid: str) -> bool:
        try:
            placed = self._client.instance(slice_name, uuid, fresh=True)
        except errors.NotFound:
            return False
        return placed.status.state is wire.InstanceState.RUNNING

    def _give_up_unbegun(self, context: Any, host: str) -> None:
        """Builds without a host that Placement, or the last host, says ours.

        The last host counts for one that was on its way to another slice
        and has no allocation any more: nobody else would miss it.
        """
        reports = report.report_client_singleton()
        try:
            ours = reports.get_allocations_for_resource_provider(
                context, local_node.get_local_node_uuid()
            ).allocations
            for instance in objects.InstanceList.get_by_filters(
                context,
                {'vm_state': vm_states.BUILDING, 'host': None},
                expected_attrs=[],
            ):
                if instance.uuid not in ours and instance.launched_on != host:
                    continue
                claim = reports.get_allocs_for_consumer(context, instance.uuid)
                if (instance.uuid in ours) == bool(claim['allocations']):
                    self._give_up(context, instance, claim)
        except exception.ResourceProviderAllocationRetrievalFailed as error:
            LOG.info('Placement does not know this host yet: %s', error)
        except (
            exception.ConsumerAllocationRetrievalFailed,
            keystone_errors.ClientException,
        ) as error:
            LOG.error('Placement does not say what was being built: %s', error)

    def _give_up(self, context: Any, instance: Any, claim: Any) -> None:
        instance.vm_state = vm_states.ERROR
        instance.task_state = None
        try:
            instance.save(expected_task_state=[task_states.SCHEDULING, None])
        except (
            exception.InstanceNotFound,
            exception.UnexpectedTaskStateError,
        ) as error:
            LOG.info('It is being deleted: %s', error, instance=instance)
            return
        if claim['allocations']:
            self._given_up[instance.uuid] = {
                **claim,
                'consumer_generation': None,
            }
            _free(context, instance)
        LOG.warning(LOST, instance=instance)
        _blame(context, instance, LOST)


def _let_deletion_go_on(instance: Any) -> None:
    """Nova forgets the deletion of what is being built, not of ERROR."""
    instance.vm_state = vm_states.ERROR
    try:
        instance.save(expected_task_state=[task_states.DELETING])
    except exception.InstanceNotFound:
        LOG.info('It has been deleted meanwhile', instance=instance)


def _adopt(instance: Any) -> None:
    """As Nova does after a spawn; its ports have been seen plugged."""
    before = instance.task_state
    instance.power_state = power_state.RUNNING
    instance.vm_state = vm_states.ACTIVE
    instance.task_state = None
    configdrive.update_instance(instance)
    instance.launched_at = timeutils.utcnow()
    try:
        instance.save(expected_task_state=[before])
    except exception.UnexpectedDeletingTaskStateError:
        instance.refresh()
        _let_deletion_go_on(instance)
    except exception.InstanceNotFound:
        LOG.info('It has been deleted meanwhile', instance=instance)


def _free(context: Any, instance: Any) -> None:
    """Give back what Placement holds for it."""
    try:
        report.report_client_singleton().delete_allocation_for_instance(
            context, instance.uuid, force=True
        )
    except exception.AllocationDeleteFailed as error:
        LOG.error('Its allocation stays: %s', error, instance=instance)


def _blame(context: Any, instance: Any, reason: str) -> None:
    """Tell the server's owner why it is in ERROR."""
    fault = exception.BuildAbortException(
        instance_uuid=instance.uuid, reason=reason
    )
    compute_utils.add_instance_fault_from_exc(context, instance, fault)


def _taken() -> Exception:
    fault: Exception = exception.ComputeResourcesUnavailable(
        reason=f'{LOST}, and its share is taken'
    )
    return fault
