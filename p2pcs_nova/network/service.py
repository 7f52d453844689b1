# SPDX-License-Identifier: Apache-2.0
"""Neutron service plug-in: takes the word "plugged" from the driver.

It completes the provisioning block that the mechanism driver added; the
port goes ACTIVE and Neutron sends Nova ``network-vif-plugged``.  Neither
Neutron's RPC server nor RabbitMQ is needed for it.  A port that is ACTIVE
already sends no event: report it unplugged first, then plugged again.
"""

from __future__ import annotations

from typing import Any

from neutron.api import extensions as api_extensions
from neutron.db import provisioning_blocks
from neutron_lib import constants, exceptions
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import resources
from neutron_lib.plugins import directory
from neutron_lib.services import base

from p2pcs_nova.network import definition, extensions


class P2PcsPlugin(base.ServicePluginBase):  # type: ignore[misc]
    """Serves ``/v2.0/p2pcs-ports``."""

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
        return 'Takes the word of PCs that they have plugged a port'

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
        """Take the word that ``host`` has plugged or unplugged a port.

        :raises BadRequest: host or plugged is missing; nothing changed
        :raises PortBindingNotFound: the port is bound to another host;
            404, nothing changed
        """
        word = p2pcs_port[definition.RESOURCE_NAME]
        for name in ('host', 'plugged'):
            if name not in word:
                raise exceptions.BadRequest(
                    resource=definition.RESOURCE_NAME,
                    msg=f'{name} is missing',
                )
        # The caller is a service: it owns neither port nor network.
        admin = context.elevated()
        core = directory.get_plugin()
        if not core.port_bound_to_host(admin, port_id, word['host']):
            raise exceptions.PortBindingNotFound(
                port_id=port_id, host=word['host']
            )
        if word['plugged']:
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
