# SPDX-License-Identifier: Apache-2.0
"""Real agents on the loopback interface, ours and the best there are.

    python -m tests.benchmarks.gossip.cluster

They are measured one after the other in a network namespace of their own
(as root), by what they write and by what the kernel counts. Each joins the
first, a tenth of a second after the one before. The goals are printed
beside what was measured; a rival that is not installed is named.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import pathlib
import random
import selectors
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from tests.benchmarks import conditions, peer_at_rest
from tests.benchmarks.gossip import hardships, rivals

STAGGER_S = 0.1
JOIN_S = 120.0
SETTLE_S = 15.0
EVENT_S = 10.0
EVENT_GAP_S = 1.0
FORGE_S = 10.0
LOSS_S = 60.0
DEATH_S = 60.0
DEATH_GAP_S = 3.0
INSIDE = 'P2PCS_BENCH_INSIDE'


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure of one rival."""

    what: str
    goal: str
    value: str


class Agent:
    """One process, and when it has said what."""

    def __init__(self, rival: rivals.Rival, number: int) -> None:
        self.number = number
        self.name = f'a{number}'
        self.rival = rival
        self.said: dict[rivals.Said, float] = {}
        self.joined = 0
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            rival.command(number),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._rest = b''

    def read(self) -> bool:
        """Take what it has written; whether it still can."""
        assert self.process.stdout is not None
        some = os.read(self.process.stdout.fileno(), 1 << 16)
        now = time.monotonic()
        *lines, self._rest = (self._rest + some).split(b'\n')
        for line in lines:
            said = self.rival.read(line.decode(errors='replace'))
            if said is not None and said not in self.said:
                self.said[said] = now
                self.joined += said.kind == 'JOIN'
        return bool(some)

    def broadcast(self, what: str) -> None:
        """Have it tell everybody."""
        if self.rival.send is not None:
            self.rival.send(self.number, what)
            return
        assert self.process.stdin is not None
        self.process.stdin.write(f'EVENT {what}\n'.encode())


class Cluster:
    """Agents of one kind."""

    def __init__(self) -> None:
        self.agents: list[Agent] = []
        self.dead: set[str] = set()
        self._selector = selectors.DefaultSelector()

    @property
    def alive(self) -> list[Agent]:
        """Those that were not ended."""
        return [one for one in self.agents if one.name not in self.dead]

    def add(self, rival: rivals.Rival) -> None:
        """Start one more."""
        agent = Agent(rival, len(self.agents))
        assert agent.process.stdout is not None
        self.agents.append(agent)
        self._selector.register(
            agent.process.stdout, selectors.EVENT_READ, agent
        )

    def watch(
        self, seconds: float, is_so: Callable[[], bool] = lambda: False
    ) -> bool:
        """Read what they write, until so or so long; whether it is so."""
        end = time.monotonic() + seconds
        while not is_so():
            left = end - time.monotonic()
            if left <= 0:
                return False
            for key, _ in self._selector.select(left):
                if not key.data.read():
                    self._selector.unregister(key.fileobj)
        return True

    def times(self, said: rivals.Said) -> list[float]:
        """When those that are alive said it."""
        return sorted(one.said[said] for one in self.alive if said in one.said)

    def wait_for(self, said: rivals.Said, seconds: float) -> list[float]:
        """Wait until all have said it; when those that did, did."""
        self.watch(
            seconds, lambda: all(said in one.said for one in self.alive)
        )
        return self.times(said)

    def forget(self, said: rivals.Said) -> None:
        """Hear it anew."""
        for one in self.agents:
            one.said.pop(said, None)

    def close(self) -> None:
        """End them all."""
        for agent in self.agents:
            agent.process.kill()
        for agent in self.agents:
            agent.process.communicate()


@contextlib.contextmanager
def running(rival: rivals.Rival, peers: int) -> Iterator[Cluster]:
    """A cluster whose agents have been started."""
    cluster = Cluster()
    try:
        for _ in range(peers):
            cluster.add(rival)
            cluster.watch(STAGGER_S)
        yield cluster
    finally:
        cluster.close()


def _counts(cluster: Cluster) -> tuple[float, int, int, int]:
    """CPU seconds, wake-ups, datagrams and bytes, of all together."""
    readings = [peer_at_rest.read(one.process.pid) for one in cluster.alive]
    return (
        sum(one.cpu_s for one in readings),
        sum(sum(one.switches.values()) for one in readings),
        readings[0].datagrams,
        readings[0].octets,
    )


def _memory(cluster: Cluster) -> float:
    """MiB of PSS, on average."""
    return statistics.mean(
        peer_at_rest.parse_memory(
            pathlib.Path(f'/proc/{one.process.pid}/smaps_rollup').read_text()
        ).pss
        / 2**20
        for one in cluster.alive
    )


