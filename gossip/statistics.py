# SPDX-License-Identifier: Apache-2.0
"""What a node counts."""

import collections
import dataclasses


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Counters since the node was made, and how it sees the overlay.

    Bytes are of UDP payload. ``dropped`` pairs a reason with the number of
    datagrams or messages dropped for it, sorted by reason.
    """

    received: int
    sent: int
    bytes_received: int
    bytes_sent: int
    dropped: tuple[tuple[str, int], ...]
    alive: int
    suspect: int
    dead: int
    local_health: int
    rumours: int
    pauses: int


class Counters:
    """The counters while they count."""

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.pauses = 0
        self.dropped: collections.Counter[str] = collections.Counter()
