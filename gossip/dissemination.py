# SPDX-License-Identifier: Apache-2.0
"""Anti-entropy: what one peer knows, all know in the end.

Demers et al. 1987, Epidemic algorithms, 1.3: resolving a difference by
comparing digests, here in three steps, and only where there is one.
Departures: what is compared first rides on probes, so that peers that agree
spend nothing; and each step is bounded.

1. Every ping and ack carries a summary of 32 bits. If it differs from ours
   and our own knowledge has been still for ``sync_settle_s`` (a rumour may
   be on its way), we send our digests by bucket: Buckets. At most one such
   exchange is begun in ``sync_interval_s``.
2. The other answers, for buckets that differ, with all its versions there:
   Have. As many as fit; the rest is for the next exchange. Where we hold
   nothing, as a newcomer does, it sends what it has.
3. If we began, we send what is newer with us or missing there, and ask for
   what is newer there or missing with us: Want. What is wanted is sent.
4. An exchange that brought us something is followed by another one with
   the same peer, so who was away for days catches up in seconds; but a peer
   that waited meanwhile comes first: who always has something keeps nobody
   from the others. After one that brought us nothing we begin with that
   peer no sooner than after ``sync_interval_s``, then twice that, and so on
   up to 4 s: whoever differs without end, or lies, leaves room for others.
   Who lacks something goes on by itself.
5. A bucket whose difference is the one that we answered before, to the same
   peer, is answered again after ``sync_interval_s``, then twice that, and so
   on up to 5 minutes: two that cannot agree, for one refuses what the other
   keeps, do not quarrel for long; and the datagrams of an answer may have
   been lost. What else differs is answered at once, and so is everything
   after an answer of which we had to leave out a part.

Everything sent is signed by its writer: a liar can withhold, not invent.
All this goes to the address that a peer has signed, and nowhere else: anybody
can send a datagram again in the name of another address, and the answers are
some hundred times as long. Buckets, Have and Want count from that address
only: nobody has us send at length where he does not speak from. Have counts
only if we asked, and says of each peer once what it has. A peer is sent
``sync_datagrams`` in each ``sync_interval_s``, and at first four times as
many.
What came by an exchange is not spread as news: others have it already, or
will get it the same way. Each step is bounded to ``sync_datagrams``.
"""

import dataclasses
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence

from gossip import (
    allowance,
    codec,
    descriptor,
    errors,
    messages,
    protocol,
    rumours,
    seal,
)
from gossip import config as configs
from gossip import digest as digests
from gossip import revocations as revoking
from gossip import store as stores
from gossip import view as views

_WANT_BYTES = 1000
_HAVE_BYTES = 1000
_STILL_S = 3.0
_ASKED_S = 5.0
_ASKED_MAX = 64
_SHUN_S = 4.0
_QUARREL_S = 300.0
_ANSWERED_MAX = 4096
_HAVES_MAX = 48
_BURST = 4
ELSEWHERE = 'elsewhere'
"""Why a peer is refused that does not ask from its own address."""
#: The rank of whom we hold nothing of.
_NOTHING = (-1, -1, 0)


@dataclasses.dataclass
class _Asked:
    """The last exchange that we began with a peer."""

    at: float
    wait: float
    """So long at least until the next one."""
    told: list[tuple[bytes, bytes]] = dataclasses.field(default_factory=list)
    """The ranges of which it has told."""

    def hear(self, low: bytes, high: bytes) -> bool:
        """Note a range; whether it is one of which it had told nothing."""
        if len(self.told) >= _HAVES_MAX:
            return False
        if any(low <= end and begin <= high for begin, end in self.told):
            return False
        self.told.append((low, high))
        return True


@dataclasses.dataclass
class _Answered:
    """How a bucket differed when we last answered a peer."""

    difference: int
    wait: float
    again_at: float


