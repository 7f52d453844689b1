# SPDX-License-Identifier: Apache-2.0
"""How long it takes to find a place for a server, by number of PCs.

Three ways, side by side from one run, medians in milliseconds:

* ``ours_ms``: p2pcs-scheduler over slices of 100 PCs, on each of which two
  servers run already, and the claims on PCs that follow, through the real
  client and server code; each way through the network takes 1 to 5 ms;
* ``stock_ms``: nova-scheduler with one host for each PC, all of which it
  considers (``max_placement_results`` is raised to their number);
* ``stock_slices_ms``: nova-scheduler over the same slices, which leaves
  out whether any single PC has room.

All three ask the database for the instances of each host they look at, as
Nova does with ``track_instance_changes`` off or shortly after its start;
``…_told_ms`` are the same where nova-computes have told the schedulers.

Goals: 15 times the stock scheduler's speed at 1,000 PCs, 60 times at 3,000,
less than 100 ms at 10,000.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from tests.benchmarks import conditions
from tests.benchmarks.scheduling import sizes

HOSTS = (100, 1000, 3000, 10_000)
STOCK_MAX = 3000
"""The stock scheduler at 10,000 hosts takes half an hour to measure."""
ROUNDS = 15
START_TIMEOUT_S = 300.0
MODULE = 'tests.benchmarks.scheduling'


@dataclasses.dataclass(frozen=True)
class Row:
    """Medians of one size; None: not measured."""

    hosts: int
    slices: int
    ours_ms: float
    stock_ms: float | None
    stock_slices_ms: float
    ours_told_ms: float
    stock_told_ms: float | None
    stock_slices_told_ms: float
    asking_ms: float
    """Of ours: the overlay's answer."""
    select_ms: float
    """Of ours: without the claims on PCs."""


@contextlib.contextmanager
def overlay(hosts: int) -> Iterator[str]:
    """A gateway with so many PCs; the path of its socket."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [
                sys.executable,
                '-m',
                f'{MODULE}.overlay_side',
                folder,
                str(hosts),
                str(sizes.slices(hosts)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b'ready\n'
        try:
            yield str(pathlib.Path(folder, sizes.SOCKET))
        finally:
            process.stdin.close()
            process.wait(START_TIMEOUT_S)


Medians = dict[str, dict[str, float]]
"""By 'told' and 'untold', then by what was measured."""


def nova(hosts: int, rounds: int, *socket: str) -> Medians:
    """What Nova's side measures with so many hosts.

    :raises SystemExit: it failed; says why
    """
    answer = subprocess.run(
        [
            sys.executable,
            '-W',
            'ignore',
            '-m',
            f'{MODULE}.nova_side',
            str(hosts),
            str(rounds),
            *socket,
        ],
        env=os.environ | {'OS_NOVA_DISABLE_EVENTLET_PATCHING': '1'},
        capture_output=True,
    )
    if answer.returncode:
        sys.exit(answer.stderr.decode(errors='replace'))
    times = json.loads(answer.stdout.splitlines()[-1])
    return {
        how: {what: statistics.median(ms) for what, ms in found.items()}
        for how, found in times.items()
    }


def measure(hosts: int, rounds: int, stock_max: int) -> Row:
    """One size."""
    slices = sizes.slices(hosts)
    with overlay(hosts) as socket:
        found = nova(slices, rounds, socket)
    stock = nova(hosts, rounds) if hosts <= stock_max else None
    untold, told = found['untold'], found['told']
    return Row(
        hosts=hosts,
        slices=slices,
        ours_ms=untold['ours'],
        stock_ms=None if stock is None else stock['untold']['stock'],
        stock_slices_ms=untold['stock'],
        ours_told_ms=told['ours'],
        stock_told_ms=None if stock is None else stock['told']['stock'],
        stock_slices_told_ms=told['stock'],
        asking_ms=told['asking'],
        select_ms=told['select'],
    )


def tell(row: Row) -> str:
    """Lines for people."""
    untold = _side_by_side(row.ours_ms, row.stock_slices_ms, row.stock_ms)
    told = _side_by_side(
        row.ours_told_ms, row.stock_slices_told_ms, row.stock_told_ms
    )
    return (
        f'  {row.hosts} PCs in {row.slices} slices: {untold}\n'
        f'    told by nova-computes: {told}\n'
        f"    of ours: the overlay's answer {row.asking_ms:.1f} ms, "
        f'without claims on PCs {row.select_ms:.1f} ms'
    )


def _side_by_side(ours: float, slices: float, stock: float | None) -> str:
    text = f'ours {ours:.1f} ms, stock over slices {slices:.1f} ms, '
    if stock is None:
        return text + 'stock over PCs not measured'
    return text + f'over PCs {stock:.1f} ms ({stock / ours:.1f} times)'


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each size; print as they come, or JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--hosts', default=','.join(map(str, HOSTS)), help='PCs: 100,1000'
    )
    parser.add_argument('--rounds', type=int, default=ROUNDS)
    parser.add_argument(
        '--stock-max',
        type=int,
        default=STOCK_MAX,
        help='PCs up to which the stock scheduler is measured',
    )
    parser.add_argument('--json', action='store_true')
    given = parser.parse_args(arguments)
    if not given.json:
        print('select_destinations and claims, medians')
        print(conditions.describe())
    rows = []
    for hosts in map(int, given.hosts.split(',')):
        rows.append(measure(hosts, given.rounds, given.stock_max))
        if not given.json:
            print(tell(rows[-1]), flush=True)
    if given.json:
        print(
            json.dumps(
                {
                    'conditions': conditions.describe().split('\n'),
                    'rounds': given.rounds,
                    'rows': [dataclasses.asdict(row) for row in rows],
                },
                indent=1,
            )
        )


if __name__ == '__main__':
    main()
