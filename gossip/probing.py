# SPDX-License-Identifier: Apache-2.0
"""Probes: asking a peer whether it is there, directly and through others.

Das, Gupta, Motivala 2002, SWIM, 3.1 and 4.3: the peers are probed in an
order drawn by chance, each once before any is probed twice; a newcomer takes
a place by chance in the order under way, and whoever is suspected may come
before its turn besides. A silent one is probed through ``indirect_probes``
others before it counts as failed.

Departures: the direct probe is repeated along with the indirect ones, for
one lost datagram is the likeliest cause; who was asked and hears nothing
says so (Lifeguard's nack), so that we can tell our own silence from theirs.
Where nobody can be asked, a failed probe says nothing of our own health.
The words of those who were asked are counted when the probe's time is over:
a lone one that all others contradict is believed once, and the peer probed
next again. Only the peer's own answer restarts its time as a suspect. So
one liar keeps no dead peer alive, where there are two others to ask. The
numbers of probes are drawn by chance: who sees one cannot answer the next
unseen.
One probe is due in each period, and who is awake anyway in its later part,
to answer another's probe, makes it then: a wake-up costs more than what it
brings.
"""

import dataclasses
import math
import random
import typing

from gossip import awareness as awarenesses
from gossip import config as configs
from gossip import descriptor, messages, protocol
from gossip import entry as entries
from gossip import view as views

_RELAYS_MAX = 256
#: Of these for one peer, which asks for one or two at a time.
_RELAYS_EACH = 4
#: After a pause we probe again within this time, not all at once.
_RESUME_S = 0.1
#: The share of a period in which a probe may be made early.
_EARLY = 0.75


@dataclasses.dataclass
class _Probe:
    """Our own probe under way.

    :param words: of those who were asked: whether they found it alive;
        None as long as they are silent
    """

    entry: entries.Entry
    seq: int
    escalate_at: float
    finish_at: float
    words: dict[descriptor.PeerId, bool | None] = dataclasses.field(
        default_factory=dict
    )
    is_refused: bool = False

    def is_vouched_for(self) -> bool:
        """Whether any of those who were asked has found it alive."""
        return True in self.words.values()

    def is_doubtful(self) -> bool:
        """Whether all the others say that it is silent."""
        words = list(self.words.values())
        return words.count(False) == len(words) - 1 > 0


class _Relay(typing.NamedTuple):
    target: descriptor.PeerId
    origin: protocol.Origin
    seq: int
    nack_at: float
    forget_at: float
    say_at: float | None = None


class Judge(typing.Protocol):
    """What is made of a probe that was not answered."""

    def on_failed(self, entry: entries.Entry, now: float) -> None:
        """Our own probe of this peer was not answered in time."""

    def on_refused(self, entry: entries.Entry, now: float) -> None:
        """Our own probe was refused by the peer's machine."""

    def vouch(self, peer: descriptor.PeerId, to: descriptor.Address) -> None:
        """A probe that another asked for was refused, not answered."""


