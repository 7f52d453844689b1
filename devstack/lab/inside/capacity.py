# SPDX-License-Identifier: Apache-2.0
"""Wait until Nova can place servers on the slices.

Run as ``capacity PASSWORDS``. A nova-compute reports what its slice has
every ten seconds: a PC that came a moment too late is known after that.
"""

from __future__ import annotations

import json
import pathlib
import sys

from openstack.connection import Connection

from devstack.lab.inside.cloud import connect
from devstack.lab.layout import SLICES
from devstack.lab.waiting import wait_until

TIMEOUT_S = 60.0


def has_capacity(cloud: Connection) -> bool:
    """Whether every slice has processors in Placement's inventories."""
    placement = cloud.placement
    providers = {item.name: item for item in placement.resource_providers()}
    return all(
        name in providers
        and any(
            item.resource_class == 'VCPU' and item.total > item.reserved
            for item in placement.resource_provider_inventories(
                providers[name]
            )
        )
        for name in SLICES
    )


if __name__ == '__main__':
    words = json.loads(pathlib.Path(sys.argv[1]).read_text())
    admin = connect('admin', words['admin'], 'admin')
    wait_until(
        lambda: has_capacity(admin),
        'the slices have capacity in Placement',
        TIMEOUT_S,
    )
