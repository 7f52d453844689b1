# SPDX-License-Identifier: Apache-2.0
"""Measures a simulated overlay of one slice, on the command line."""

import argparse
import bisect
import dataclasses
import json
import math
import pathlib
import random
import sys
import time
from collections.abc import Callable, Sequence

from gossip.simulator import churn, measures
from gossip.simulator.simulation import NetworkConfig, Simulation

PEERS_MAX = 4096
HEADER_BYTES = 28
"""Of IPv4 and UDP."""
WARM_UP_S = 20.0
PROGRESS_S = 5.0


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line has asked for."""

    peers: int
    cycles: int
    seed: int
    loss: float
    churn: str
    measure: measures.Measure


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f'not in {low}..{high}')
        return value

    parse.__name__ = 'number'
    return parse


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError('not from 0 to less than 1')
    return value


def make_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(
        prog='python -m gossip.simulator',
        description='Measure a simulated overlay of one slice: the nodes '
        'that run on real machines, sealing and signatures included, on a '
        'seeded network and a virtual clock. A cycle is a second: each peer '
        'probes one other. The run begins after a warm-up of 20 s that is '
        'not counted. Bytes are of IP datagrams that were sent.',
    )
    add = parser.add_argument
    add('--peers', type=_number(2, PEERS_MAX), default=100, metavar='N')
    add('--cycles', type=_number(1, 10**7), default=300, metavar='C')
    add('--seed', type=int, default=1, metavar='S',
        help='the same seed gives the same run')  # fmt: skip
    add('--loss', type=_share, default=0.0, metavar='P',
        help='share of datagrams that are lost')  # fmt: skip
    add('--churn', default='none', metavar='MODEL|TRACE',
        help=f'{", ".join(churn.Model)}, or a file of lines "peer start_s '
        'end_s": when each is on')  # fmt: skip
    add('--measure', default='detection',
        choices=[str(measure) for measure in measures.Measure],
        help='default: %(default)s')  # fmt: skip
    add('--json', action='store_true', help='one JSON object on stdout')
    return parser


class Run:
    """One simulation, switched on and off as the stays say."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._rng = random.Random(options.seed)  # noqa: S311
        self._stays = self._draw()
        self.peers = len({stay.number for stay in self._stays})
        self._many = Simulation(options.seed)
        self._power = measures.Power()
        self._numbers: dict[int, int] = {}
        self._ends: list[tuple[float, int]] = []

    def _draw(self) -> list[churn.Stay]:
        options = self._options
        try:
            model = churn.Model(options.churn)
        except ValueError:
            path = pathlib.Path(options.churn)
            return churn.read_trace(path, options.peers, self._rng)
        return churn.draw(model, options.peers, options.cycles, self._rng)

    def run(self) -> dict[str, float | None]:
        """Run it, and tell of its progress on standard error."""
        many = self._many
        self._switch(0.0)
        many.run(WARM_UP_S)
        many.network = NetworkConfig(loss=self._options.loss)
        many.trace.clear()
        sent, datagrams = many.bytes, many.datagrams
        trial = self._make_trial()
        began = told = time.monotonic()
        for second in range(1, self._options.cycles + 1):
            many.run(WARM_UP_S + second - many.now)
            self._switch(second)
            trial.on_second()
            if time.monotonic() > told + PROGRESS_S:
                told = time.monotonic()
                self._tell(second, told - began)
        seconds = time.monotonic() - began
        sent = many.bytes - sent + HEADER_BYTES * (many.datagrams - datagrams)
        cycles = self._power.up_s(many.now)
        return {
            'peers': self.peers,
            'cycles': self._options.cycles,
            'seconds': round(seconds, 3),
            'node_cycles_per_second': cycles / seconds,
            'bytes_per_peer_second': sent / max(cycles, 1.0),
            **trial.result(),
            'whole_at_end': many.is_whole(),
        }

    def _make_trial(self) -> measures.Trial:
        many, rng = self._many, self._rng
        match self._options.measure:
            case measures.Measure.DETECTION:
                kills = self._options.churn == churn.Model.NONE
                return measures.Detection(many, self._power, rng, kills)
            case measures.Measure.RECORDS:
                return measures.Records(many, rng)
            case measures.Measure.DISSEMINATION:
                return measures.Dissemination(many, self._power, rng)

    def _switch(self, until: float) -> None:
        """Switch machines on and off, up to this second of the run.

        In order, so that who begins to tell something now lives for a
        second more.
        """
        while True:
            end = self._ends[0][0] if self._ends else math.inf
            start = self._stays[0].start if self._stays else math.inf
            if min(end, start) > until:
                return
            if end <= start:
                self._switch_off(self._ends.pop(0)[1])
                continue
            stay = self._stays.pop(0)
            number = self._switch_on(stay.number)
            if stay.end < self._options.cycles:
                bisect.insort(self._ends, (stay.end, number))

    def _switch_off(self, number: int) -> None:
        self._many.kill(number)
        self._power.off(self._many.peers[number].id, self._many.now)

    def _switch_on(self, machine: int) -> int:
        many = self._many
        seeds = measures.draw_seeds(many, self._rng)
        number = self._numbers.get(machine)
        if number is None:
            number = many.add(seeds).number
            self._numbers[machine] = number
        else:
            many.restart(number, seeds)
        self._power.on(many.peers[number].id, max(many.now, WARM_UP_S))
        return number

    def _tell(self, second: int, took: float) -> None:
        cycles = self._options.cycles
        left = took / second * (cycles - second)
        sys.stderr.write(
            f'{second} of {cycles} cycles, about {left:.0f} s left\n'
        )


def show(result: dict[str, float | None]) -> str:
    """A table for people."""
    width = max(map(len, result))
    lines = []
    for name, value in result.items():
        if value is None:
            text = 'nothing happened'
        elif isinstance(value, bool):
            text = 'yes' if value else 'no'
        else:
            text = f'{value:,.3f}'.rstrip('0').rstrip('.')
        lines.append(f'{name:{width}}  {text}')
    return '\n'.join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parsed = make_parser().parse_args(arguments)
    as_json = parsed.json
    options = Options(
        parsed.peers,
        parsed.cycles,
        parsed.seed,
        parsed.loss,
        parsed.churn,
        measures.Measure(parsed.measure),
    )
    try:
        result = Run(options).run()
    except churn.TraceError as error:
        sys.exit(f'gossip.simulator: {error}')
    except KeyboardInterrupt:
        sys.exit('gossip.simulator: interrupted')
    sys.stdout.write((json.dumps(result) if as_json else show(result)) + '\n')


if __name__ == '__main__':
    main()
