# SPDX-License-Identifier: Apache-2.0
"""The API extension itself; file and class are named as Neutron expects."""

from __future__ import annotations

from typing import Any

from neutron.api.v2 import resource_helper
from neutron_lib.api import extensions

from p2pcs_nova.network import definition


class P2pcs(extensions.APIExtensionDescriptor):  # type: ignore[misc]
    """Routes our two collections to the service plug-in."""

    api_definition = definition

    @classmethod
    def get_resources(cls) -> list[Any]:
        """The collections, served by the plug-in of our type."""
        found: list[Any] = resource_helper.build_resource_info(
            {
                definition.COLLECTION_NAME: definition.RESOURCE_NAME,
                definition.SLICES: definition.SLICE,
            },
            definition.RESOURCE_ATTRIBUTE_MAP,
            definition.ALIAS,
            translate_name=True,
        )
        return found
