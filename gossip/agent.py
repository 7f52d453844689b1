# SPDX-License-Identifier: Apache-2.0
"""One real peer of a trial overlay of one slice, on the command line.

    python -m gossip.agent --name a --bind 127.0.0.1:7400 --join -
    python -m gossip.agent --name b --bind 127.0.0.2:7400 \\
        --join 127.0.0.1:7400

``--help`` says what it writes and reads. Datagrams are sealed, what matters
is signed, and every peer proves that it belongs, by keys that anyone can
make from this file: it keeps nobody out.
"""

import argparse
import contextlib
import os
import random
import secrets
import signal
import socket
import sys
from collections.abc import Sequence

import trio
from cryptography.hazmat.primitives.asymmetric import ed25519

from gossip import config, descriptor, errors, events, node, runtime, throwaway

_SEED = 20260924
"""Everybody derives the overlay's keys from this number."""
_LINE_MAX = 4096
_LINES_MAX = 4096
_LAST_LINES_S = 1.0
_ALONE_S = 5.0
_HELP = """
Standard output, in UTF-8, each line as soon as it is known:
  JOIN name    a peer is there: itself first; again when it is back
  FAIL name    a peer is held for dead
  LEFT name    a peer left in order
  EVENT id     somebody tells everybody: itself too; at first also what was
               told up to ten minutes before it came
Standard input:
  EVENT id     tell everybody; where the input ends the peer stays
On SIGINT and SIGTERM it leaves in order and ends; so it does when its
output is closed. An output that is open and not read keeps 4,096 lines.

Each start is a new peer with a new key, and its name is no more than a
label. Keys are no secret: never for an overlay of worth.
"""


def parse_address(text: str) -> descriptor.Address:
    """ADDR:PORT, an IPv6 address in brackets.

    :raises ArgumentTypeError: it is something else
    """
    host, _, port = text.rpartition(':')
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f'not ADDR:PORT: {text!r}')
    try:
        return descriptor.check_address(
            descriptor.Address(host.strip('[]'), int(port))
        )
    except errors.Misuse as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def show_address(address: descriptor.Address) -> str:
    """The reverse of :func:`parse_address`."""
    host, port = address
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def parse_name(text: str) -> str:
    """The name of a peer.

    :raises ArgumentTypeError: too long, or with other characters
    """
    if not text:
        raise argparse.ArgumentTypeError('a peer needs a name here')
    try:
        return descriptor.check_name(text)
    except errors.Misuse as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_join(text: str) -> tuple[descriptor.Address, ...]:
    """Where to join; '-' for the first peer, who joins nobody."""
    return () if text == '-' else (parse_address(text),)


def make_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(
        prog='python -m gossip.agent',
        description='One real peer of a trial overlay of one slice.',
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    """Tells of the overlay on standard output.

    Lines wait for their reader here: the node waits for nobody.
    """

    def __init__(self, name: str) -> None:
        self._names: dict[descriptor.PeerId, str] = {}
        self._lines, self._waiting = trio.open_memory_channel[bytes](
            _LINES_MAX
        )
        self._is_late = False
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

    async def write(self, scope: trio.CancelScope) -> None:
        """Write the lines until :meth:`close`.

        :param scope: is cancelled when nobody can read them any more
        """
        if sys.stdout is None:
            scope.cancel()
            return
        stream = trio.lowlevel.FdStream(os.dup(sys.stdout.fileno()))
        async with stream, self._waiting:
            try:
                async for line in self._waiting:
                    await stream.send_all(line)
            except trio.BrokenResourceError:
                scope.cancel()

    def close(self) -> None:
        """No more lines will come."""
        self._lines.close()

    def _say(self, what: str, name: str) -> None:
        try:
            self._lines.send_nowait(f'{what} {name}\n'.encode())
        except trio.WouldBlock:
            if not self._is_late:
                _complain('nobody reads what is written: lines are lost')
            self._is_late = True
        except trio.BrokenResourceError:
            pass  # Nobody can read any more: we are about to end.
        else:
            self._is_late = False


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
    sock: socket.socket,
) -> None:
    """Be a peer until a signal comes, or nobody can read what it says.

    :param sock: bound there; stays the caller's to close
    """
    agent = Agent(name)
    driver = runtime.Runtime(
        make_node(name, bind, random.Random(secrets.randbits(64))),  # noqa: S311
        sock,
        deliver=agent.deliver,
    )
    driver.join(seeds)
    async with trio.open_nursery() as writing:
        async with trio.open_nursery() as nursery:
            writing.start_soon(agent.write, nursery.cancel_scope)
            nursery.start_soon(driver.run)
            nursery.start_soon(_take_lines, driver)
            nursery.start_soon(_tell_if_alone, driver, seeds)
            await _wait_for_signal()
            nursery.cancel_scope.cancel()
        driver.leave()
        agent.close()
        writing.cancel_scope.deadline = trio.current_time() + _LAST_LINES_S


async def _tell_if_alone(
    driver: runtime.Runtime, seeds: Sequence[descriptor.Address]
) -> None:
    await trio.sleep(_ALONE_S)
    if seeds and len(driver.node.members()) == 1:
        there = ' '.join(map(show_address, seeds))
        _complain(f'nobody has answered at {there}; trying on')


async def _take_lines(driver: runtime.Runtime) -> None:
    if sys.stdin is None:
        return
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stream:
        rest = b''
        with contextlib.suppress(trio.BrokenResourceError):
            async for some in stream:
                *lines, rest = (rest + some).split(b'\n')
                for line in lines:
                    _take_line(driver, line)
                rest = rest[-_LINE_MAX:]
        _take_line(driver, rest)


def _take_line(driver: runtime.Runtime, line: bytes) -> None:
    what, _, payload = line.strip().partition(b' ')
    if not what:
        return
    try:
        if what != b'EVENT' or not payload:
            raise errors.Misuse('not a line EVENT id')
        driver.broadcast(payload)
    except errors.Misuse as error:
        _complain(f'{error}: {line!r}')


def _complain(text: str) -> None:
    """On standard error, if anybody can read it."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f'{text}\n')


async def _wait_for_signal() -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            return


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parsed = make_parser().parse_args(arguments)
    try:
        sock = runtime.open_socket(parsed.bind)
    except OSError as error:
        there = show_address(parsed.bind)
        sys.exit(f'gossip.agent: {there}: {error.strerror}')
    with sock:
        trio.run(run, parsed.name, parsed.bind, parsed.join, sock)


if __name__ == '__main__':
    main()
