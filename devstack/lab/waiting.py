# SPDX-License-Identifier: Apache-2.0
"""Wait for a condition, never for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from devstack.lab.errors import LabError, Stopped

POLL_S = 0.1

#: Set when one step has failed: the waits of the others end.
stopping = threading.Event()


def wait_until(
    condition: Callable[[], bool],
    what: str,
    timeout_s: float,
) -> None:
    """Return as soon as the condition holds.

    :param condition: asked every tenth of a second; it may raise
    :param what: completes the sentence "... did not happen in time"
    :raises LabError: the time is over
    :raises Stopped: another step failed meanwhile
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f'{what}: not within {timeout_s:.0f} s')
        if stopping.wait(POLL_S):
            raise Stopped(f'{what}: given up')
