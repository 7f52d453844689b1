# SPDX-License-Identifier: Apache-2.0
"""Running the tools the builder needs."""

import os
import pathlib
import shutil
import subprocess
from collections.abc import Sequence


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
