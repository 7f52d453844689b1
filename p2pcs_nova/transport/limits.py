# SPDX-License-Identifier: Apache-2.0
"""How much of us one caller, and all callers together, can take."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import math
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a listener grants; times in seconds."""

    connections: int = 512
    """At once.  Above, a new one is closed at once."""
    connections_per_address: int = 64
    """Of these, from one IP address, or of one user of this machine."""
    handshake_s: float = 10.0
    """For the TLS handshake."""
    idle_s: float = 60.0
    """For a request's head to arrive, counted from the connection or from
    the last answer; a client's pool should let go earlier."""
    header_bytes: int = 16 * 1024
    """Of a request's head."""
    body_silence_s: float = 10.0
    """Between two pieces of a body."""
    body_s: float = 60.0
    """For a whole body."""
    body_bytes: float = 4 * 2**20
    """Of a body, before a handler's own limit."""
    write_s: float = 30.0
    """For 64 KiB of an answer to leave."""


REQUESTS = Limits()
JOINING = Limits(
    connections=64,
    connections_per_address=8,
    idle_s=20.0,
    body_s=15.0,
    body_bytes=64 * 1024,
)
LOCAL = Limits(
    connections=256,
    connections_per_address=128,
    body_silence_s=60.0,
    body_s=math.inf,
    body_bytes=math.inf,
)
"""Images come in over the UNIX socket: no limit to a body.  An address is a
user here: everybody may connect, so nobody may take every place."""


class Admission:
    """Counts who is in, and turns away who would be too many."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._inside: collections.Counter[str] = collections.Counter()
        self.turned_away = 0
        """Connections closed at once since the start."""

    @contextlib.contextmanager
    def admit(self, address: str) -> Iterator[bool]:
        """Whether one more from this address may stay."""
        if (
            self._inside.total() >= self._limits.connections
            or self._inside[address] >= self._limits.connections_per_address
        ):
            self.turned_away += 1
            yield False
            return
        self._inside[address] += 1
        try:
            yield True
        finally:
            self._inside[address] -= 1
            if not self._inside[address]:
                del self._inside[address]
