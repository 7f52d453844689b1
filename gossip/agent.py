# SPDX-License-Identifier: Apache-2.0
"""One real peer of a trial overlay of one slice, on the command line.

    python -m gossip.agent --name a --bind 127.0.0.1:7400 --join -
    python -m gossip.agent --name b --bind 127.0.0.2:7400 \\
        --join 127.0.0.1:7400

Prints a line as soon as it knows: ``JOIN name``, ``FAIL name``, ``EVENT
id``, ``LEFT name``; itself joins first. A line ``EVENT id`` on its standard
input goes to everybody. On SIGINT and SIGTERM it leaves in order and ends.

Datagrams are sealed, what matters is signed, and every peer proves that it
belongs, by keys that anyone can make from this file: it keeps nobody out.
"""

import argparse
import functools
import os
import random
import secrets
import signal
import sys
from collections.abc import Sequence

import trio
from cryptography.hazmat.primitives.asymmetric import ed25519

from gossip import config, descriptor, errors, events, node, runtime, throwaway

_SEED = 20260924
"""Everybody derives the overlay's keys from this number."""
_LINE_MAX = 4096
_ALONE_S = 5.0


def parse_address(text: str) -> descriptor.Address:
    """ADDR:PORT, an IPv6 address in brackets.

    :raises ArgumentTypeError: it is something else
    """
    host, _, port = text.rpartition(':')
    try:
        return descriptor.check_address(
            descriptor.Address(host.strip('[]'), int(port))
        )
    except (ValueError, errors.Misuse) as error:
        raise argparse.ArgumentTypeError(
            f'not ADDR:PORT with a literal IP address: {text!r}'
        ) from error


def parse_name(text: str) -> str:
    """The name of a peer.

    :raises ArgumentTypeError: too long, or with other characters
    """
    try:
        if text:
            return descriptor.check_name(text)
    except errors.Misuse:
        pass
    raise argparse.ArgumentTypeError(
        f'not 1 to {descriptor.NAME_MAX} printable characters: {text!r}'
    )


def parse_join(text: str) -> tuple[descriptor.Address, ...]:
    """Where to join; '-' for the first peer, who joins nobody."""
    return () if text == '-' else (parse_address(text),)


def make_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(
        prog='python -m gossip.agent',
        description='One real peer of a trial overlay of one slice.',
        epilog='Its keys are no secret: never for an overlay of worth.',
    )
    parser.add_argument(
        '--name', type=parse_name, required=True, help='who this is'
    )
    parser.add_argument(
        '--bind',
        type=parse_address,
        required=True,
        metavar='ADDR:PORT',
        help='where others reach it, over UDP',
    )
    parser.add_argument(
        '--join',
        type=parse_join,
        required=True,
        metavar='ADDR:PORT|-',
        help='any peer that is there already; - for the first one',
    )
    return parser


class Agent:
    """Tells of the overlay on standard output."""

    def __init__(self, name: str) -> None:
        self._names: dict[descriptor.PeerId, str] = {}
        self._say('JOIN', name)

    def deliver(self, event: events.Event) -> None:
        """Take an event of the node."""
        match event:
            case (
                events.PeerJoined(member)
                | events.PeerRecovered(member)
                | events.PeerChanged(member)
            ):
                self._names[member.peer] = member.name
                self._say('JOIN', member.name)
            case events.PeerFailed(member):
                self._names[member.peer] = member.name
                self._say('FAIL', member.name)
            case events.PeerLeft(peer):
                name = self._names.pop(peer, None)
                if name is not None:
                    self._say('LEFT', name)
            case events.NewsHeard(payload=payload):
                text = payload.decode('utf-8', 'replace')
                self._say('EVENT', text if text.isprintable() else ascii(text))

    def _say(self, what: str, name: str) -> None:
        sys.stdout.write(f'{what} {name}\n')
        sys.stdout.flush()


def make_node(
    name: str, address: descriptor.Address, rng: random.Random
) -> node.Node:
    """A new peer, by a key of its own that the trial's issuer signs."""
    wall = runtime.wall_time()
    overlay = throwaway.Overlay(
        random.Random(_SEED),  # noqa: S311
        'trial',
        int(wall),
    )
    key = ed25519.Ed25519PrivateKey.generate()
    return node.Node(
        config.NodeConfig(),
        overlay.make_identity(key=key),
        overlay.make_trust(),
        overlay.ring,
        address=address,
        boot=1,
        boot_id=secrets.token_bytes(descriptor.BOOT_ID_BYTES),
        rng=rng,
        now=runtime.boottime(),
        now_wall=wall,
        name=name,
    )


async def run(
    name: str,
    bind: descriptor.Address,
    seeds: Sequence[descriptor.Address],
) -> None:
    """Be a peer until a signal comes."""
    with runtime.open_socket(bind) as sock:
        agent = Agent(name)
        driver = runtime.Runtime(
            make_node(name, bind, random.Random(secrets.randbits(64))),  # noqa: S311
            sock,
            deliver=agent.deliver,
        )
        driver.join(seeds)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            nursery.start_soon(_take_lines, driver)
            nursery.start_soon(_tell_if_alone, driver, seeds)
            await _wait_for_signal()
            driver.leave()
            nursery.cancel_scope.cancel()


async def _tell_if_alone(
    driver: runtime.Runtime, seeds: Sequence[descriptor.Address]
) -> None:
    await trio.sleep(_ALONE_S)
    if seeds and len(driver.node.members()) == 1:
        there = ' '.join(f'{host}:{port}' for host, port in seeds)
        sys.stderr.write(f'nobody has answered at {there}; trying on\n')


async def _take_lines(driver: runtime.Runtime) -> None:
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stream:
        rest = b''
        async for some in stream:
            *lines, rest = (rest + some).split(b'\n')
            for line in lines:
                _take_line(driver, line)
            rest = rest[-_LINE_MAX:]


def _take_line(driver: runtime.Runtime, line: bytes) -> None:
    what, _, payload = line.strip().partition(b' ')
    if not what:
        return
    try:
        if what != b'EVENT' or not payload:
            raise errors.Misuse('not a line EVENT id')
        driver.broadcast(payload)
    except errors.Misuse as error:
        sys.stderr.write(f'{error}: {line!r}\n')


async def _wait_for_signal() -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            return


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parsed = make_parser().parse_args(arguments)
    try:
        trio.run(functools.partial(run, parsed.name, parsed.bind, parsed.join))
    except OSError as error:
        host, port = parsed.bind
        sys.exit(f'gossip.agent: {host}:{port}: {error.strerror}')


if __name__ == '__main__':
    main()
