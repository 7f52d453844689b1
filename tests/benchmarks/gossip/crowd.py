# SPDX-License-Identifier: Apache-2.0
"""Thousands of real peers on real sockets, in one process.

    python -m tests.benchmarks.gossip.crowd --peers 2000 --slice 100

One event loop and one heap of timers drive them all, in slices that know
nothing of each other. Printed are the time until all in each slice know
each other, and what a peer costs at rest.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import resource
import secrets
import sys
import time

import trio

from gossip import config, crowd, events, node, runtime, throwaway
from gossip.descriptor import Address
from tests.benchmarks import conditions

LIMIT_S = 600.0
SETTLE_S = 10.0


class Slice:
    """Some peers of one overlay."""

    def __init__(self, number: int, size: int) -> None:
        self._overlay = throwaway.Overlay(random.Random(number))
        self._trust = self._overlay.make_trust()
        self._size = size
        self._known = 0
        self.failed = 0
        self.whole = trio.Event()

    def make(
        self, sockets: contextlib.ExitStack, seed: Address | None
    ) -> runtime.Runtime:
        """One more peer, which joins through the seed."""
        sock = runtime.open_socket(Address('127.0.0.1', 0))
        sockets.enter_context(sock)
        one = node.Node(
            config.NodeConfig(),
            self._overlay.make_identity(),
            self._trust,
            self._overlay.ring,
            address=Address(*sock.getsockname()),
            boot=1,
            boot_id=secrets.token_bytes(8),
            rng=random.Random(secrets.randbits(64)),
            now=runtime.boottime(),
            now_wall=throwaway.WALL,
        )
        member = runtime.Runtime(
            one, sock, deliver=self._take, wall=lambda: throwaway.WALL
        )
        member.join([] if seed is None else [seed])
        return member

    def _take(self, event: events.Event) -> None:
        self.failed += isinstance(event, events.PeerFailed)
        self._known += isinstance(event, events.PeerJoined)
        if self._known >= self._size * (self._size - 1):
            self.whole.set()


async def run(peers: int, size: int, rest_s: float) -> None:
    """Start them, wait until all slices are whole, and watch them rest."""
    many = crowd.Crowd()
    slices = [Slice(number, size) for number in range(peers // size)]
    with contextlib.ExitStack() as sockets:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(many.run)
            began = time.monotonic()
            for one in slices:
                seed = None
                for _ in range(size):
                    member = one.make(sockets, seed)
                    many.add(member)
                    seed = seed or Address(*member.socket.getsockname())
                with trio.fail_after(LIMIT_S):
                    await one.whole.wait()
            took = time.monotonic() - began
            await trio.sleep(SETTLE_S)
            cpu, wall = time.process_time(), time.monotonic()
            await trio.sleep(rest_s)
            share = (time.process_time() - cpu) / (time.monotonic() - wall)
            nursery.cancel_scope.cancel()
    count = len(slices) * size
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f'{count} peers in {len(slices)} slices of {size}\n'
        f'all slices whole after   {took:8.1f} s\n'
        f'processor at rest        {share:8.2f} of one core\n'
        f'a peer at rest           {share / count * 60:8.4f} CPU s a minute\n'
        f'memory of the process    {memory:8.0f} MiB\n'
        f'held for dead, all alive {sum(s.failed for s in slices):8d}\n'
        f'{conditions.describe()}\n'
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--peers', type=int, default=2000)
    parser.add_argument('--slice', type=int, default=100)
    parser.add_argument('--rest', type=float, default=30.0, metavar='SECONDS')
    options = parser.parse_args()
    files = 2 * options.peers
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(files + 64, most), most))
    trio.run(run, options.peers, options.slice, options.rest)


if __name__ == '__main__':
    main()
