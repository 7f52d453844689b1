# SPDX-License-Identifier: Apache-2.0
"""Ports: waiting for Neutron's event, and telling it that a PC plugged.

The order matters.  The wait is opened first, then the PC plugs, then we
tell Neutron, which sends Nova the event we wait for.  Told before the wait
is open, the event is lost and the server hangs until the time-out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import nova.conf
from neutronclient.common import exceptions as neutron_errors
from nova import exception
from nova.network import neutron
from oslo_log import log

LOG = log.getLogger(__name__)

CONF = nova.conf.CONF
EVENT = 'network-vif-plugged'


@contextlib.contextmanager
def plugging(
    virtapi: Any, instance: Any, network_info: Iterable[Any]
) -> Iterator[None]:
    """Wait, on leaving, until Neutron has seen every port plugged.

    Ports that are ACTIVE already send no event and are not waited for.

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


def report_plugged(context: Any, ports: Iterable[str], host: str) -> None:
    """Tell Neutron, through our API extension, that a PC has plugged.

    :param host: the host that the ports are bound to
    :raises VirtualInterfaceCreateException: Nova's; Neutron refused, or is
        without our extension; the log says which
    """
    client = neutron.get_client(context, admin=True)
    for port in ports:
        body = {'p2pcs_port': {'host': host, 'plugged': True}}
        try:
            client.put(f'/p2pcs-ports/{port}', body=body)
        except (
            neutron_errors.NeutronClientException,
            exception.Forbidden,
        ) as error:
            LOG.error(
                'Neutron does not take the word that port %s is plugged on '
                '%s: %s. It needs the service plug-in p2pcs, and the user '
                "in [neutron] the role 'service'.",
                port,
                host,
                error,
            )
            raise exception.VirtualInterfaceCreateException() from error


def _failed(event_name: str, instance: Any) -> None:
    LOG.error('Neutron reported that %s failed', event_name, instance=instance)
    if CONF.vif_plugging_is_fatal:
        raise exception.VirtualInterfaceCreateException()
