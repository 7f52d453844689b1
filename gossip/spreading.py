# SPDX-License-Identifier: Apache-2.0
"""Telling everybody in a slice: down a tree that is drawn anew each time.

Everybody knows everybody, so a tree needs no upkeep: whoever tells a range
of peer ids cuts it into ``fanout`` parts with as many peers each, and sends
to a peer drawn by chance in each part, which tells the others of its part.
Each peer gets one datagram, after log(peers) steps (El-Ansary, Alima, Brand,
Haridi 2003, Efficient broadcast in structured P2P networks, on ids of a
slice that is known in full, and without their fixed fingers).

Rules:

1. Relay says which range is the receiver's to tell. The range has no gaps:
   a peer that only the receiver knows is told too. Whoever cuts it stands
   between two parts: inside one it would be told again by those below. At
   the end of a range it may be.
2. Only what was verified goes on, to each range once: what we know already
   too, for those behind us may not. What we know better does not, nor a
   suspicion by silence that counts no more. What is no news to us goes on
   for one sender 64 times at once and 6.4 times a second, for nobody has
   signed the range: a liar can have anything told again to ever another.
3. What must arrive soon is answered by Relayed. No answer after
   ``relay_retry_s``: once again, to the same peer; then to another one of
   its part, with all of it. The rest, and what need not arrive soon, is
   left to anti-entropy (:mod:`gossip.dissemination`). As in Plumtree (Leitao,
   Pereira, Rodrigues 2007) the eager way is cheap because a lazy one mends.
4. Our last word, when we leave, goes down two trees at once, for we shall
   not be there to repeat it.
"""

import bisect
import dataclasses
import random
import typing
from collections.abc import Iterator

from gossip import (
    allowance,
    codec,
    descriptor,
    messages,
    protocol,
    rumours,
    seal,
)
from gossip import config as configs
from gossip import entry as entries
from gossip import view as views

_ROOM = seal.MAX_PLAIN - len(
    codec.encode(messages.Relay(2**16 - 1, 2**32 - 1, 2**32 - 1))
)
_WAITING_MAX = 4096
_PASSED_MAX = 1024
_REPEATS = 64
_REPEATS_PER_S = 6.4
_TRIES = 3
_NEWCOMERS = 8
"""So many who came last tell others only if nobody else can."""


class _Range(typing.NamedTuple):
    """Both ends are included."""

    low: int
    high: int


_ALL = _Range(0, 2**32 - 1)


@dataclasses.dataclass
class _Sent:
    """What waits for an answer."""

    to: descriptor.PeerId
    whom: _Range
    plain: bytes
    again_at: float = 0.0
    tries: int = 1