def measure_join(cluster: Cluster) -> list[Row]:
    """How long until all know all, and by how many bytes."""
    count = len(cluster.agents)
    last = cluster.agents[-1].began
    done = cluster.watch(
        JOIN_S, lambda: all(one.joined >= count for one in cluster.agents)
    )
    seconds = time.monotonic() - last
    octets = _counts(cluster)[3] / 2
    return [
        Row(
            'join: all know all, after the last start, s',
            '0.7',
            f'{seconds:.2f}' if done else 'never',
        ),
        Row(
            'join: KiB an agent (IP, UDP and TCP)',
            '24 at 100',
            f'{octets / count / 1024:.1f}',
        ),
    ]


def measure_rest(cluster: Cluster, seconds: float) -> list[Row]:
    """What an agent costs while nothing happens."""
    cluster.watch(SETTLE_S)
    before, began = _counts(cluster), time.monotonic()
    cluster.watch(seconds)
    after, took = _counts(cluster), time.monotonic() - began
    cpu, wakes, _, octets = (
        (b - a) / len(cluster.alive) / took
        for a, b in zip(before, after, strict=True)
    )
    return [
        Row('rest: CPU s a minute', '0.4 x serf', f'{cpu * 60:.4f}'),
        Row('rest: wake-ups a second', '4.5', f'{wakes:.1f}'),
        Row('rest: bytes a second (IP, sent)', '180', f'{octets / 2:.0f}'),
        Row('rest: PSS, MiB', '', f'{_memory(cluster):.1f}'),
    ]


