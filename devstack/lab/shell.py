# SPDX-License-Identifier: Apache-2.0
"""Run commands, and say what they said when they fail."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Mapping, Sequence

from devstack.lab.errors import LabError

TAIL_LINES = 15
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

#: The whole environment of what the lab starts: no proxy, no OS_*
#: variable, no Python path of the caller's shell comes in.
CLEAN_ENVIRONMENT: Mapping[str, str] = {
    'PATH': PATH,
    'LANG': 'C.UTF-8',
    'HOME': '/root',
    'PYTHONWARNINGS': 'ignore',
}


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of a text, indented."""
    last = text.rstrip().splitlines()[-lines:]
    return '\n'.join(f'    {line}' for line in last)


def tail_of_file(path: pathlib.Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, with its path."""
    try:
        with path.open('rb') as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 20_000))
            text = stream.read().decode(errors='replace')
    except OSError:
        text = ''
    return f'  the end of {path}:\n{tail(text, lines) or "    (empty)"}'


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: pathlib.Path | None = None,
    own_session: bool = False,
    lines: int = TAIL_LINES,
) -> str:
    """Run a command to its end and give its standard output.

    :param env: the whole environment; the caller's if left out
    :param lines: how many of its last ones tell of a failure
    :param own_session: the terminal's Ctrl-C does not reach it
    :raises LabError: it failed or took too long (it is then killed)
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=own_session,
            capture_output=True,
            text=True,
            errors='replace',
            timeout=timeout_s,
            stdin=subprocess.DEVNULL if stdin is None else None,
        )
    except FileNotFoundError:
        raise LabError(f'{argv[0]}: no such command') from None
    except subprocess.TimeoutExpired:
        raise LabError(
            f'{describe(argv)}: not done within {timeout_s:.0f} s'
        ) from None
    if done.returncode:
        raise LabError(
            f'{describe(argv)}: exit status {done.returncode}\n'
            f'{tail(done.stdout + done.stderr, lines)}'
        )
    return done.stdout


def run_logged(
    argv: Sequence[str],
    log: pathlib.Path,
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    cwd: pathlib.Path | None = None,
    own_session: bool = False,
) -> None:
    """Run a command to its end, its output added to a log.

    :raises LabError: it failed or took too long (it is then killed); the
        text ends with the log's last lines
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('ab') as stream:
        try:
            status = subprocess.run(
                argv,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=own_session,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
            ).returncode
        except FileNotFoundError:
            raise LabError(f'{argv[0]}: no such command') from None
        except subprocess.TimeoutExpired:
            raise LabError(
                f'{describe(argv)}: not done within {timeout_s:.0f} s\n'
                f'{tail_of_file(log)}'
            ) from None
    if status:
        raise LabError(
            f'{describe(argv)}: exit status {status}\n{tail_of_file(log)}'
        )


def describe(argv: Sequence[str]) -> str:
    """A command line short enough for a message."""
    text = ' '.join(argv)
    return text if len(text) <= 120 else text[:117] + '...'
