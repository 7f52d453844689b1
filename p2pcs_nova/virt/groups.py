# SPDX-License-Identifier: Apache-2.0
"""A server's group, as Nova's conductor knows it.

The scheduler's hint does not reach a driver.  Nova's own late check of
groups asks the API database through the conductor, and so do we.
"""

from __future__ import annotations

from typing import Any

import nova.conf
from nova import exception, objects

from p2pcs_nova import wire

CONF = nova.conf.CONF


def group_of(context: Any, instance: Any) -> wire.ServerGroup | None:
    """The group that a server was created in; None if it is in none.

    :raises InvalidInput: Nova's; a policy that we do not know
    """
    if not CONF.p2pcs.server_groups:
        return None
    try:
        group = objects.InstanceGroup.get_by_instance_uuid(
            context, instance.uuid
        )
    except exception.InstanceGroupNotFound:
        return None
    found = to_wire(group)
    if found is None:
        raise exception.InvalidInput(
            reason=f'server group policy {group.policy} is not supported'
        )
    return found


def to_wire(group: Any) -> wire.ServerGroup | None:
    """Nova's group as gateways have it; None: of a policy they know not."""
    try:
        policy = wire.GroupPolicy(group.policy)
    except ValueError:
        return None
    return wire.ServerGroup(
        group.uuid, policy, group.rules.get('max_server_per_host', 1)
    )
