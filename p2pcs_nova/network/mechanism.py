# SPDX-License-Identifier: Apache-2.0
"""ML2 mechanism driver: binds the ports of servers in slices.

There is no agent.  Binding says only that the port belongs to a flat
network which the PCs bridge; the port stays DOWN behind a provisioning
block until the compute driver reports, through the ``p2pcs`` API
extension, that a PC has made and filtered the tap.

The VIF type is ``tap``: Nova does not convert it by os-vif at a restart,
and it refuses ``bridge`` since Linux bridge was removed.
"""

from __future__ import annotations

import logging
from typing import Any

from neutron.db import provisioning_blocks
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import resources
from neutron_lib.plugins.ml2 import api
from oslo_config import cfg

from p2pcs_nova.names import whole_of
from p2pcs_nova.network import conf

LOG = logging.getLogger(__name__)

PHYSICAL_NETWORK_DETAIL = 'physical_network'
"""Key in ``binding:vif_details``; the compute driver reads it."""


class P2PcsMechanismDriver(api.MechanismDriver):  # type: ignore[misc]
    """Binds ``compute:*`` ports of slice hosts to flat segments."""

    def initialize(self) -> None:
        """Read the configuration once all of it is loaded."""
        conf.register(cfg.CONF)
        self._hosts = frozenset(filter(None, cfg.CONF.p2pcs.hosts))

    @property
    def connectivity(self) -> str:
        """Guests are on the office LAN: layer 2."""
        return str(portbindings.CONNECTIVITY_L2)

    def create_port_precommit(self, context: Any) -> None:
        """Hold a new port DOWN until a PC has plugged it."""
        self._hold(context)

    def update_port_precommit(self, context: Any) -> None:
        """Hold a port DOWN when it comes to another host."""
        if context.host != context.original_host:
            self._hold(context)

    def bind_port(self, context: Any) -> None:
        """Bind to the first flat segment; leave any other port alone."""
        if not self._ours(context):
            return
        for segment in context.segments_to_bind:
            physical_network = segment[api.PHYSICAL_NETWORK]
            if (
                segment[api.NETWORK_TYPE] != constants.TYPE_FLAT
                or not physical_network
            ):
                continue
            context.set_binding(
                segment[api.ID],
                portbindings.VIF_TYPE_TAP,
                {
                    portbindings.CAP_PORT_FILTER: True,
                    portbindings.VIF_DETAILS_CONNECTIVITY: (self.connectivity),
                    PHYSICAL_NETWORK_DETAIL: physical_network,
                },
            )
            return
        LOG.info(
            'Port %s on host %s is not bound: network %s has no flat segment',
            context.current['id'],
            context.host,
            context.current['network_id'],
        )

    def _ours(self, context: Any) -> bool:
        port = context.current
        owner = port['device_owner']
        vnic_type = port.get(portbindings.VNIC_TYPE, portbindings.VNIC_NORMAL)
        return (
            bool(context.host)
            and (
                not self._hosts
                or not self._hosts.isdisjoint(
                    [context.host, whole_of(context.host)]
                )
            )
            and owner.startswith(constants.DEVICE_OWNER_COMPUTE_PREFIX)
            and vnic_type == portbindings.VNIC_NORMAL
        )

    def _hold(self, context: Any) -> None:
        """Add the block that only our word "plugged" takes away.

        An ACTIVE port gets none: nobody would take it away.
        """
        port = context.current
        if (
            not self._ours(context)
            or port['status'] == constants.PORT_STATUS_ACTIVE
        ):
            return
        provisioning_blocks.add_provisioning_component(
            context.plugin_context,
            port['id'],
            resources.PORT,
            provisioning_blocks.L2_AGENT_ENTITY,
        )
