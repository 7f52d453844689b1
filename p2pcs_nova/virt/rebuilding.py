# SPDX-License-Identifier: Apache-2.0
"""A server that is built anew in its own place, and what if that fails.

Nova would destroy it first and spawn it then.  We have everything ready
before anything is destroyed, and the gateway ends what was when a PC has
granted the room.  A rebuild that fails ends in one of these ways:

=========================  ==============================================
nothing was destroyed yet  the server is as it was
its old disk is given up   ERROR, and nothing is left of it
nobody can tell            ERROR, and what there is stays for now
=========================  ==============================================

Whatever a driver raises from a rebuild, Nova takes the server's allocation
out of Placement, as that of an evacuation which did not come about; but for
the errors that say that the server was deleted meanwhile.  While PCs are off
or a slice is drained it could not be made again.  So we write down ourselves
what Nova would, and end with such an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from nova import exception
from nova.compute import task_states, vm_states
from nova.compute import utils as compute_utils
from oslo_log import log

from p2pcs_nova import errors, wire
from p2pcs_nova.client import local

LOG = log.getLogger(__name__)

EVENT = 'p2pcs_rebuild'
"""Of the server's action: its owner hears by it that the rebuild failed."""
STAYS = 'the server stays as it is'
GONE = 'its old disk is given up'
UNKNOWN = 'its old disk may be gone'


class Failed(exception.UnexpectedDeletingTaskStateError):  # type: ignore[misc]
    """A rebuild has failed, and that is written down."""


def find(
    client: local.LocalClient, slice_name: str, uuid: str
) -> wire.Counter | None:
    """The epoch of a server; None: there is nothing of it.

    :raises P2PcsError: the gateway does not say
    """
    try:
        return client.instance(slice_name, uuid).status.epoch
    except errors.NotFound:
        return None


def begin(instance: Any) -> None:
    """Have Nova's record say so, as Nova itself would."""
    instance.task_state = task_states.REBUILD_SPAWNING
    instance.save(expected_task_state=[task_states.REBUILDING])


@contextlib.contextmanager
def written_down(context: Any, instance: Any, host: str) -> Iterator[None]:
    """Have Nova's records say how a rebuild has failed.

    :raises Failed: it has; the server is as it was after an
        InstanceFaultRollback, else in ERROR
    """
    before = instance.vm_state
    try:
        yield
    except exception.InstanceFaultRollback as error:
        _end(context, instance, host, before, error.inner_exception)
    except Exception as error:
        _end(context, instance, host, vm_states.ERROR, error)


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """What fails here leaves the server as it was.

    :raises InstanceFaultRollback: Nova's
    """
    try:
        yield
    except Exception as error:
        raise exception.InstanceFaultRollback(_fault(STAYS, error)) from error


@contextlib.contextmanager
def replacing(
    look: Callable[[], wire.Counter | None],
    old: wire.Counter | None,
    undo: Callable[[], object],
) -> Iterator[None]:
    """The gateway, which is asked after a failure, knows what is left.

    :param look: tells the epoch that there is; raises P2PcsError
    :param old: the one that is to be replaced
    :param undo: leaves nothing of the server
    :raises InstanceFaultRollback: Nova's; the server is as it was
    :raises InstanceDeployFailure: Nova's; it is not, or may not be
    """
    try:
        yield
    except Exception as error:
        fate = _find_fate(look, old, error)
        fault = _fault(fate, error)
        if fate is STAYS:
            raise exception.InstanceFaultRollback(fault) from error
        if fate is GONE:
            undo()
        raise fault from error


def _find_fate(
    look: Callable[[], wire.Counter | None],
    old: wire.Counter | None,
    error: Exception,
) -> str:
    try:
        left = look()
    except errors.P2PcsError:
        return UNKNOWN
    if left != old:
        return GONE
    # A gateway that was not heard in time may still be about it, and so may
    # etcd that the gateway has not heard: the next term will know.
    not_heard = errors.Unreachable, errors.Unavailable
    return UNKNOWN if isinstance(error, not_heard) else STAYS


def _end(
    context: Any, instance: Any, host: str, state: str, fault: Exception
) -> None:
    LOG.error('Its rebuild has failed: %s', fault, instance=instance)
    instance.vm_state = state
    instance.task_state = None
    # From here it is raised too if the server is deleted meanwhile.
    instance.save(expected_task_state=list(task_states.rebuild_states))
    compute_utils.add_instance_fault_from_exc(context, instance, fault)
    with (
        contextlib.suppress(type(fault)),
        compute_utils.EventReporter(context, EVENT, host, instance.uuid),
    ):
        raise fault
    raise Failed(str(fault))


def _fault(fate: str, error: Exception) -> Exception:
    """What is told; the fate first: a fault is cut off at its end."""
    if isinstance(error, errors.P2PcsError):
        reason = error.message
    elif isinstance(error, exception.NovaException):
        reason = error.format_message()
    else:
        reason = type(error).__name__
    fault: Exception = exception.InstanceDeployFailure(
        reason=f'{fate}: {reason}'
    )
    return fault
