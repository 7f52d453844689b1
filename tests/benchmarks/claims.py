# SPDX-License-Identifier: Apache-2.0
"""A day of claims on a virtual clock: the gateway's own code, PCs in memory.

First many slices of office PCs, which are switched on in the morning and
off in the evening while servers are asked for all day, eight at a time:
nothing may be promised twice, and how often claims meet is printed.  Then
one slice whose PCs stay on, and in which more is wanted than there is: how
much is in use, against what would be if all its PCs were one, so that
nothing is lost between them.  Goal: at most 12 % less (so far Sparrow,
Ousterhout et al. 2013, is behind an ideal scheduler).
"""

from __future__ import annotations

import argparse
import logging
import pathlib
import statistics
import tempfile
import time

from p2pcs_nova.policy.document import Placing
from tests.benchmarks import conditions
from tests.support import busy_slices
from tests.support.busy_slices import Outcome, Plan

MEMORY = pathlib.Path('/dev/shm')
"""The gateways' databases are here: the disk is not what is measured."""
GOAL = 0.12


def play(plan: Plan, seed: int) -> Outcome:
    """One day, its time printed."""
    print(
        f'{plan.slices} slices of {plan.pcs} PCs, '
        f'{plan.servers} servers wanted in each ({plan.load:g} of what is '
        f'offered), slices {plan.placing}, seed {seed}'
    )
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        outcome = busy_slices.play(plan, seed, pathlib.Path(folder))
    print(f'  {plan.seconds:.0f} s in {time.monotonic() - began:.0f} s')
    return outcome


def tell(outcome: Outcome) -> None:
    """What became of servers and claims."""
    print(
        f'  promised twice: {outcome.promised_twice} (looked for after '
        'everything that a PC did)'
    )
    print(
        f'  servers: {outcome.served} found a place, {outcome.refused} did '
        f'not, {outcome.deleted} were deleted'
    )
    print(
        f'  claims for each that did: '
        f'{outcome.claims.total() / max(outcome.served, 1):.2f}; met a claim '
        f'{outcome.share("held"):.1%}, met a run right '
        f'{outcome.share("full"):.1%}, no answer '
        f'{outcome.share("unreachable"):.2%}'
    )
    print(
        f'  claims for each that did not: '
        f'{outcome.in_vain / max(outcome.refused, 1):.1f}'
    )
    print(f'  builds begun again elsewhere: {outcome.epochs - outcome.served}')
    centiles = statistics.quantiles(outcome.waits, n=100)
    low, high = busy_slices.BUILD_S
    print(
        f'  wait for a server (a build takes {low:g} to {high:g} s): median '
        f'{centiles[49]:.1f} s, 99 % within {centiles[98]:.1f} s'
    )


def main() -> None:
    """Play the days, and print as they end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--slices', type=int, default=100)
    parser.add_argument('--pcs', type=int, default=100, help='in each slice')
    parser.add_argument('--servers', type=int, default=300, help='in each')
    parser.add_argument('--seed', type=int, default=1)
    chosen = parser.parse_args()
    # Which PC is out of reach, and how often, is not of interest here.
    logging.getLogger('p2pcs_nova').addHandler(logging.NullHandler())
    print(conditions.describe())
    office = Plan(
        slices=chosen.slices,
        pcs=chosen.pcs,
        servers=chosen.servers,
        load=0.7,
        office=True,
    )
    tell(play(office, chosen.seed))
    for placing in Placing:
        full = Plan(
            slices=1,
            pcs=chosen.pcs,
            servers=4000,
            load=1.1,
            placing=placing,
        )
        outcome = play(full, chosen.seed)
        tell(outcome)
        print(
            f'  in use: {outcome.behind_ideal:.1%} less than if all PCs '
            f'were one; goal: {GOAL:.0%}'
        )


if __name__ == '__main__':
    main()
