# SPDX-License-Identifier: Apache-2.0
"""Neutron service plug-in: what compute drivers say and ask of ports.

The word "plugged" completes the provisioning block that the mechanism
driver added; the port goes ACTIVE and Neutron sends Nova
``network-vif-plugged``.  A port that is ACTIVE already sends no event:
report it unplugged first, then plugged again.

What may pass at a slice's ports is asked for, again and again: neither
Neutron's RPC server nor RabbitMQ is needed, and no change is missed.
"""

from __future__ import annotations

from typing import Any

import msgspec
from neutron.api import extensions as api_extensions
from neutron.db import provisioning_blocks
from neutron_lib import constants, exceptions
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import resources
from neutron_lib.plugins import directory
from neutron_lib.services import base

from p2pcs_nova.network import definition, effective, extensions, holding


class P2PcsPlugin(base.ServicePluginBase):  # type: ignore[misc]
    """Serves ``/v2.0/p2pcs-ports`` and ``/v2.0/p2pcs-slices``."""

    supported_extension_aliases = (definition.ALIAS,)

    def __init__(self) -> None:
        super().__init__()
        api_extensions.append_api_extensions_path(list(extensions.__path__))

    @classmethod
    def get_plugin_type(cls) -> str:
        """The key under which Neutron's directory knows us."""
        return definition.ALIAS

    def get_plugin_description(self) -> str:
        """For people."""
        return definition.DESCRIPTION

    def get_p2pcs_port(
        self, context: Any, port_id: str, fields: list[str] | None = None
    ) -> dict[str, Any]:
        """Where a port is bound and whether it is plugged.

        :raises PortNotFound: Neutron's own; 404
        """
        port = directory.get_plugin().get_port(context.elevated(), port_id)
        shown = {
            'id': port['id'],
            'host': port[portbindings.HOST_ID],
            'plugged': port['status'] == constants.PORT_STATUS_ACTIVE,
        }
        return {k: v for k, v in shown.items() if not fields or k in fields}

    def update_p2pcs_port(
        self, context: Any, port_id: str, p2pcs_port: dict[str, Any]
    ) -> dict[str, Any]:
        """Take the word of ``host`` on a port.

        :raises BadRequest: host is missing, or what it says; nothing
            changed
        :raises PortBindingNotFound: the port is bound to another host;
            404, nothing changed
        """
        word = p2pcs_port[definition.RESOURCE_NAME]
        if 'host' not in word or ('plugged' in word) == ('held_on' in word):
            raise exceptions.BadRequest(
                resource=definition.RESOURCE_NAME,
                msg='say host, and either plugged or held_on',
            )
        # The caller is a service: it owns neither port nor network.
        admin = context.elevated()
        core = directory.get_plugin()
        if not core.port_bound_to_host(admin, port_id, word['host']):
            raise exceptions.PortBindingNotFound(
                port_id=port_id, host=word['host']
            )
        if 'held_on' in word:
            port = core.get_port(admin, port_id)
            holding.hold(core, admin, port, word['host'], word['held_on'])
        elif word['plugged']:
            provisioning_blocks.provisioning_complete(
                admin,
                port_id,
                resources.PORT,
                provisioning_blocks.L2_AGENT_ENTITY,
            )
        else:
            core.update_port_status(
                admin, port_id, constants.PORT_STATUS_DOWN, word['host']
            )
        return self.get_p2pcs_port(context, port_id)

    def delete_p2pcs_port(self, context: Any, port_id: str) -> None:
        """Free the addresses that a placeholder holds.

        :raises PortNotFound: Neutron's own; it is no placeholder
        """
        admin = context.elevated()
        core = directory.get_plugin()
        port = core.get_port(admin, port_id)
        if not holding.is_placeholder(port):
            raise exceptions.PortNotFound(port_id=port_id)
        core.delete_port(admin, port_id)

    def get_p2pcs_slice(
        self, context: Any, host: str, fields: list[str] | None = None
    ) -> dict[str, Any]:
        """The ports that are bound to a host, and what may pass there.

        A host without ports has none: slices are Nova's to know.
        """
        admin = context.elevated()
        core = directory.get_plugin()
        ports = [
            port
            for port in core.get_ports(
                admin, filters={portbindings.HOST_ID: [host]}
            )
            if port['device_owner'].startswith(
                constants.DEVICE_OWNER_COMPUTE_PREFIX
            )
        ]
        found = effective.slice_ports(
            ports,
            core.security_group_info_for_ports(
                admin, effective.question(ports)
            ),
            holding.placeholders(core, admin, host),
        )
        shown = {'id': host, **msgspec.to_builtins(found)}
        return {k: v for k, v in shown.items() if not fields or k in fields}
