# SPDX-License-Identifier: Apache-2.0
"""How long Nova's periodic power sync waits for each server's state.

Five threads ask our driver, past its cache, as nova-compute does; first
with all PCs up, then with one stopped (SIGSTOP) that the overlay still
believes alive, then with the same one when it knows better.  Goal: 50 ms.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence

from devstack.lab.layout import SLICES
from tests.benchmarks import conditions
from tests.support import lab as support
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.servers import Bench

SLICE = SLICES[0]
FLAVOR = 'm1.tiny'
SERVERS = 4
GOAL_MS = 50
ASK_TIMEOUT_S = 180.0


def ask(lab: Lab, uuids: Sequence[str]) -> list[float]:
    """The milliseconds of every call."""
    answer = json.loads(
        lab.inside(
            lab.control,
            'env',
            f'PYTHONPATH={support.ROOT}',
            str(lab.layout.cloud_venv / 'bin' / 'python'),
            '-m',
            'tests.support.power_sync',
            str(lab.layout.compute_conf()),
            str(lab.layout.slice_conf(SLICE)),
            *uuids,
            timeout_s=ASK_TIMEOUT_S,
        )
    )
    return [seconds * 1e3 for seconds in answer['seconds']]


def tell(what: str, times: Sequence[float]) -> None:
    """A line: the median, and what few calls are beyond."""
    centiles = statistics.quantiles(times, n=100)
    print(
        f'  {what}: median {centiles[49]:.1f} ms, '
        f'95 % within {centiles[94]:.1f} ms, '
        f'longest {max(times):.1f} ms, of {len(times)}'
    )


def main() -> None:
    """Measure the three situations, and print as they come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--servers', type=int, default=SERVERS)
    count: int = parser.parse_args().servers
    lab = support.attach(conditions.lab_layout())
    with Bench(lab) as bench:
        uuids = [
            bench.create(f'bench-state-{number}', FLAVOR, slice_name=SLICE)
            for number in range(count)
        ]
        for uuid in uuids:
            bench.wait(uuid)
        name = pcs.where(lab, uuids[0])
        print(f'get_info of {count} servers of slice {SLICE}, five threads')
        print(conditions.describe())
        tell('all PCs up', ask(lab, uuids))
        with pcs.stopped((pcs.pcs(lab)[name], pcs.DAEMON)):
            tell('one PC stopped, not noticed', ask(lab, uuids))
            pcs.wait_for_state(lab, name, 'failed')
            tell('one PC stopped, noticed', ask(lab, uuids))
        print(f'  goal: {GOAL_MS} ms')
        pcs.wait_for_state(lab, name, 'alive')


if __name__ == '__main__':
    main()