class Prober:
    """Our own probes, one at a time, and those we make for others.

    :param judge: hears of those that were not answered
    """

    def __init__(
        self,
        config: configs.NodeConfig,
        rng: random.Random,
        view: views.View,
        awareness: awarenesses.Awareness,
        outbox: protocol.Outbox,
        judge: Judge,
    ) -> None:
        self._config = config
        self._rng = rng
        self._view = view
        self._awareness = awareness
        self._outbox = outbox
        self._judge = judge
        self._order: list[descriptor.PeerId] = []
        self._arrivals = 0
        """How many had arrived when the order was drawn or added to."""
        self._urgent: dict[descriptor.PeerId, None] = {}
        self._doubted: set[descriptor.PeerId] = set()
        self._probe: _Probe | None = None
        self._relays: dict[int, _Relay] = {}
        self._tick_at: float | None = None
        self._early_at = math.inf

    def start(self, now: float) -> None:
        """Begin to probe, at a moment drawn by chance within a period."""
        if self._tick_at is None:
            period = self._config.probe_period_s
            self._tick_at = now + self._rng.random() * period

    def hurry(self, peer: descriptor.PeerId) -> None:
        """Probe this peer next."""
        self._urgent[peer] = None

    def forgive(self, now: float) -> None:
        """Drop what was under way while we were stopped."""
        self._probe = None
        self._relays.clear()
        if self._tick_at is not None:
            self._tick_at = now + self._rng.random() * _RESUME_S
            self._early_at = math.inf

    def deadline(self) -> float | None:
        """When something is due."""
        due = self._tick_at
        if due is None:
            return None
        if self._probe is not None:
            due = min(due, self._probe.escalate_at, self._probe.finish_at)
        for relay in self._relays.values():
            due = min(due, relay.nack_at)
            if relay.say_at is not None:
                due = min(due, relay.say_at)
        return due

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        for seq, relay in list(self._relays.items()):
            if relay.say_at is not None and now >= relay.say_at:
                self._judge.vouch(relay.target, relay.origin.address)
                self._relays[seq] = relay._replace(say_at=math.inf)
            elif now >= relay.forget_at:
                del self._relays[seq]
            elif now >= relay.nack_at:
                self._outbox.send(
                    relay.origin.address, messages.Nack(relay.seq)
                )
                self._relays[seq] = relay._replace(nack_at=relay.forget_at)
        probe = self._probe
        if probe is not None and now >= probe.escalate_at:
            self._escalate(probe, self._config.indirect_probes)
        if probe is not None and now >= probe.finish_at:
            self._finish(probe, now)
        if self._tick_at is not None and now >= self._tick_at:
            self._next(now, now)

    def on_awake(self, now: float) -> None:
        """We are awake anyway: probe now if that is due soon."""
        if now >= self._early_at and self._probe is None:
            assert self._tick_at is not None
            self._next(now, max(now, self._tick_at))

    def on_request(
        self,
        message: messages.PingRequest,
        sender: protocol.Origin,
        now: float,
    ) -> None:
        """Probe a peer in another's place."""
        entry = self._view.get(message.target)
        if entry is None or not self._has_room(sender.peer):
            self._outbox.send(sender.address, messages.Nack(message.seq))
            return
        seq = self._next_seq()
        self._relays[seq] = _Relay(
            message.target,
            sender,
            message.seq,
            now + self._config.ack_timeout_s,
            now + self._config.probe_period_s,
        )
        self._outbox.send(entry.member.address, self._ping(seq))

    def on_ack(
        self, message: messages.Ack, sender: protocol.Origin
    ) -> descriptor.PeerId | None:
        """Take an answer.

        :returns: the peer that our own probe has found alive
        """
        relay = self._relays.get(message.seq)
        if relay is not None and relay.target == sender.peer:
            del self._relays[message.seq]
            self._outbox.send(
                relay.origin.address,
                messages.Ack(relay.seq, self._summary()),
            )
            return None
        probe = self._probe
        if probe is None or probe.seq != message.seq:
            return None
        if sender.peer != probe.entry.member.peer:
            if sender.peer in probe.words:
                probe.words[sender.peer] = True
            return None
        self._probe = None
        self._awareness.add(-1)
        self._doubted.discard(sender.peer)
        return sender.peer

    def on_refused(self, address: descriptor.Address, now: float) -> None:
        """A machine says that nobody listens at this address."""
        probe = self._probe
        if (
            probe is not None
            and probe.entry.member.address == address
            and not probe.is_refused
        ):
            probe.is_refused = True
            self._judge.on_refused(probe.entry, now)
            if not probe.words:
                self._escalate(probe, self._config.confirmations + 2)
        for seq, relay in self._relays.items():
            entry = self._view.get(relay.target)
            if (
                relay.say_at is None
                and entry is not None
                and entry.member.address == address
            ):
                say_at = now + self._config.refusal_wait_s
                self._relays[seq] = relay._replace(say_at=say_at)
                self._outbox.send(address, self._ping(seq))

    def on_nack(self, message: messages.Nack, sender: protocol.Origin) -> None:
        """Note a helper that is there."""
        probe = self._probe
        if (
            probe is not None
            and probe.seq == message.seq
            and sender.peer in probe.words
            and probe.words[sender.peer] is None
        ):
            probe.words[sender.peer] = False

    def _has_room(self, origin: descriptor.PeerId) -> bool:
        own = sum(
            relay.origin.peer == origin for relay in self._relays.values()
        )
        return own < _RELAYS_EACH and len(self._relays) < _RELAYS_MAX

    def _ping(self, seq: int) -> messages.Ping:
        return messages.Ping(seq, self._summary())

    def _summary(self) -> int:
        return self._view.digest.summary()

    def _next_seq(self) -> int:
        seq = self._rng.randrange(2**16)
        while seq in self._relays:
            seq = self._rng.randrange(2**16)
        return seq

    def _finish(self, probe: _Probe, now: float) -> None:
        self._probe = None
        peer = probe.entry.member.peer
        is_doubted = peer in self._doubted
        self._doubted.discard(peer)
        if probe.is_vouched_for():
            if not probe.is_doubtful():
                self._awareness.add(-1)
                return
            if not is_doubted:
                self._doubted.add(peer)
                self.hurry(peer)
                return
        self._awareness.add(list(probe.words.values()).count(None))
        self._judge.on_failed(probe.entry, now)

    def _next(self, now: float, began_at: float) -> None:
        """Make the probe of the period that begins then."""
        scale = self._awareness.scale
        period = scale(self._config.probe_period_s)
        self._tick_at = began_at + period
        self._early_at = self._tick_at - period * _EARLY
        entry = self._draw()
        if entry is None:
            return
        seq = self._next_seq()
        escalate_at = now + scale(self._config.ack_timeout_s)
        self._probe = _Probe(entry, seq, escalate_at, now + period)
        self._outbox.send(entry.member.address, self._ping(seq))

    def _draw(self) -> entries.Entry | None:
        alive = descriptor.Status.ALIVE
        while self._urgent:
            peer = next(iter(self._urgent))
            del self._urgent[peer]
            entry = self._view.get(peer)
            if entry is not None and entry.settled is alive:
                return entry
        self._insert_newcomers()
        for _ in range(2):
            while self._order:
                entry = self._view.get(self._order.pop())
                if entry is not None and entry.settled is alive:
                    return entry
            self._order = [entry.member.peer for entry in self._view.others()]
            self._rng.shuffle(self._order)
            self._arrivals = self._view.arrivals
        return None

    def _insert_newcomers(self) -> None:
        if not self._order or self._arrivals == self._view.arrivals:
            return
        known = set(self._order)
        for entry in self._view.others():
            peer = entry.member.peer
            if entry.arrival > self._arrivals and peer not in known:
                place = self._rng.randrange(len(self._order) + 1)
                self._order.insert(place, peer)
        self._arrivals = self._view.arrivals

    def _escalate(self, probe: _Probe, helpers_max: int) -> None:
        probe.escalate_at = math.inf
        target = probe.entry.member
        helpers = [
            entry
            for entry in self._view.others()
            if entry.member.status is descriptor.Status.ALIVE
            and entry.member.peer != target.peer
        ]
        count = min(helpers_max, len(helpers))
        self._outbox.send(target.address, self._ping(probe.seq))
        for helper in self._rng.sample(helpers, count):
            probe.words[helper.member.peer] = None
            self._outbox.send(
                helper.member.address,
                messages.PingRequest(probe.seq, target.peer),
            )
