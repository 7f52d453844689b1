# SPDX-License-Identifier: Apache-2.0
"""Programs that we start and that end with us, even if we are killed.

The kernel ends such a child when the thread that has started it is gone
(PR_SET_PDEATHSIG, by setpriv(1)): so it is started by the main thread, and
not by one of a pool.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any

import trio


def start(command: Sequence[str], **how: Any) -> subprocess.Popen[bytes]:
    """Start it, from the main thread; nothing is written to it.

    A program that is not there ends with 127, and says so.

    :param how: for :class:`subprocess.Popen`
    :raises OSError: there is no setpriv, or no memory
    """
    return subprocess.Popen(
        ['setpriv', '--pdeathsig', 'KILL', '--', *command],
        stdin=subprocess.DEVNULL,
        **how,
    )


async def wait(process: subprocess.Popen[bytes]) -> int:
    """Its exit code, as soon as it has one."""
    if (code := process.poll()) is not None:
        return code
    descriptor = os.pidfd_open(process.pid)
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)
    return process.wait()
