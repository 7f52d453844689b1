# SPDX-License-Identifier: Apache-2.0
"""Wait for what another process does, to a generous deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

GENEROUS_S = 60.0
_POLL_S = 0.1


def until(
    condition: Callable[[], object],
    timeout_s: float = GENEROUS_S,
    poll_s: float = _POLL_S,
) -> None:
    """Return once the condition holds.

    :raises AssertionError: it did not in time
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f'not so within {timeout_s:g} s')
        time.sleep(poll_s)