class Dissemination:
    """Compares digests and exchanges what differs."""

    handles = (
        messages.Ping,
        messages.Ack,
        messages.Buckets,
        messages.Have,
        messages.Want,
    )

    def __init__(
        self,
        config: configs.NodeConfig,
        rng: random.Random,
        view: views.View,
        store: stores.Store,
        revocations: revoking.Revocations,
        outbox: protocol.Outbox,
    ) -> None:
        self._config = config
        self._rng = rng
        self._view = view
        self._store = store
        self._revocations = revocations
        self._outbox = outbox
        self._next_at = 0.0
        self._seen = 0
        self._changed_at = 0.0
        self._differs_since: float | None = None
        self._asked: dict[descriptor.PeerId, _Asked] = {}
        self._answered: dict[tuple[descriptor.PeerId, int], _Answered] = {}
        self._again: tuple[float, descriptor.PeerId] | None = None
        self._wants: dict[protocol.Origin, list[messages.WantItem]] = {}
        self._gives: dict[protocol.Origin, dict[messages.WantItem, None]] = {}
        self._now = 0.0
        self._allowance = allowance.Allowance(
            _BURST * config.sync_datagrams,
            config.sync_datagrams / config.sync_interval_s,
        )
        self._waiting: descriptor.PeerId | None = None
        """Who differed while another exchange went on."""

    def receive(
        self,
        message: messages.Message,
        sender: protocol.Origin,
        now: float,
    ) -> None:
        """Take a message; see :class:`gossip.protocol.Protocol`."""
        self._now = now
        entry = self._view.get(sender.peer)
        if entry is None:
            return
        home = protocol.Origin(sender.peer, entry.member.address)
        match message:
            case messages.Ping() | messages.Ack():
                self._compare(message.summary, home, now)
            case _ if sender != home:
                raise errors.Refused(ELSEWHERE)
            case messages.Buckets():
                self._answer(message, home, now)
            case messages.Have():
                self._settle(message, home, now)
            case messages.Want():
                self._serve(message, home)

    def deadline(self) -> float | None:
        """When something is due."""
        return None if self._again is None else self._again[0]

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        if self._again is not None and now >= self._again[0]:
            last, self._again = self._again[1], None
            first, self._waiting = self._waiting or last, None
            self._begin(first, now)

    def pack(self) -> None:
        """Make letters of all that was wanted and asked for meanwhile."""
        most = self._config.sync_datagrams
        for to, wants in self._wants.items():
            for want in itertools.islice(_cut(wants), most):
                self._outbox.send(to.address, want, ride=False)
        for to, gives in self._gives.items():
            self._send_all(to, self._letters(gives, to))
        self._wants.clear()
        self._gives.clear()

    def greet(self, sender: protocol.Origin, now: float) -> None:
        """Begin with a peer that has just answered us, if we are free."""
        if now >= self._next_at and self._again is None:
            self._begin(sender.peer, now)

    def on_gain(self, sender: protocol.Origin, now: float) -> None:
        """What a peer gave in an exchange was new to us: ask for more."""
        interval = self._config.sync_interval_s
        asked = self._asked.get(sender.peer)
        if asked is not None:
            asked.wait = interval
        if self._again is None:
            self._again = now + interval, sender.peer

    # Step 1

    def _compare(
        self, summary: int, sender: protocol.Origin, now: float
    ) -> None:
        own = self._view.digest.summary()
        if own != self._seen:
            self._seen = own
            self._changed_at = now
        if summary == own:
            self._differs_since = None
            return
        if self._differs_since is None:
            self._differs_since = now
        is_still = now >= self._changed_at + self._config.sync_settle_s
        if not is_still and now < self._differs_since + _STILL_S:
            return
        if self._again is not None:
            if sender.peer != self._again[1] and self._may_begin(
                sender.peer, now
            ):
                self._waiting = sender.peer
        elif now >= self._next_at:
            self._begin(sender.peer, now)

    def _may_begin(self, peer: descriptor.PeerId, now: float) -> bool:
        asked = self._asked.get(peer)
        return asked is None or now >= asked.at + asked.wait

    def _begin(self, peer: descriptor.PeerId, now: float) -> None:
        entry = self._view.get(peer)
        if entry is None or not self._may_begin(peer, now):
            return
        interval = self._config.sync_interval_s
        self._next_at = now + interval
        last = self._asked.pop(peer, None)
        wait = interval if last is None else min(2 * last.wait, _SHUN_S)
        self._asked[peer] = _Asked(now, wait)
        if len(self._asked) > _ASKED_MAX:
            del self._asked[next(iter(self._asked))]
        buckets = messages.Buckets(self._view.digest.buckets())
        self._outbox.send(entry.member.address, buckets)

    # Step 2

    def _answer(
        self, message: messages.Buckets, sender: protocol.Origin, now: float
    ) -> None:
        own = self._view.digest.buckets()
        differences = {
            number: own[number] ^ message.digests[number]
            for number in range(messages.BUCKETS)
        }
        differing = [
            number
            for number, difference in differences.items()
            if difference
            and self._is_due(sender.peer, number, difference, now)
        ]
        self._rng.shuffle(differing)

        def note(buckets: list[int]) -> Iterator[int]:
            for number in buckets:
                self._note(sender.peer, number, differences[number], now)
                yield number

        bare = note([n for n in differing if not message.digests[n]])
        held = note([n for n in differing if message.digests[n]])
        items = itertools.chain.from_iterable(map(self._all, bare))
        self._send_all(sender, self._letters(items, sender))
        haves = itertools.chain.from_iterable(map(self._describe, held))
        frames = map(codec.encode, haves)
        most = self._config.sync_datagrams // 4 or 1
        groups = rumours.cut(frames, seal.MAX_PLAIN)
        self._send(sender, map(b''.join, groups), most)

    def _is_due(
        self, peer: descriptor.PeerId, bucket: int, difference: int, now: float
    ) -> bool:
        last = self._answered.get((peer, bucket))
        return (
            last is None
            or last.difference != difference
            or now >= last.again_at
        )

    def _note(
        self, peer: descriptor.PeerId, bucket: int, difference: int, now: float
    ) -> None:
        """Remember what we answer, and for how long to do so no more."""
        wait = self._config.sync_interval_s
        last = self._answered.pop((peer, bucket), None)
        if last is not None and last.difference == difference:
            wait = min(2 * last.wait, _QUARREL_S)
        answered = _Answered(difference, wait, now + wait)
        self._answered[peer, bucket] = answered
        if len(self._answered) > _ANSWERED_MAX:
            del self._answered[next(iter(self._answered))]

    def _all(self, bucket: int) -> Iterator[messages.WantItem]:
        """Everything that we hold in a bucket, peer by peer."""
        for peer in sorted(self._peers(*digests.bucket_range(bucket))):
            yield messages.WantItem(peer, '')
            for held in self._store.held(peer):
                yield messages.WantItem(peer, held.record.part)

    def _describe(self, bucket: int) -> Iterator[messages.Have]:
        """All that we hold in a bucket, in datagrams that cover it."""
        low, high = digests.bucket_range(bucket)
        members: list[messages.HaveMember] = []
        size = 0
        for peer in sorted(self._peers(low, high)):
            member = self._describe_peer(peer)
            length = len(codec.encode_body(member))
            if members and size + length > _HAVE_BYTES:
                yield messages.Have(low, members[-1].peer, tuple(members))
                low, members, size = _after(members[-1].peer), [], 0
            members.append(member)
            size += length
        yield messages.Have(low, high, tuple(members))

    def _peers(self, low: bytes, high: bytes) -> set[descriptor.PeerId]:
        """Of whom we hold anything, in this range."""
        held = {entry.member.peer for entry in self._view.entries()}
        return {
            peer
            for peer in held.union(self._revocations.peers())
            if low <= peer <= high
        }

    def _rank(self, peer: descriptor.PeerId) -> tuple[int, int, int]:
        """What a newer word about a peer exceeds."""
        if self._revocations.get(peer) is not None:
            return revoking.RANK
        entry = self._view.get(peer)
        return _NOTHING if entry is None else (*entry.order, entry.settled)

    def _describe_peer(self, peer: descriptor.PeerId) -> messages.HaveMember:
        parts = tuple(
            messages.HavePart(held.record.part, *held.record.version)
            for held in self._store.held(peer)
        )
        return messages.HaveMember(peer, *self._rank(peer), parts)

    # Step 3

    def _settle(
        self, message: messages.Have, sender: protocol.Origin, now: float
    ) -> None:
        asked = self._asked.get(sender.peer)
        if asked is None or now > asked.at + _ASKED_S:
            raise errors.Refused('have_unasked')
        if not asked.hear(message.low, message.high):
            raise errors.Refused('have_again')
        theirs = {member.peer: member for member in message.members}
        wants: list[messages.WantItem] = []
        gives: list[messages.WantItem] = []
        ours = sorted(self._peers(message.low, message.high))
        for peer in dict.fromkeys([*theirs, *ours]):
            self._settle_peer(peer, theirs.get(peer), wants, gives)
        self._wants.setdefault(sender, []).extend(wants)
        self._give(gives, sender)
        if wants or gives:
            again = now + self._config.sync_interval_s
            self._again = again, sender.peer

    def _settle_peer(
        self,
        peer: descriptor.PeerId,
        theirs: messages.HaveMember | None,
        wants: list[messages.WantItem],
        gives: list[messages.WantItem],
    ) -> None:
        own = self._rank(peer)
        other = (
            _NOTHING
            if theirs is None
            else (theirs.boot, theirs.incarnation, theirs.status)
        )
        if other > own:
            wants.append(messages.WantItem(peer, ''))
        elif own > other:
            gives.append(messages.WantItem(peer, ''))
        mine = {
            held.record.part: tuple(held.record.version)
            for held in self._store.held(peer)
        }
        them = (
            {}
            if theirs is None
            else {part.part: (part.boot, part.n) for part in theirs.parts}
        )
        for part in dict.fromkeys([*mine, *them]):
            here, there = mine.get(part, (-1, -1)), them.get(part, (-1, -1))
            item = messages.WantItem(peer, part)
            if there > here and own[2] < descriptor.Status.LEFT:
                wants.append(item)
            elif here > there and other[2] < descriptor.Status.LEFT:
                gives.append(item)

    def _serve(self, message: messages.Want, sender: protocol.Origin) -> None:
        self._give(message.items, sender)

    def _give(
        self, wanted: Iterable[messages.WantItem], to: protocol.Origin
    ) -> None:
        self._gives.setdefault(to, {}).update(dict.fromkeys(wanted))

    def _send_all(self, to: protocol.Origin, letters: Iterator[bytes]) -> None:
        self._send(to, letters, self._config.sync_datagrams)

    def _send(
        self, to: protocol.Origin, letters: Iterator[bytes], most: int
    ) -> None:
        """Send as many of these as the peer may be sent now."""
        for number, plain in enumerate(letters):
            if number >= most or not self._allowance.take(to.peer, self._now):
                self._forget_answers(to.peer)
                break
            self._outbox.send_plain(to.address, plain)

    def _forget_answers(self, peer: descriptor.PeerId) -> None:
        """Answer a peer at once when it asks again: we left out a part."""
        for number in range(messages.BUCKETS):
            self._answered.pop((peer, number), None)

    def _letters(
        self, wanted: Iterable[messages.WantItem], to: protocol.Origin
    ) -> Iterator[bytes]:
        """What was asked for, as many to a datagram as fit.

        An issuer comes before what it has signed; its own peers know it.
        """
        head = codec.encode(messages.Bulk())
        frames = self._frames(wanted, to)
        for group in rumours.cut(frames, seal.MAX_PLAIN - len(head)):
            yield head + b''.join(group)

    def _frames(
        self, wanted: Iterable[messages.WantItem], to: protocol.Origin
    ) -> Iterator[bytes]:
        reader = self._view.get(to.peer)
        known = set() if reader is None else {reader.credential.issuer}
        for want in wanted:
            yield from map(codec.encode, self._items(want, known))

    def _items(
        self, want: messages.WantItem, known: set[bytes]
    ) -> list[messages.Message]:
        if want.part:
            held = self._store.get(want.peer, want.part)
            return [] if held is None else [held.item]
        revocation = self._revocations.get(want.peer)
        if revocation is not None:
            return [revocation]
        entry = self._view.get(want.peer)
        if entry is None:
            return []
        name = entry.credential.issuer
        issuer = self._view.trust.issuer(name)
        if issuer is None or name in known:
            return [entry.item]
        known.add(name)
        return [messages.IssuerItem(issuer), entry.item]


def _cut(wants: Sequence[messages.WantItem]) -> Iterator[messages.Want]:
    """As many to a datagram as fit."""
    letter: list[messages.WantItem] = []
    size = 0
    for want in wants:
        length = len(codec.encode_body(want))
        if letter and size + length > _WANT_BYTES:
            yield messages.Want(tuple(letter))
            letter, size = [], 0
        letter.append(want)
        size += length
    if letter:
        yield messages.Want(tuple(letter))


def _after(peer: descriptor.PeerId) -> bytes:
    number = int.from_bytes(peer, 'big') + 1
    return min(number, 2**128 - 1).to_bytes(16, 'big')
