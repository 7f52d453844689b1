# SPDX-License-Identifier: Apache-2.0
"""The clock of deadlines: it goes on while the machine sleeps."""

from __future__ import annotations

import time


def boottime() -> float:
    """Seconds of CLOCK_BOOTTIME: the same for all programs of a machine."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
