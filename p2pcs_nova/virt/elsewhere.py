# SPDX-License-Identifier: Apache-2.0
"""Whether another host can take what this slice could not.

Nova goes on with the hosts that its scheduler named beside the first, two at
most; if none of them takes the server, it says that all are exhausted, but
not why.  So a build goes on only while some other slice has room on its PCs,
and Placement would give it, or an ordinary host is there; else it ends here,
with the reasons of all.  Whether that host is one of Nova's two, nobody tells
a driver.
"""

from __future__ import annotations

import collections
from typing import Any

import oslo_messaging as messaging
from keystoneauth1 import exceptions as keystone_errors
from nova import exception, objects
from nova.scheduler import request_filter, utils
from nova.scheduler.client import report
from oslo_log import log

from p2pcs_nova import errors, texts, wire
from p2pcs_nova.client import local
from p2pcs_nova.hosts.node import node_id

LOG = log.getLogger(__name__)

LIMIT = 80
"""Characters for the PCs of other slices, in a fault of 255."""
NOT_GIVEN = 'not given by Placement'
"""Room that others were promised, or outside the availability zone."""


def check(
    client: local.LocalClient,
    context: Any,
    slice_name: str,
    request: wire.SpawnRequest,
    error: errors.NoPeerFits,
) -> None:
    """Let a build go on where it may succeed.

    If Placement cannot tell, room on the PCs of another slice is enough.

    :param slice_name: of the slice that could not take it
    :param error: why it could not
    :raises BuildAbortException: Nova's; no other host can take it
    """
    found = _fits(client, request)
    if found is None:
        return
    others = [one for one in found.slices if one.slice != slice_name]
    able = {node_id(one.slice) for one in others if one.peers}
    given = _given(context, request.claim.instance)
    if given is None:
        if able:
            return
    elif given & able:
        return
    elif request.wishes == wire.Wishes():
        slices = {*found.shut, *(one.slice for one in found.slices)}
        if given - set(map(node_id, slices)):
            return
    counts = collections.Counter[str]()
    for one in others:
        counts.update(one.refused)
        counts[NOT_GIVEN] += one.peers
    reason = error.message
    if counts.total():
        reason = f'{reason}; elsewhere {texts.counts_to_text(counts, LIMIT)}'
    said = exception.NoValidHost(reason=reason).format_message()
    raise exception.BuildAbortException(
        instance_uuid=request.claim.instance, reason=said
    ) from error


def _fits(
    client: local.LocalClient, request: wire.SpawnRequest
) -> wire.Fits | None:
    """What the PCs of all slices can take now; None: nobody can tell."""
    try:
        return client.fits(
            wire.FitRequest(
                need=request.claim.need,
                networks=request.claim.networks,
                wishes=request.wishes,
                group=request.spec.group,
                instances=(request.claim.instance,),
            ),
            request_id=request.request_id,
        )
    except errors.P2PcsError:
        return None


def _given(context: Any, instance: str) -> set[str] | None:
    """The providers that Placement would give now; None: nobody can tell.

    As Nova's scheduler asks, without those of its filters of requests that
    read the databases of cells, and without what ports ask for: there may be
    more of them than it would find.  What the server was created with is
    read through the conductor, which needs the API database for that.
    """
    try:
        spec = objects.RequestSpec.get_by_instance_uuid(context, instance)
        if _is_forced(spec):
            return None  # Nova goes on with no other, and tells our reason.
        request_filter.map_az_to_placement_aggregate(context, spec)
        request_filter.compute_status_filter(context, spec)
        found = report.report_client_singleton().get_allocation_candidates(
            context, utils.resources_from_request_spec(context, spec, None)
        )
    except (
        exception.NovaException,
        keystone_errors.ClientException,
        messaging.MessagingException,
    ) as error:
        LOG.warning(
            '[instance: %s] Not known what Placement would give elsewhere: %s',
            instance,
            error,
        )
        return None
    # Nothing at all if Placement is out of reach; it is in Nova's log.
    if found is None or found[1] is None:
        return None
    return set(found[1])


def _is_forced(spec: Any) -> bool:
    """Whether an admin has named the host."""
    return any(
        name in spec and getattr(spec, name)
        for name in ('force_hosts', 'force_nodes')
    )
