# SPDX-License-Identifier: Apache-2.0
"""The ``p2pcs`` API extension, as Neutron wants extensions described.

``PUT /v2.0/p2pcs-ports/<port>`` with
``{"p2pcs_port": {"host": SLICE, "plugged": true|false}}``: the word of a
PC.  With ``{"host": SLICE, "held_on": PC}`` instead: the port is about to
be deleted, and its addresses go to a placeholder, which
``DELETE /v2.0/p2pcs-ports/<placeholder>`` takes away.

``GET /v2.0/p2pcs-slices/<slice>``: its ports and what may pass at them,
its placeholders; see :class:`p2pcs_nova.wire.SlicePorts`.
"""

from __future__ import annotations

from typing import Any

NAME = 'P2PCS ports'
ALIAS = 'p2pcs'
DESCRIPTION = 'The words of PCs on ports, and what may pass at these'
UPDATED_TIMESTAMP = '2026-11-26T00:00:00-00:00'
RESOURCE_NAME = 'p2pcs_port'
COLLECTION_NAME = 'p2pcs_ports'
SLICE = 'p2pcs_slice'
SLICES = 'p2pcs_slices'
IS_SHIM_EXTENSION = False
IS_STANDARD_ATTR_EXTENSION = False
REQUIRED_EXTENSIONS = ['binding']
OPTIONAL_EXTENSIONS: list[str] = []
SUB_RESOURCE_ATTRIBUTE_MAP: dict[str, Any] = {}
ACTION_MAP: dict[str, Any] = {}
ACTION_STATUS: dict[str, Any] = {}
HOST_NAME_LENGTH = 255
"""As in Neutron's table of port bindings."""

_SHOWN: dict[str, Any] = {
    'allow_post': False,
    'allow_put': False,
    'is_visible': True,
}

RESOURCE_ATTRIBUTE_MAP: dict[str, dict[str, dict[str, Any]]] = {
    COLLECTION_NAME: {
        'id': {
            'allow_post': False,
            'allow_put': False,
            'validate': {'type:uuid': None},
            'is_visible': True,
            'primary_key': True,
        },
        'host': {
            'allow_post': False,
            'allow_put': True,
            'validate': {'type:not_empty_string': HOST_NAME_LENGTH},
            'is_visible': True,
        },
        'plugged': {
            'allow_post': False,
            'allow_put': True,
            'validate': {'type:boolean': None},
            'is_visible': True,
        },
        'held_on': {
            'allow_post': False,
            'allow_put': True,
            'validate': {'type:not_empty_string': HOST_NAME_LENGTH},
            'is_visible': False,
        },
    },
    SLICES: {
        'id': {**_SHOWN, 'primary_key': True},
        'ports': _SHOWN,
        'rules': _SHOWN,
        'held': _SHOWN,
    },
}
