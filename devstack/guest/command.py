# SPDX-License-Identifier: Apache-2.0
"""Running the tools that the builders need, and the builders themselves."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence


class BuildError(Exception):
    """The image could not be built; the output folder has no new image."""


# Where e2fsprogs lives is not on the PATH of an ordinary user.
_PATH = os.environ.get('PATH', '') + ':/usr/sbin:/sbin'


def require(*tools: str) -> None:
    """Check in the first instant that all tools are there.

    :raises BuildError: naming every tool that is missing
    """
    missing = [tool for tool in tools if not shutil.which(tool, path=_PATH)]
    if missing:
        raise BuildError('not installed: ' + ', '.join(missing))


def run(
    args: Sequence[str | os.PathLike[str]],
    *,
    cwd: pathlib.Path | None = None,
    stdin: str = '',
    timeout_s: float = 300.0,
    fake_time: int | None = None,
) -> str:
    """Run one tool and return what it printed.

    :param fake_time: the time e2fsprogs and mtools write into file systems,
        in seconds of the epoch: equal inputs give equal images
    :raises BuildError: with the tool's own last words
    """
    env = {**os.environ, 'PATH': _PATH, 'LC_ALL': 'C', 'TZ': 'UTC'}
    if fake_time is not None:
        env['E2FSPROGS_FAKE_TIME'] = env['SOURCE_DATE_EPOCH'] = str(fake_time)
    try:
        done = subprocess.run(
            args,
            cwd=cwd,
            env=env,
            input=stdin,
            text=True,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(str(error)) from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-800:]
        raise BuildError(f'{args[0]} ended with {done.returncode}: {words}')
    return done.stdout


def main(what: str, image: str, build: Callable[[pathlib.Path], bool]) -> int:
    """The command line of a builder: build, saying how long it took.

    :param what: is built, for people
    :param image: its file, in the output folder
    :param build: builds there; whether it was not up to date
    :returns: the exit code
    """
    parser = argparse.ArgumentParser(description=f'Build the {what}.')
    parser.add_argument('--output', type=pathlib.Path, required=True)
    output: pathlib.Path = parser.parse_args().output
    begin = time.monotonic()
    try:
        built = build(output.resolve())
    except BuildError as error:
        print(f'{what}: {error}', file=sys.stderr)
        return 1
    words = 'built' if built else 'is up to date'
    print(f'{output / image} {words} ({time.monotonic() - begin:.1f} s)')
    return 0