def measure_events(
    cluster: Cluster, count: int, rng: random.Random, label: str = 'event'
) -> list[Row]:
    """How soon all have heard, and what it costs beyond rest."""
    half, all_, missed = [], [], 0
    before, began = _counts(cluster), time.monotonic()
    cluster.watch(count * EVENT_GAP_S)
    at_rest = (_counts(cluster)[2] - before[2]) / (time.monotonic() - began)
    before, began = _counts(cluster), time.monotonic()
    for number in range(count):
        what = f'{label}{number}'
        told = time.monotonic()
        rng.choice(cluster.alive).broadcast(what)
        times = cluster.wait_for(rivals.Said('EVENT', what), EVENT_S)
        missed += len(cluster.alive) - len(times)
        if times:
            half.append(times[len(times) // 2] - told)
            all_.append(times[-1] - told)
        cluster.watch(EVENT_GAP_S)
    spent = _counts(cluster)[2] - before[2]
    spent -= int(at_rest * (time.monotonic() - began))
    each = spent / 2 / count / len(cluster.alive)
    return [
        Row('event: half / all have it, s', '/ 0.10', _two(half, all_)),
        Row('event: datagrams an agent', '3', f'{each:.1f}'),
        Row(f'event: missed, of {count}', '0', str(missed)),
    ]


def measure_deaths(
    cluster: Cluster, count: int, rng: random.Random, kill: signal.Signals
) -> list[Row]:
    """How soon the others know, and whom they name wrongly."""
    half, all_, unheard = [], [], 0
    for _ in range(count):
        victim = rng.choice(cluster.alive[1:])
        cluster.dead.add(victim.name)
        cluster.forget(rivals.Said('FAIL', victim.name))
        died = time.monotonic()
        victim.process.send_signal(kill)
        times = cluster.wait_for(rivals.Said('FAIL', victim.name), DEATH_S)
        unheard += len(cluster.alive) - len(times)
        if times:
            half.append(times[len(times) // 2] - died)
            all_.append(times[-1] - died)
        cluster.watch(DEATH_GAP_S)
    silent = kill is signal.SIGSTOP
    name = 'silent' if silent else 'crash'
    return [
        Row(
            f'{name}, {count} times: half / all know, s',
            '7.2 /' if silent else '1.5 / 2.5',
            _two(half, all_),
        ),
        Row(f'{name}: 95 % of halves within, s', '', f'{_p95(half):.1f}'),
        Row(f'{name}: never heard, of {count}', '0', str(unheard)),
    ]


def measure_hardships(
    cluster: Cluster, options: argparse.Namespace, rng: random.Random
) -> list[Row]:
    """Stops, loss, and refusals that are forged or do not come."""
    rows = []
    for seconds, goal in ((6.0, '0'), (12.0, '')):
        before = _falsely_dead(cluster)
        few = rng.sample(cluster.alive[1:], 5)
        for one in few:
            one.process.send_signal(signal.SIGSTOP)
        cluster.watch(seconds)
        for one in few:
            one.process.send_signal(signal.SIGCONT)
        cluster.watch(SETTLE_S)
        what = f'5 stopped for {seconds:.0f} s: held for dead'
        rows.append(Row(what, goal, str(_falsely_dead(cluster) - before)))
    believed = {
        said.what
        for one in cluster.agents
        for said in one.said
        if said.kind == 'FAIL'
    }
    victim = next(one for one in cluster.alive[1:] if one.name not in believed)
    before = _falsely_dead(cluster)
    others = [one.number for one in cluster.alive if one is not victim]
    for _ in range(10):
        hardships.forge_refusals(victim.number, others, FORGE_S / 10)
        cluster.watch(FORGE_S / 10)
    false = str(_falsely_dead(cluster) - before)
    rows.append(Row('forged refusals: held for dead', '0', false))
    with hardships.unrefused():
        crash = measure_deaths(cluster, options.silent, rng, signal.SIGKILL)
    name = 'crash, refusals filtered: half / all know, s'
    rows.append(Row(name, 'as silent', crash[0].value))
    with hardships.losing(20):
        before = _falsely_dead(cluster)
        cluster.watch(LOSS_S)
        heard = measure_events(cluster, options.events, rng, 'lossy')
        false = str(_falsely_dead(cluster) - before)
        rows.append(Row('20 % loss: held for dead', '0', false))
        rows.append(Row('20 % loss: event, half / all, s', '', heard[0].value))
        missed = f'20 % loss: event missed, of {options.events}'
        rows.append(Row(missed, '0', heard[2].value))
    cluster.watch(SETTLE_S)
    return rows


def _falsely_dead(cluster: Cluster) -> int:
    return sum(
        said.kind == 'FAIL' and said.what not in cluster.dead
        for one in cluster.agents
        for said in one.said
    )


def _two(half: Sequence[float], all_: Sequence[float]) -> str:
    if not half:
        return 'never'
    return f'{statistics.median(half):.3f} / {statistics.median(all_):.3f}'


def _p95(values: Sequence[float]) -> float:
    ordered = sorted(values) or [float('nan')]
    return ordered[min(round(0.95 * (len(ordered) - 1)), len(ordered) - 1)]


def measure(rival: rivals.Rival, options: argparse.Namespace) -> list[Row]:
    """Everything of one rival."""
    rng = random.Random(1)
    with running(rival, options.peers) as cluster:
        rows = measure_join(cluster)
        rows += measure_rest(cluster, options.rest)
        rows += measure_events(cluster, options.events, rng)
        rows += measure_deaths(cluster, options.deaths, rng, signal.SIGKILL)
        false = str(_falsely_dead(cluster))
        if options.hard:
            rows += measure_hardships(cluster, options, rng)
        rows += measure_deaths(cluster, options.silent, rng, signal.SIGSTOP)
        return [*rows, Row('held for dead though alive', '0', false)]


def show(found: dict[str, list[Row]]) -> str:
    """The goals, and each rival's figures in a column."""
    names = list(found)
    first = found[names[0]]
    width = max(len(row.what) for row in first)
    columns = '  '.join(f'{name:>14}' for name in names)
    lines = [f'{"":{width}}  {"goal":>10}  {columns}']
    for number, row in enumerate(first):
        values = '  '.join(
            f'{found[name][number].value:>14}' for name in names
        )
        lines.append(f'{row.what:{width}}  {row.goal:>10}  {values}')
    return '\n'.join(lines)


def main() -> None:
    """The command."""
    here = {rival.name: rival for rival in rivals.all_here()}
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--peers', type=int, default=100)
    parser.add_argument('--rest', type=float, default=60.0, metavar='SECONDS')
    parser.add_argument('--events', type=int, default=20)
    parser.add_argument('--deaths', type=int, default=30)
    parser.add_argument('--silent', type=int, default=3)
    parser.add_argument(
        '--hard', action='store_true', help='stops, loss, refusals, too'
    )
    parser.add_argument(
        '--only', choices=here, help='one of those that are installed'
    )
    options = parser.parse_args()
    if INSIDE not in os.environ:
        os.environ[INSIDE] = '1'
        again = [sys.executable, '-m', 'tests.benchmarks.gossip.cluster']
        os.execvp('unshare', ['unshare', '-n', *again, *sys.argv[1:]])
    subprocess.run(
        ['ip', 'link', 'set', 'lo', 'up'], check=True, timeout=EVENT_S
    )
    for name in rivals.NAMES:
        if name in here:
            continue
        sys.stdout.write(f'{name} is not installed: left out\n')
    found = {}
    for name in [options.only] if options.only else here:
        sys.stdout.write(f'{name}: {options.peers} agents\n')
        sys.stdout.flush()
        found[name] = measure(here[name], options)
    sys.stdout.write(f'{show(found)}\n{conditions.describe()}\n')


if __name__ == '__main__':
    main()
