# SPDX-License-Identifier: Apache-2.0
"""How fast one core of this PC is: a short measurement that repeats.

What is counted is the processor's time of this thread alone, so that a
busy PC is not a slow one; and the best of several rounds is taken, since
whatever disturbs a round makes it longer.  Compressing is what is
measured: branches, tables and memory, and nothing that a processor has an
instruction of its own for.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable

ROUNDS = 7
BYTES = 2**19
LIMIT_S = 2.0
"""Of the processor's time; a slow PC gets fewer rounds."""


def sample(size: int = BYTES) -> bytes:
    """Bytes that compress to about half, the same everywhere."""
    parts: list[bytes] = []
    part = b''
    while len(parts) * 64 < size:
        part = hashlib.sha256(part).digest()
        parts.append(part.hex().encode())
    return b''.join(parts)[:size]


def cpu_score(cpu_time: Callable[[], float] = time.thread_time) -> int:
    """MiB that one core compresses in a second. Blocks half a second.

    :param cpu_time: seconds of the processor's time
    """
    data = sample()
    began = cpu_time()
    best = float('inf')
    for _ in range(ROUNDS):
        start = cpu_time()
        zlib.compress(data, 6)
        end = cpu_time()
        best = min(best, end - start)
        if end - began > LIMIT_S:
            break
    return round(len(data) / 2**20 / max(best, 1e-6))
