# SPDX-License-Identifier: Apache-2.0
"""What is measured of an overlay under churn.

Each measure is a trial: it does something to the overlay now and then, and
looks at what the peers make of it.
"""

import bisect
import collections
import enum
import random
import typing
from collections.abc import Iterable, Iterator

from gossip import descriptor, events
from gossip.simulator.simulation import Seen, Simulation

_KILL_EVERY_S = 15.0
_KILL_FOR_S = 14.0
_CHANGE_EVERY_S = 600.0
_NEWS_EVERY_S = 5.0
_SETTLE_S = 10.0
_SEEDS = 3
_PART = 'record'


class Measure(enum.StrEnum):
    """What can be measured."""

    DETECTION = 'detection'
    RECORDS = 'records'
    DISSEMINATION = 'dissemination'


class Trial(typing.Protocol):
    """One measure, while it runs."""

    def on_second(self) -> None:
        """A second has passed."""

    def result(self) -> dict[str, float | None]:
        """What came of it; None where nothing happened."""


class Power:
    """When each machine was on, as the trials need to know it."""

    def __init__(self) -> None:
        self._since: dict[descriptor.PeerId, float] = {}
        self._ended: dict[descriptor.PeerId, list[float]] = {}
        self._up_s = 0.0

    def on(self, peer: descriptor.PeerId, now: float) -> None:
        """Switched on."""
        self._since[peer] = now

    def off(self, peer: descriptor.PeerId, now: float) -> None:
        """Switched off."""
        self._up_s += now - self._since.pop(peer)
        self._ended.setdefault(peer, []).append(now)

    def up_s(self, now: float) -> float:
        """How long all have been on, together."""
        return self._up_s + sum(now - at for at in self._since.values())

    def deaths(self) -> Iterator[tuple[descriptor.PeerId, float]]:
        """Who was switched off, and when; for each time."""
        for peer, ends in self._ended.items():
            for at in ends:
                yield peer, at

    def last_off(self, peer: descriptor.PeerId, at: float) -> float | None:
        """When it was switched off before this moment, if it is off then."""
        ends = self._ended.get(peer, [])
        place = bisect.bisect_right(ends, at)
        since = self._since.get(peer)
        if not place or (since is not None and since <= at):
            return None
        return ends[place - 1]

    def since(self, peer: descriptor.PeerId) -> float | None:
        """Since when it is on."""
        return self._since.get(peer)


class Detection:
    """How soon a death is known, and who is held for dead and is not.

    Without churn a machine loses power every 15 s, for 14 s. When a death
    is known is asked of those who were there: who came later hears late.
    Deaths in the last ten seconds are not counted.
    """

    def __init__(
        self, many: Simulation, power: Power, rng: random.Random, kills: bool
    ) -> None:
        self._many = many
        self._power = power
        self._rng = rng
        self._kills = kills
        self._took: list[float] = []
        self._false = 0
        self._known: set[tuple[descriptor.PeerId, float]] = set()
        self._read = 0
        self._down: list[tuple[float, int]] = []
        self._kill_at = many.now + _KILL_EVERY_S

    def on_second(self) -> None:
        """See :class:`Trial`."""
        self._look()
        many = self._many
        while self._down and many.now >= self._down[0][0]:
            _, number = self._down.pop(0)
            many.restart(number, draw_seeds(many, self._rng))
            self._power.on(many.peers[number].id, many.now)
        if self._kills and many.now >= self._kill_at:
            self._kill_at += _KILL_EVERY_S
            number = self._rng.choice(many.up())
            many.kill(number)
            self._power.off(many.peers[number].id, many.now)
            self._down.append((many.now + _KILL_FOR_S, number))

    def _look(self) -> None:
        trace = self._many.trace
        for seen in trace[self._read :]:
            if isinstance(seen.event, events.PeerFailed):
                self._note(seen, seen.event.member.peer)
        self._read = len(trace)

    def _note(self, seen: Seen, failed: descriptor.PeerId) -> None:
        off = self._power.last_off(failed, seen.at)
        if off is None:
            self._false += 1
            return
        since = self._power.since(self._many.peers[seen.number].id)
        if since is not None and since <= off:
            self._known.add((failed, off))
            self._took.append(seen.at - off)

    def result(self) -> dict[str, float | None]:
        """See :class:`Trial`."""
        self._look()
        last = self._many.now - _SETTLE_S
        deaths = [death for death in self._power.deaths() if death[1] <= last]
        unknown = sum(death not in self._known for death in deaths)
        return {
            'deaths': len(deaths),
            'undetected': unknown,
            'detect_median_s': _quantile(self._took, 0.5),
            'detect_p95_s': _quantile(self._took, 0.95),
            'false_dead': self._false,
            'peer_days': self._power.up_s(self._many.now) / 86400,
        }


