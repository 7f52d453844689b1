# SPDX-License-Identifier: Apache-2.0
"""News on their way: pushed when fresh, then riding on other datagrams.

Rules:

1. A piece of news has a key; a newer piece of the same key replaces it.
2. Fresh news are pushed, within ``push_delay_s``, to ``fanout`` peers
   drawn by chance; each peer that they are news to does the same.
3. Then they ride on datagrams that go anyway, those that rode least first.
   Urgent ones, which must arrive while a suspect has time to refute, until
   they rode ``piggyback_factor * log2(peers)`` times (SWIM, 4.1); the others
   once, for anti-entropy brings them for less.
4. At most 1,024 are kept; the one that rode most goes first.

What still misses them gets them by anti-entropy.
"""

import dataclasses
import math
from collections.abc import Iterator

from gossip import codec, messages
from gossip import config as configs

Key = tuple[str | bytes | int, ...]

_KEPT = 1024


@dataclasses.dataclass
class _News:
    frame: bytes
    is_urgent: bool
    is_fresh: bool = True
    rides: int = 0


class Rumours:
    """The news that one node passes on."""

    def __init__(self, config: configs.NodeConfig) -> None:
        self._config = config
        self._news: dict[Key, _News] = {}
        self._push_at: float | None = None
        self._fresh = 0

    def add(
        self, key: Key, message: messages.Message, *, urgent: bool
    ) -> None:
        """Pass this on; it replaces older news of the same key."""
        self.drop(key)
        if len(self._news) >= _KEPT:
            self.drop(max(self._news, key=lambda k: self._news[k].rides))
        self._news[key] = _News(codec.encode(message), urgent)
        self._fresh += 1

    def drop(self, key: Key) -> None:
        """Pass this on no longer."""
        gone = self._news.pop(key, None)
        if gone is not None and gone.is_fresh:
            self._fresh -= 1

    def settle(self, now: float) -> None:
        """Note the time after news may have come in."""
        if self._fresh and self._push_at is None:
            self._push_at = now + self._config.push_delay_s

    def deadline(self) -> float | None:
        """When the next push is due."""
        return self._push_at

    def pushes(self, room: int, now: float) -> Iterator[bytes]:
        """The fresh news in pieces of at most ``room`` bytes, if due."""
        if self._push_at is None or now < self._push_at:
            return
        self._push_at = None
        piece = b''
        for news in self._news.values():
            if not news.is_fresh:
                continue
            news.is_fresh = False
            if len(piece) + len(news.frame) > room:
                yield piece
                piece = b''
            piece += news.frame
        self._fresh = 0
        if piece:
            yield piece

    def take(self, room: int, peers: int) -> bytes:
        """News that fit into ``room`` bytes of a datagram that goes."""
        if not self._news:
            return b''
        limit = math.ceil(
            self._config.piggyback_factor * math.log2(max(peers, 1) + 1)
        )
        taken = []
        for key in sorted(self._news, key=lambda k: self._news[k].rides):
            news = self._news[key]
            if news.is_fresh or len(news.frame) > room:
                continue
            room -= len(news.frame)
            taken.append(news.frame)
            news.rides += 1
            if news.rides >= (limit if news.is_urgent else 1):
                self.drop(key)
        return b''.join(taken)

    def __len__(self) -> int:
        return len(self._news)
