# SPDX-License-Identifier: Apache-2.0
"""Placeholders: ports that hold the addresses of deleted servers.

A server may be deleted while its PC is out of reach, and runs on there.
Nova then deletes its port; nobody else must get its addresses before the
PC has destroyed it.  So they are moved to a placeholder first, by giving
their rows another port: an address is never free in between.  The port is
left without any, and Nova may delete it whenever it comes to it.

A placeholder belongs to no project: no quota counts it, and no user can
delete it.
"""

from __future__ import annotations

from typing import Any

from neutron.db import models_v2
from neutron_lib.db import api as db_api
from neutron_lib.plugins import utils

OWNER = 'p2pcs:held'
"""The placeholders' ``device_owner``."""
NAME_LENGTH = 255


def hold(core: Any, admin: Any, port: Any, host: str, peer_name: str) -> None:
    """Move a port's addresses to a placeholder; again does nothing.

    :param host: the slice, kept as the placeholder's description
    :param peer_name: the PC that is waited for: for people
    """
    if not port['fixed_ips']:
        return
    instance = port['device_id']
    placeholder = utils.create_port(
        core,
        admin,
        {
            'port': {
                'tenant_id': '',
                'network_id': port['network_id'],
                'name': f'{instance} on {peer_name}'[:NAME_LENGTH],
                'description': host,
                'device_id': instance,
                'device_owner': OWNER,
                'admin_state_up': False,
                'fixed_ips': [],
                'security_groups': [],
            }
        },
    )
    try:
        _move_addresses(admin, port['id'], placeholder['id'])
    except Exception:
        core.delete_port(admin, placeholder['id'])
        raise


def _move_addresses(context: Any, source: str, target: str) -> None:
    with db_api.CONTEXT_WRITER.using(context):
        context.session.query(models_v2.IPAllocation).filter_by(
            port_id=source
        ).update({'port_id': target})


def placeholders(core: Any, admin: Any, host: str) -> list[Any]:
    """Those of a slice."""
    filters = {'device_owner': [OWNER], 'description': [host]}
    found = core.get_ports(admin, filters=filters)
    return [port for port in found if is_placeholder(port)]


def is_placeholder(port: Any) -> bool:
    """Whether it is one of ours: users may call their ports so, too."""
    return port['device_owner'] == OWNER and not port['project_id']