class Records:
    """How old what a peer holds of another is, at a moment by chance.

    Every peer changes its record every ten minutes on average. What is held
    is as old as the first change that is missing.
    """

    def __init__(self, many: Simulation, rng: random.Random) -> None:
        self._many = many
        self._rng = rng
        self._changes: dict[descriptor.PeerId, list[float]] = (
            collections.defaultdict(list)
        )
        self._stale: list[float] = []

    def on_second(self) -> None:
        """See :class:`Trial`."""
        many = self._many
        up = [peer for peer in many.peers if peer.is_up]
        for peer in up:
            if self._rng.random() < 1 / _CHANGE_EVERY_S:
                changes = self._changes[peer.id]
                changes.append(many.now)
                many.publish(peer.number, _PART, b'%d' % len(changes))
        for _ in range(min(len(up), 100)):
            reader, writer = self._rng.choice(up), self._rng.choice(up)
            changes = self._changes[writer.id]
            if reader is not writer and changes:
                record = reader.node.record(writer.id, _PART)
                held = int(record.payload) if record else 0
                missing = changes[held:]
                age = many.now - missing[0] if missing else 0.0
                self._stale.append(age)

    def result(self) -> dict[str, float | None]:
        """See :class:`Trial`."""
        return {'staleness_p99_s': _quantile(self._stale, 0.99)}


class Dissemination:
    """How soon news reach everybody, by how many datagrams, and whom not.

    A peer drawn by chance tells something every 5 s. Rounds are seconds.
    Whoever is on from then to the end should have heard of it; what is
    told in the last ten seconds does not count.
    """

    def __init__(
        self, many: Simulation, power: Power, rng: random.Random
    ) -> None:
        self._many = many
        self._power = power
        self._rng = rng
        self._told: dict[bytes, float] = {}
        self._news_at = many.now + _NEWS_EVERY_S
        self._sent: list[int] = []
        self._extra: list[float] = []

    def on_second(self) -> None:
        """See :class:`Trial`."""
        many = self._many
        self._sent.append(many.datagrams)
        up = many.up()
        if len(self._sent) > 4 and many.now >= self._news_at - 1e-6 and up:
            # Before: what went in the two seconds until now; after: until
            # two seconds from now, which is seen at the next news.
            self._count(len(up))
            self._news_at = many.now + _NEWS_EVERY_S
            if not up:
                return
            payload = b'%d' % len(self._told)
            self._told[payload] = many.now
            many.broadcast(self._rng.choice(up), payload)

    def _count(self, up: int) -> None:
        """The datagrams that the last news took beyond those at rest."""
        if self._told:
            at = len(self._sent) - 1
            before = self._sent[at] - self._sent[at - 2]
            spent = self._sent[at - 3] - self._sent[at - 5]
            self._extra.append((spent - before) / up)

    def result(self) -> dict[str, float | None]:
        """See :class:`Trial`."""
        heard: dict[bytes, dict[int, float]] = collections.defaultdict(dict)
        for seen in self._many.seen(events.NewsHeard):
            if isinstance(seen.event, events.NewsHeard):
                heard[seen.event.payload].setdefault(seen.number, seen.at)
        rounds, missed = [], 0
        for payload, at in self._told.items():
            if at > self._many.now - _SETTLE_S:
                continue
            due = [
                peer.number
                for peer in self._many.peers
                if peer.is_up and (self._power.since(peer.id) or 0.0) <= at
            ]
            missed += sum(number not in heard[payload] for number in due)
            times = [heard[payload].get(number, at) for number in due]
            rounds.append(max(times, default=at) - at)
        return {
            'rounds_all': _quantile(rounds, 0.5),
            'datagrams_per_peer': _quantile(self._extra, 0.5),
            'missed': missed,
        }


def draw_seeds(many: Simulation, rng: random.Random) -> list[int]:
    """Through whom a machine joins that is switched on now."""
    up = many.up()
    return rng.sample(up, min(len(up), _SEEDS))


def _quantile(values: Iterable[float], share: float) -> float | None:
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(round(share * (len(ordered) - 1)), len(ordered) - 1)]
