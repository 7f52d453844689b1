# SPDX-License-Identifier: Apache-2.0
"""Real agents on the loopback interface, by their standard streams."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
import trio

from gossip import agent

pytestmark = pytest.mark.trio

LIMIT_S = 60.0
PORT = 7411
NET = f'127.{os.getpid() // 256 % 250 + 2}.{os.getpid() % 256}'
"""Of this process: tests run side by side."""


class Process:
    """One agent, and the lines that it has written.

    :param shell: how a shell is to start it, instead of ``exec "$@"``
    """

    def __init__(self, number: int, shell: str = 'exec "$@"') -> None:
        self._shell = shell
        self.name = f'a{number}'
        self.address = f'{NET}.{number + 1}:{PORT}'
        self.lines: list[str] = []
        self.process: trio.Process
        self._more = trio.Event()

    async def run(self, join: str, task_status: trio.TaskStatus[None]) -> None:
        command = ['sh', '-c', self._shell, 'sh', sys.executable]
        command += ['-m', 'gossip.agent', '--name', self.name]
        command += ['--bind', self.address, '--join', join]
        self.process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        task_status.started()
        assert self.process.stdout is not None
        rest = b''
        try:
            async for some in self.process.stdout:
                *lines, rest = (rest + some).split(b'\n')
                self.lines += [line.decode() for line in lines]
                self._more.set()
                self._more = trio.Event()
            await self.process.wait()
        finally:
            with trio.CancelScope(shield=True):
                if self.process.returncode is None:
                    self.process.kill()
                await self.process.wait()

    async def wait_for(self, *lines: str) -> None:
        with trio.fail_after(LIMIT_S):
            while not set(lines) <= set(self.lines):
                await self._more.wait()

    async def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(line)


@contextlib.asynccontextmanager
async def agents(count: int) -> AsyncIterator[list[Process]]:
    many = [Process(number) for number in range(count)]
    async with trio.open_nursery() as nursery:
        for one in many:
            join = '-' if one is many[0] else many[0].address
            await nursery.start(one.run, join)
        for one in many:
            await one.wait_for(*(f'JOIN {other.name}' for other in many))
        yield many
        nursery.cancel_scope.cancel()


async def test_who_finds_nobody_says_so() -> None:
    alone, nobody = Process(0), f'{NET}.250:{PORT}'
    async with trio.open_nursery() as nursery:
        await nursery.start(alone.run, nobody)
        await alone.wait_for(f'nobody has answered at {nobody}; trying on')
        nursery.cancel_scope.cancel()


async def test_agents_tell_of_joins_events_crashes_and_leaves() -> None:
    async with agents(5) as many:
        assert all(one.lines[0] == f'JOIN {one.name}' for one in many)

        await many[3].say(b'nonsense\nEVENT fi')
        await many[3].say(b're\n')
        for one in many:
            await one.wait_for('EVENT fire')

        many[4].process.kill()
        for one in many[:4]:
            await one.wait_for('FAIL a4')

        many[3].process.send_signal(signal.SIGTERM)
        for one in many[:3]:
            await one.wait_for('LEFT a3')
        with trio.fail_after(LIMIT_S):
            assert await many[3].process.wait() == 0

        assert 'FAIL a3' not in many[0].lines


async def test_an_agent_outlives_closed_streams_and_other_alphabets() -> None:
    odd = Process(1, 'PYTHONIOENCODING=ascii exec "$@" <&-')
    async with agents(1) as (first,), trio.open_nursery() as nursery:
        await nursery.start(odd.run, first.address)
        await first.wait_for('JOIN a1')

        await first.say('EVENT é'.encode())
        assert first.process.stdin is not None
        await first.process.stdin.aclose()

        await odd.wait_for('EVENT é')
        nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def with_a_pipe() -> AsyncIterator[tuple[Process, Process, list[int]]]:
    """Two agents; the second writes into a pipe whose ends come last."""
    ends = list(os.pipe())
    second = Process(1, f'exec "$@" >/proc/{os.getpid()}/fd/{ends[1]}')
    try:
        async with agents(1) as (first,), trio.open_nursery() as nursery:
            await nursery.start(second.run, first.address)
            await first.wait_for('JOIN a1')
            yield first, second, ends
            await first.wait_for('LEFT a1')
            with trio.fail_after(LIMIT_S):
                assert await second.process.wait() == 0
    finally:
        for end in ends:
            os.close(end)


async def test_an_agent_ends_when_its_output_is_closed() -> None:
    async with with_a_pipe() as (first, second, ends):
        os.close(ends.pop(0))

        await first.say(b'EVENT one more line\n')

    assert second.lines == []


async def test_an_agent_goes_on_while_nobody_reads_what_it_writes() -> None:
    async with with_a_pipe() as (_, second, _):
        with trio.fail_after(LIMIT_S):
            await second.say(b'EVENT %s\n' % (b'x' * 500) * 400)

        second.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ('option', 'value', 'answer'),
    [
        ('--name', '', 'needs a name'),
        ('--name', 'a b', 'without spaces'),
        ('--name', 'a' * 25, 'up to 24'),
        ('--bind', 'localhost:1', "not an IP address: 'localhost'"),
        ('--bind', '0.0.0.0:1', 'sent to'),
        ('--bind', '127.0.0.1:0', 'not a port: 0'),
        ('--join', '127.0.0.1', 'not ADDR:PORT'),
        ('--join', 'x:1', "not an IP address: 'x'"),
    ],
)
async def test_what_cannot_be_is_said_at_once(
    option: str, value: str, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {'--name': 'a', '--bind': '127.0.0.1:1', '--join': '-'}
    given[option] = value

    with pytest.raises(SystemExit) as ended:
        agent.make_parser().parse_args(itertools.chain(*given.items()))

    assert ended.value.code == 2
    assert answer in capsys.readouterr().err


@pytest.mark.parametrize('text', ['127.0.0.1:7400', '[::1]:7400'])
async def test_an_address_is_shown_as_it_is_given(text: str) -> None:
    assert agent.show_address(agent.parse_address(text)) == text


async def test_an_address_that_is_taken_is_named() -> None:
    async with agents(1) as (first,):
        done = await trio.run_process(
            [sys.executable, '-m', 'gossip.agent', '--name', 'b',
             '--bind', first.address, '--join', '-'],
            check=False, capture_stderr=True, stdin=b'',
        )  # fmt: skip

    assert done.returncode == 1
    assert first.address.encode() in done.stderr
