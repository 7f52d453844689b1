# SPDX-License-Identifier: Apache-2.0
"""What a starting nova-compute needs before it serves a slice."""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any

import nova.conf
from nova import context as nova_context
from nova import exception, objects
from nova.virt import node
from oslo_log import log

from p2pcs_nova import errors
from p2pcs_nova.bootclock import boottime
from p2pcs_nova.hosts.node import node_id
from p2pcs_nova.virt import tenure

LOG = log.getLogger(__name__)

CONF = nova.conf.CONF
RETRY_S = 1.0
"""Between two attempts to reach the daemon."""


def take_term(slice_name: str) -> tenure.Tenure | None:
    """The term by which this process acts, watched; None: by none.

    :raises InvalidConfiguration: Nova's; there is none of this slice
    """
    if not CONF.p2pcs.term_file:
        return None
    try:
        term = tenure.Tenure(
            pathlib.Path(CONF.p2pcs.term_file), slice_name, boottime
        )
    except tenure.NoTerm as error:
        raise exception.InvalidConfiguration(str(error)) from None
    term.start()
    return term


def write_node_id(slice_name: str, host: str) -> None:
    """Give the node an id that another gateway would give it too.

    Nova's own check of the host is that an id is there, so a host that is
    no slice is to be noticed before one is written.

    :raises InvalidConfiguration: Nova's; it knows the host by another node,
        or a file tells another id
    """
    own = node_id(slice_name)
    for one in _nodes_of(host):
        if one.uuid != own:
            raise exception.InvalidConfiguration(
                f'slice {slice_name}: host {host} is another nova-compute: '
                f'its node is {one.uuid}, and ours would be {own}; give the '
                'slice another name in the policy, or delete that compute '
                'service in Nova if it is no more'
            )
    known = node.read_local_node_uuid()
    if known is None:
        node.write_local_node_uuid(own)
    elif known != own:
        raise exception.InvalidConfiguration(
            f'slice {slice_name}: its node is {own}, and the file '
            f'{node.COMPUTE_ID_FILE} beside its configuration or in its '
            f'state_path says {known}: take it away'
        )


def _nodes_of(host: str) -> list[Any]:
    """The compute nodes that Nova has of a host."""
    context = nova_context.get_admin_context()
    try:
        return list(objects.ComputeNodeList.get_all_by_host(context, host))
    except exception.ComputeHostNotFound:
        return []


def wait_for_daemon(look: Callable[[], None], slice_name: str) -> None:
    """Look until the daemon answers, at most ``start_timeout_s`` seconds.

    After them the driver is not ready, which Nova's periodic tasks
    forgive: better than a nova-compute that dies because another service
    starts more slowly.

    :raises InvalidConfiguration: Nova's; the policy has no such slice
    """
    deadline = time.monotonic() + CONF.p2pcs.start_timeout_s
    pause = threading.Event()
    while True:
        try:
            look()
        except errors.NotFound as error:
            raise exception.InvalidConfiguration(
                f'slice {slice_name}: {error.message}'
            ) from error
        except errors.P2PcsError as error:
            if time.monotonic() >= deadline:
                LOG.error('Starting without the daemon: %s', error)
                return
            LOG.warning('Waiting for the daemon: %s', error)
            pause.wait(RETRY_S)
        else:
            return
