# SPDX-License-Identifier: Apache-2.0
"""Ask a driver for the state of servers as Nova's power sync does.

Run as ``power_sync NOVA_CONF NOVA_CONF UUID...`` in the control plane,
with the two files of a running nova-compute: a driver that has begun to
watch its slice, asked by five threads, as in Nova.  Prints JSON: the power
states of each that were seen, and the seconds that each call took.
"""

from __future__ import annotations

import json
import sys
import time
import types
from concurrent import futures

from nova import config, objects
from nova.compute import vm_states
from nova.conductor import rpcapi
from nova.objects import base

THREADS = 5
ROUNDS = 20


def main(common: str, own: str, *uuids: str) -> None:
    """Ask for all of them, some times."""
    config.parse_args(
        ['nova-compute', '--config-file', common, '--config-file', own]
    )
    from p2pcs_nova.virt.driver import P2PDriver

    # As nova-compute, which has no database, reads what Nova knows.
    objects.register_all()
    base.NovaObject.indirection_api = rpcapi.ConductorAPI()
    driver = P2PDriver(None)
    driver.init_host(config.CONF.host)
    states: dict[str, set[int]] = {uuid: set() for uuid in uuids}
    seconds = []

    def ask(uuid: str) -> None:
        instance = types.SimpleNamespace(
            uuid=uuid, vm_state=vm_states.ACTIVE, task_state=None
        )
        begin = time.monotonic()
        states[uuid].add(driver.get_info(instance).state)
        seconds.append(time.monotonic() - begin)

    with futures.ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(ask, [*uuids] * ROUNDS))
    driver.cleanup_host(config.CONF.host)
    seen = {uuid: sorted(found) for uuid, found in states.items()}
    sys.stdout.write(json.dumps({'states': seen, 'seconds': seconds}))


if __name__ == '__main__':
    main(*sys.argv[1:])
