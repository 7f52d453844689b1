# SPDX-License-Identifier: Apache-2.0
"""Simulated hardships of the literature, and what they cost.

    python -m tests.benchmarks.gossip.scenarios

Rapid's (Suresh et al. 2018): one peer in a hundred loses 80 % of what comes
to it; one whose link fails one way, every other 20 s. Lifeguard's (Dadgar et
al. 2018): 1 to 32 of 128 are starved of their processor, beside plain SWIM,
which has neither local health nor a time that depends on the accusers. A PC
that was away for three days. How fast the simulator is. Seeded: the same
figures each time, but for the last.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from gossip import config, events
from gossip.simulator import Peer, Simulation

PLAIN = config.NodeConfig(
    awareness_max=0,
    observers=0.0,
    suspicion_min_s=5.2,
    suspicion_max_s=5.2,
    confirmations=0,
    pause_s=1e6,
)
"""SWIM, with a time to refute as long as ours at its shortest.

It does not notice either that it was stopped itself.
"""


def grown(
    peers: int, seed: int, settings: config.NodeConfig | None = None
) -> Simulation:
    """So many peers that know each other."""
    many = Simulation(seed, config=settings)
    many.add_many(peers)
    many.run_until(many.is_whole, 120)
    many.run(5)
    many.trace.clear()
    return many


def removed(many: Simulation, but: list[Peer]) -> int:
    """How often a healthy peer held another healthy one for dead."""
    sick = {peer.id for peer in but}
    numbers = {peer.number for peer in but}
    return sum(
        seen.number not in numbers
        and isinstance(seen.event, events.PeerFailed)
        and seen.event.member.peer not in sick
        for seen in many.seen(events.PeerFailed)
    )


def ingress_loss(seed: int) -> int:
    """1 of 100 peers hears a fifth of what is sent to it, for 10 minutes."""
    many = grown(100, seed)
    many.deafen(7, 0.8)
    many.run(600)
    return removed(many, [many.peers[7]])


def flip_flop(seed: int) -> int:
    """1 of 100 peers hears nothing, 20 s in 40, for 10 minutes."""
    many = grown(100, seed)
    for _ in range(15):
        many.deafen(7, 1.0)
        many.run(20)
        many.deafen(7, 0.0)
        many.run(20)
    return removed(many, [many.peers[7]])


def starved(seed: int, count: int, settings: config.NodeConfig) -> int:
    """So many of 128 get the processor now and then, for 3 minutes."""
    many = grown(128, seed, settings)
    rng = random.Random(seed)
    sick = rng.sample(many.peers, count)
    wakes = dict.fromkeys((peer.number for peer in sick), many.now)
    for _ in range(1800):
        for number, at in wakes.items():
            if many.now >= at:
                pause = rng.uniform(0.5, 16.0)
                many.pause(number, pause)
                wakes[number] = many.now + pause + 0.05
        many.run(0.1)
    return removed(many, sick)


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


def speed(peers: int, seconds: float) -> float:
    """Peers times simulated seconds, in one second: full peers at rest."""
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
    for count in (4, 32) if options.quick else (1, 4, 8, 16, 32):
        ours = starved(seed, count, config.NodeConfig())
        plain = starved(seed, count, PLAIN)
        say(
            f'Lifeguard: {count} of 128 starved, false positives',
            '1/50 of SWIM',
            f'{ours} to {plain}',
        )
    took, spent = catching_up(seed)
    say('Away for days, knows 199 others again, s', '10', f'{took:.1f}')
    say('... KiB, in all', '', f'{spent:.0f}')
    say(
        'Simulator: full peers, seconds of peers in a second',
        'print it',
        f'{speed(100, 60):,.0f}',
    )


if __name__ == '__main__':
    main()