class Spreading:
    """Sends news down trees, and makes sure that they arrive."""

    handles = (messages.Relayed,)

    def __init__(
        self,
        config: configs.NodeConfig,
        rng: random.Random,
        view: views.View,
        news: rumours.Rumours,
        outbox: protocol.Outbox,
    ) -> None:
        self._config = config
        self._rng = rng
        self._view = view
        self._news = news
        self._outbox = outbox
        self._seq = rng.randrange(2**16)
        self._sent: dict[int, _Sent] = {}
        self._passed: dict[int, None] = {}
        self._repeats = allowance.Allowance(_REPEATS, _REPEATS_PER_S)

    def receive(
        self,
        message: messages.Message,
        sender: protocol.Origin,
        now: float,
    ) -> None:
        """Take a message; see :class:`gossip.protocol.Protocol`."""
        if isinstance(message, messages.Relayed):
            sent = self._sent.get(message.seq)
            if sent is not None and sent.to == sender.peer:
                del self._sent[message.seq]

    def relay(
        self, message: messages.Relay, sender: protocol.Origin, now: float
    ) -> None:
        """Answer, and tell the range what of the datagram holds."""
        if message.seq:
            self._outbox.send(sender.address, messages.Relayed(message.seq))
        whom = _Range(message.low, message.high)
        frames = [
            frame
            for frame in self._news.take_relayed()
            if self._is_first(frame, whom)
        ]
        frames += [
            frame
            for frame in self._news.take_repeated()
            if self._is_first(frame, whom)
            and self._repeats.take(sender.peer, now)
        ]
        self._tell(whom, frames, sender.peer, now if message.seq else None)

    def deadline(self) -> float | None:
        """When something is due."""
        due = self._news.deadline()
        for sent in self._sent.values():
            due = sent.again_at if due is None else min(due, sent.again_at)
        return due

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        for seq, sent in list(self._sent.items()):
            if now >= sent.again_at:
                del self._sent[seq]
                self._repeat(sent, now)
        fresh = self._news.take_fresh(now)
        calm = [one.frame for one in fresh if one.care is rumours.Care.CALM]
        sure = [one.frame for one in fresh if one.care > rumours.Care.CALM]
        self._tell(_ALL, sure, b'', now)
        self._tell(_ALL, calm, b'', None)

    def leave(self, claim: messages.ClaimItem) -> None:
        """Tell everybody that we go, and wait for no answer."""
        self._sent.clear()
        for _ in range(2):
            self._tell(_ALL, [codec.encode(claim)], b'', None)

    # Inside

    def _is_first(self, frame: bytes, whom: _Range) -> bool:
        """Whether we have not told this range of it; we then do."""
        key = hash((frame, whom))
        if key in self._passed:
            return False
        self._passed[key] = None
        if len(self._passed) > _PASSED_MAX:
            del self._passed[next(iter(self._passed))]
        return True

    def _tell(
        self,
        whom: _Range,
        frames: list[bytes],
        sender: descriptor.PeerId,
        now: float | None,
    ) -> None:
        """Tell a range; without a time nobody is asked to answer."""
        if not frames:
            return
        for share, part in self._parts(whom, self._between(whom, sender)):
            to = self._choose(part)
            for group in rumours.cut(frames, _ROOM):
                sent = _Sent(to, share, b''.join(group))
                if now is None:
                    self._send(sent, 0)
                else:
                    self._send_surely(sent, now)

    def _parts(
        self, whom: _Range, peers: list[entries.Entry]
    ) -> Iterator[tuple[_Range, list[entries.Entry]]]:
        """Cut a range, also where we are if it goes on at both sides."""
        fanout, own = self._config.fanout, _key(self._view.own)
        below = bisect.bisect_left(peers, own, key=_key)
        if 0 < below < len(peers):
            count = round(fanout * below / len(peers))
            count = min(max(count, 1), fanout - 1)
            yield from _cut(_Range(whom.low, own - 1), peers[:below], count)
            yield from _cut(
                _Range(own + 1, whom.high), peers[below:], fanout - count
            )
        elif peers:
            yield from _cut(whom, peers, fanout)

    def _between(
        self, whom: _Range, but: descriptor.PeerId
    ) -> list[entries.Entry]:
        others = self._view.others()
        begin = bisect.bisect_left(others, whom.low, key=_key)
        end = bisect.bisect_right(others, whom.high, key=_key)
        return [
            entry for entry in others[begin:end] if entry.member.peer != but
        ]

    def _choose(self, part: list[entries.Entry]) -> descriptor.PeerId:
        settled = self._view.arrivals - _NEWCOMERS
        alive = [
            entry
            for entry in part
            if entry.member.status is descriptor.Status.ALIVE
        ]
        at_home = [entry for entry in alive if entry.arrival <= settled]
        return self._rng.choice(at_home or alive or part).member.peer

    def _send_surely(self, sent: _Sent, now: float) -> None:
        self._seq = self._seq % (2**16 - 1) + 1
        if len(self._sent) < _WAITING_MAX:
            sent.again_at = now + self._config.relay_retry_s * sent.tries
            self._sent[self._seq] = sent
        self._send(sent, self._seq)

    def _send(self, sent: _Sent, seq: int) -> None:
        entry = self._view.get(sent.to)
        if entry is not None:
            head = codec.encode(messages.Relay(seq, *sent.whom))
            self._outbox.send_plain(entry.member.address, head + sent.plain)

    def _repeat(self, sent: _Sent, now: float) -> None:
        sent.tries += 1
        if sent.tries == _TRIES:
            rest = self._between(sent.whom, sent.to)
            if rest:
                sent.to = self._choose(rest)
        if sent.tries <= _TRIES:
            self._send_surely(sent, now)


def _cut(
    whom: _Range, peers: list[entries.Entry], count: int
) -> Iterator[tuple[_Range, list[entries.Entry]]]:
    """At most so many parts with as many peers each, without a gap."""
    count = min(len(peers), count)
    starts = [number * len(peers) // count for number in range(count)]
    for start, end in zip(starts, [*starts[1:], len(peers)], strict=True):
        part = peers[start:end]
        low = whom.low if start == 0 else _key(part[0])
        high = whom.high if end == len(peers) else _key(peers[end]) - 1
        yield _Range(low, high), part


def _key(entry: entries.Entry) -> int:
    """Where a peer is among all ids."""
    return int.from_bytes(entry.member.peer[:4], 'big')
