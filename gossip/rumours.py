# SPDX-License-Identifier: Apache-2.0
"""News on their way: who still has to be told what.

Das et al. 2002, SWIM, 4.1: news ride on datagrams that go anyway.
Departures: what is not urgent does not, and everything goes down a tree, to
arrive in time.

Rules:

1. A piece of news has a key; a newer piece of the same key replaces it.
2. Our own word, and what came with a peer's first Hello, goes to everybody,
   within ``calm_delay_s`` or, if it must arrive soon, ``push_delay_s``,
   together with what came meanwhile.
3. What was relayed to us goes on down the tree by which it came
   (:mod:`gossip.spreading`). What must arrive soon is repeated there until
   it is answered.
4. What must arrive while a suspect has time to refute rides besides on
   datagrams that go anyway, what rode least first, until it rode
   ``piggyback_factor * log2(peers)`` times (SWIM, 4.1). At most 1,024 are
   kept; the one that rode most goes first.
5. What was stored, here or at the peer that brought it by anti-entropy, is
   news to nobody else.

What still misses them gets them by anti-entropy.
"""

import dataclasses
import enum
import math
import typing
from collections.abc import Iterable, Iterator

from gossip import codec, messages
from gossip import config as configs

Key = tuple[str | bytes | int, ...]

_KEPT = 1024


class Way(enum.Enum):
    """How an item came to us, and so how it goes on."""

    FIRST_HAND = 'from who says Hello: to everybody'
    RELAYED = 'down a tree: further down'
    RIDING = 'on another datagram: on ours'
    STORED = 'from a store: not at all'


class Care(enum.IntEnum):
    """What is done so that news arrive."""

    CALM = 0
    SURE = 1
    URGENT = 2


class Fresh(typing.NamedTuple):
    """What everybody is to be told."""

    frame: bytes
    care: Care


@dataclasses.dataclass
class _Riding:
    frame: bytes
    rides: int = 0


class Rumours:
    """The news that one node passes on.

    ``way`` is how the datagram came that is being read.
    """

    def __init__(self, config: configs.NodeConfig) -> None:
        self.way = Way.STORED
        self._config = config
        self._fresh: dict[Key, Fresh] = {}
        self._riding: dict[Key, _Riding] = {}
        self._relayed: list[bytes] = []
        self._repeated: list[bytes] = []
        self._held_back: dict[int, None] = {}
        self._hurries = False
        self._calm_at: float | None = None
        self._soon_at: float | None = None

    def tell(self, key: Key, message: messages.Message, care: Care) -> None:
        """Give out our own word."""
        self._add(key, codec.encode(message), Way.FIRST_HAND, care)

    def pass_on(self, key: Key, message: messages.Message, care: Care) -> None:
        """Pass on another's word, by the way it came."""
        self._add(key, codec.encode(message), self.way, care)

    def hold_back(self, key: Key, message: messages.Message) -> None:
        """Do not pass this on, nor repeat it."""
        self.drop(key)
        self._held_back[hash(codec.encode(message))] = None
        if len(self._held_back) > _KEPT:
            del self._held_back[next(iter(self._held_back))]

    def repeat(self, message: messages.Message) -> None:
        """Pass on what is no news to us.

        It was relayed to us, and came otherwise before: those behind us in
        this tree wait for it.
        """
        if self.way is Way.RELAYED:
            frame = codec.encode(message)
            if hash(frame) not in self._held_back:
                self._repeated.append(frame)

    def drop(self, key: Key) -> None:
        """Pass this on no longer."""
        self._fresh.pop(key, None)
        self._riding.pop(key, None)

    def settle(self, now: float) -> None:
        """Note the time after news may have come in."""
        if self._fresh and self._calm_at is None:
            self._calm_at = now + self._config.calm_delay_s
        if self._hurries and self._soon_at is None:
            self._soon_at = now + self._config.push_delay_s

    def deadline(self) -> float | None:
        """When fresh news are due."""
        return self._calm_at if self._soon_at is None else self._soon_at

    def take_fresh(self, now: float) -> list[Fresh]:
        """What everybody is to be told, if any is due; each once."""
        due = self.deadline()
        if due is None or now < due:
            return []
        self._calm_at = self._soon_at = None
        self._hurries = False
        fresh = list(self._fresh.values())
        self._fresh.clear()
        return fresh

    def take_relayed(self) -> list[bytes]:
        """The frames that go down the tree they came by; each once."""
        frames, self._relayed = self._relayed, []
        return frames

    def take_repeated(self) -> list[bytes]:
        """As much, but of what is no news to us."""
        frames, self._repeated = self._repeated, []
        return frames

    def take_riding(self, room: int, peers: int) -> bytes:
        """News that fit into ``room`` bytes of a datagram that goes."""
        if not self._riding:
            return b''
        limit = math.ceil(
            self._config.piggyback_factor * math.log2(max(peers, 1) + 1)
        )
        taken = []
        for key in sorted(self._riding, key=lambda k: self._riding[k].rides):
            riding = self._riding[key]
            if key in self._fresh or len(riding.frame) > room:
                continue
            room -= len(riding.frame)
            taken.append(riding.frame)
            riding.rides += 1
            if riding.rides >= limit:
                del self._riding[key]
        return b''.join(taken)

    def __len__(self) -> int:
        return len(self._riding.keys() | self._fresh.keys())

    def _add(self, key: Key, frame: bytes, way: Way, care: Care) -> None:
        self.drop(key)
        if way is Way.STORED:
            return
        if way is Way.FIRST_HAND:
            if len(self._fresh) >= _KEPT:
                del self._fresh[next(iter(self._fresh))]
            self._fresh[key] = Fresh(frame, care)
            self._hurries |= care is not Care.CALM
        elif way is Way.RELAYED:
            self._relayed.append(frame)
        if care is Care.URGENT:
            if len(self._riding) >= _KEPT:
                self.drop(
                    max(self._riding, key=lambda k: self._riding[k].rides)
                )
            self._riding[key] = _Riding(frame)


def cut(frames: Iterable[bytes], room: int) -> Iterator[list[bytes]]:
    """Frames in groups of at most ``room`` bytes together."""
    group: list[bytes] = []
    size = 0
    for frame in frames:
        if group and size + len(frame) > room:
            yield group
            group, size = [], 0
        group.append(frame)
        size += len(frame)
    if group:
        yield group
