# SPDX-License-Identifier: Apache-2.0
"""Ports: waiting for Neutron's event, and telling it what a PC does.

The order matters.  The wait is opened first, then the PC plugs, then we
tell Neutron, which sends Nova the event we wait for.  Told before the wait
is open, the event is lost and the server hangs until the time-out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import nova.conf
from nova import exception
from nova.compute import task_states, vm_states
from oslo_log import log

from p2pcs_nova import errors
from p2pcs_nova.virt import extension

LOG = log.getLogger(__name__)

CONF = nova.conf.CONF
EVENT = 'network-vif-plugged'


@contextlib.contextmanager
def plugging(
    virtapi: Any, instance: Any, network_info: Iterable[Any]
) -> Iterator[None]:
    """Wait, on leaving, until Neutron has seen every port plugged.

    Ports that are ACTIVE already send no event and are not waited for; what
    Nova remembers of them may be older than that: see
    :func:`report_plugged`.

    :raises VirtualInterfaceCreateException: Nova's; a port did not come up
        in ``vif_plugging_timeout`` and ``vif_plugging_is_fatal`` is set
    """
    timeout_s = CONF.vif_plugging_timeout
    expected = [
        (EVENT, vif['id'])
        for vif in network_info
        if timeout_s and vif.get('active', True) is False
    ]
    try:
        with virtapi.wait_for_instance_event(
            instance, expected, timeout=timeout_s, error_callback=_failed
        ):
            yield
    except exception.InstanceEventTimeout:
        LOG.warning(
            'No %s event in %d s for a port of the server',
            EVENT,
            timeout_s,
            instance=instance,
        )
        if CONF.vif_plugging_is_fatal:
            raise exception.VirtualInterfaceCreateException() from None


def report_plugged(
    context: Any, ports: Iterable[str], host: str, *, again: bool
) -> None:
    """Tell Neutron, through our API extension, that a PC has plugged.

    :param host: the host that the ports are bound to
    :param again: the ports were plugged before, by a guest that is gone: a
        port that never went DOWN would not tell Nova that it is ACTIVE
    :raises VirtualInterfaceCreateException: Nova's; Neutron refused, or is
        without our extension; the log says which
    """
    for port in ports:
        try:
            if again:
                extension.report_unplugged(context, port, host)
            extension.report_plugged(context, port, host)
        except errors.Unavailable as error:
            LOG.error(
                'Neutron does not take the word that port %s is plugged on '
                '%s: %s',
                port,
                host,
                error,
            )
            raise exception.VirtualInterfaceCreateException() from error


def is_rebuild(instance: Any) -> bool:
    """Whether Nova spawns a server anew, in the place of its old guest."""
    return bool(instance.task_state == task_states.REBUILD_SPAWNING)


def is_deletion(instance: Any) -> bool:
    """Whether Nova destroys a server for good, and deletes its ports.

    It destroys for other reasons too: a build that failed, a rebuild.
    """
    return bool(
        instance.task_state == task_states.DELETING
        or instance.vm_state == vm_states.SOFT_DELETED
        or instance.deleted
    )


def hold_addresses(
    context: Any, network_info: Iterable[Any], host: str, peer_name: str
) -> None:
    """Let nobody have the addresses that Nova is about to give up.

    Ports that the user made himself stay his, with their addresses.

    :param peer_name: the PC that may still use them
    :raises Unavailable: they are perhaps not held
    """
    for vif in network_info:
        if not vif.get('preserve_on_delete'):
            extension.hold_addresses(context, vif['id'], host, peer_name)


def _failed(event_name: str, instance: Any) -> None:
    LOG.error('Neutron reported that %s failed', event_name, instance=instance)
    if CONF.vif_plugging_is_fatal:
        raise exception.VirtualInterfaceCreateException()
