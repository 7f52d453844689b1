# SPDX-License-Identifier: Apache-2.0
"""Simulated hardships of the literature, and what they cost.

    python -m tests.benchmarks.gossip.scenarios

Rapid's (Suresh et al. 2018): one peer in a hundred loses 80 % of what comes
to it; one whose link fails one way, every other 20 s. Lifeguard's (Dadgar et
al. 2018): 1 to 32 of 128 are starved of their processor, beside plain SWIM
(:mod:`starving`), also where a fifth of the datagrams is lost. A PC that was
away for three days. A slice that loses nine of ten, and one into which nine
of ten come at once. How fast the simulator is. Seeded: the same figures each
time, but for the last two.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from gossip.simulator import Simulation
from tests.benchmarks.gossip import in_clear, starving


def grown(peers: int, seed: int) -> Simulation:
    """So many peers that know each other."""
    many = Simulation(seed)
    many.add_many(peers)
    many.run_until(many.is_whole, 120)
    many.run(5)
    many.trace.clear()
    return many


def ingress_loss(seed: int) -> int:
    """1 of 100 peers hears a fifth of what is sent to it, for 10 minutes."""
    many = grown(100, seed)
    many.deafen(7, 0.8)
    many.run(600)
    return starving.removed(many, [many.peers[7]])


def flip_flop(seed: int) -> int:
    """1 of 100 peers hears nothing, 20 s in 40, for 10 minutes."""
    many = grown(100, seed)
    for _ in range(15):
        many.deafen(7, 1.0)
        many.run(20)
        many.deafen(7, 0.0)
        many.run(20)
    return starving.removed(many, [many.peers[7]])


def catching_up(seed: int) -> tuple[float, float]:
    """Seconds and KiB until a PC that was away knows all of 200 others.

    Each has three parts of 400 bytes, and all have changed.
    """
    many = grown(200, seed)
    many.partition(range(199), [199])
    many.run(60)
    for number in range(199):
        for part in ('attributes', 'capacity', 'instances'):
            many.publish(number, part, bytes([number]) * 400)
    many.run(30)
    away = many.peers[199]
    before = many.bytes
    many.run(10)
    at_rest = (many.bytes - before) / 10
    before = many.bytes
    many.restart(199, [3])
    many.partition()

    def knows_all() -> bool:
        return all(
            len(away.node.records(peer.id)) == 3 for peer in many.peers[:199]
        )

    took = many.run_until(knows_all, 120)
    spent = many.bytes - before - at_rest * took
    return took, spent / 1024


def massacre(peers: int, seed: int) -> float:
    """Seconds until those left are whole: nine of ten lose power at once.

    So do the first, through whom all joined.
    """
    many = grown(peers, seed)
    for number in range(peers - peers // 10):
        many.kill(number)
    return many.run_until(many.is_whole, 1800)


def flash(peers: int, seed: int) -> float:
    """Seconds until all are whole: nine of ten come within 10 s."""
    rng = random.Random(seed)
    many = grown(peers // 10, seed)
    left = peers - peers // 10
    for _ in range(left):
        many.add([rng.randrange(peers // 10)])
        many.run(10 / left)
    return many.run_until(many.is_whole, 120)


def speed(peers: int, seconds: float) -> float:
    """Peers times simulated seconds, in one second, at rest."""
    many = grown(peers, 1)
    began = time.process_time()
    many.run(seconds)
    return peers * seconds / (time.process_time() - began)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument(
        '--quick', action='store_true', help='fewer starved peers'
    )
    options = parser.parse_args()
    seed: int = options.seed

    def say(what: str, goal: str, value: str) -> None:
        sys.stdout.write(f'{what:58} {goal:>12} {value:>14}\n')
        sys.stdout.flush()

    say('', 'goal', 'measured')
    say(
        'Rapid: 80 % loss at one of 100, healthy ones removed',
        '0',
        str(ingress_loss(seed)),
    )
    say(
        'Rapid: one of 100 deaf every other 20 s, healthy ones removed',
        '0',
        str(flip_flop(seed)),
    )
    counts = (4, 32) if options.quick else (1, 4, 8, 16, 32)
    for count, peers, loss in [*((one, 128, 0.0) for one in counts),
                               (16, 64, 0.2)]:  # fmt: skip
        ours, plain = (
            starving.starve(
                seed, count, plain=plain, seconds=60, peers=peers, loss=loss
            )
            for plain in (False, True)
        )
        lost = f', {loss:.0%} lost' if loss else ''
        say(
            f'Lifeguard: {count} of {peers} starved{lost}, false positives',
            '1/50 of SWIM',
            f'{ours} to {plain}',
        )
    took, spent = catching_up(seed)
    say('Away for days, knows 199 others again, s', '10', f'{took:.1f}')
    say('... KiB, in all', '', f'{spent:.0f}')
    say(
        'Survival: 90 of 100 gone at once, the first among them, s',
        'one whole',
        f'{massacre(100, seed):.0f}',
    )
    say(
        'Survival: 90 join 10 within 10 s, whole after the last, s',
        'one whole',
        f'{flash(100, seed):.1f}',
    )
    say(
        'Simulator: full peers, seconds of peers in a second',
        'print it',
        f'{speed(100, 60):,.0f}',
    )
    with in_clear.in_clear():
        clear = speed(100, 60)
    say('... not sealed; at rest nothing is signed', '50,000', f'{clear:,.0f}')


if __name__ == '__main__':
    main()
