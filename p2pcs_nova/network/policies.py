# SPDX-License-Identifier: Apache-2.0
"""Who may use the extension: services only, unless the operator differs."""

from __future__ import annotations

from neutron_lib.policy import rules
from oslo_policy import policy

_PATH = '/p2pcs-ports/{id}'
_SLICE_PATH = '/p2pcs-slices/{id}'

_RULES = [
    policy.DocumentedRuleDefault(
        name='get_p2pcs_port',
        check_str=rules.SERVICE,
        scope_types=['project'],
        description='Show whether a PC has plugged a port',
        operations=[{'method': 'GET', 'path': _PATH}],
    ),
    policy.DocumentedRuleDefault(
        name='update_p2pcs_port',
        check_str=rules.SERVICE,
        scope_types=['project'],
        description='Report that a PC has plugged or unplugged a port, or '
        'have the addresses of a port held that is about to be deleted',
        operations=[{'method': 'PUT', 'path': _PATH}],
    ),
    policy.DocumentedRuleDefault(
        name='delete_p2pcs_port',
        check_str=rules.SERVICE,
        scope_types=['project'],
        description='Free the addresses that a placeholder holds',
        operations=[{'method': 'DELETE', 'path': _PATH}],
    ),
    policy.DocumentedRuleDefault(
        name='get_p2pcs_slice',
        check_str=rules.SERVICE,
        scope_types=['project'],
        description='Show the ports of a slice and what may pass at them',
        operations=[{'method': 'GET', 'path': _SLICE_PATH}],
    ),
]


def list_rules() -> list[policy.DocumentedRuleDefault]:
    """The entry point ``neutron.policies``."""
    return _RULES
