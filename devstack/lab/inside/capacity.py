# SPDX-License-Identifier: Apache-2.0
"""Wait until Nova can place servers on the slices.

Run as ``capacity PASSWORDS SLICE...``. A nova-compute reports what its
slice has every ten seconds: a PC that came a moment too late is known
after that. Nova's scheduler maps a new host to its cell every few seconds;
the list of hypervisors has only those that are mapped.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterable

from openstack.connection import Connection

from devstack.lab.errors import LabError
from devstack.lab.inside.cloud import connect
from devstack.lab.waiting import wait_until

TIMEOUT_S = 60.0


def without_capacity(cloud: Connection, slices: Iterable[str]) -> list[str]:
    """The slices that are not mapped, or have no processors in Placement."""
    placement = cloud.placement
    mapped = {item.name for item in cloud.compute.hypervisors()}
    providers = {item.name: item for item in placement.resource_providers()}
    return [
        name
        for name in slices
        if name not in mapped
        or name not in providers
        or not any(
            item.resource_class == 'VCPU' and item.total > item.reserved
            for item in placement.resource_provider_inventories(
                providers[name]
            )
        )
    ]


def main(passwords: pathlib.Path, slices: list[str]) -> None:
    """Wait for all of them.

    :raises SystemExit: some have none in time; they are named
    """
    words = json.loads(passwords.read_text())
    admin = connect('admin', words['admin'], 'admin')
    missing = slices

    def complete() -> bool:
        nonlocal missing
        missing = without_capacity(admin, slices)
        return not missing

    try:
        wait_until(complete, 'capacity in Placement', TIMEOUT_S)
    except LabError as error:
        sys.exit(f'{error}: {", ".join(missing)}')


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
