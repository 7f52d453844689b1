# SPDX-License-Identifier: Apache-2.0
"""``make cloud`` when everything is installed: how long it takes.

The lab goes down before each time, with all that is in it.  Goal: 90 s.
"""

from __future__ import annotations

import argparse
import time

from devstack.lab.layout import DEFAULT_PCS
from tests.benchmarks import conditions
from tests.support import lab as support

TIMES = 3
GOAL_S = 90


def main() -> None:
    """Take the lab down and bring it up, some times; it stays up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--times', type=int, default=TIMES)
    parser.add_argument(
        '--yes', action='store_true', help='the lab may go, servers and all'
    )
    arguments = parser.parse_args()
    if support.is_up(conditions.lab_layout()) and not arguments.yes:
        parser.error('the lab is up; --yes takes it down')
    took = []
    for _ in range(arguments.times):
        support.command('down')
        begin = time.monotonic()
        support.command('up')
        took.append(time.monotonic() - begin)
    print(
        f'make cloud, all installed, {arguments.times} times, '
        f'{DEFAULT_PCS} PCs'
    )
    print(conditions.describe())
    print(f'  {conditions.spread(took, "s", 1)}')
    print(f'  goal: {GOAL_S} s')


if __name__ == '__main__':
    main()
