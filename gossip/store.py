# SPDX-License-Identifier: Apache-2.0
"""What each peer says of itself: signed parts, kept by everyone.

Van Renesse et al. 2008, Scuttlebutt: what a peer says has one writer, which
counts its versions. Departures: parts are compared one by one, each is
signed, and a boot comes before the count, so that a writer may lose it.

Rules:

1. A part has one writer, the peer itself. Its version (boot, n) only grows;
   an equal or older one is ignored, whoever brings it.
2. An empty payload deletes; its version stays, so that nothing older comes
   back.
3. The parts of the dead stay, of those who left they go.
4. The running program is the truth about itself: a part of an earlier boot
   of ours that comes back to us, and that was not published in this one,
   is deleted. So publish before joining. A part of ours whose boot is ours
   or later, and that we did not write, raises our boot.
5. Of each peer the ``parts_max`` newest parts are kept, by version and then
   by name, in whatever order they come: so all keep the same, whoever was
   told what. What gives way is gone like a deleted part, and is older than
   all that is kept, so it does not come back. We ourselves give out no more
   names in one boot, and delete what is of an earlier one as its last word
   in that one: so it gives way first.
6. Eight parts of each peer hold its news, which so reach everybody in the
   end. A piece of news joins those of the part that was begun last while it
   has room, so whoever hears a later piece hears the earlier ones with it.
   Else the part that was told longest ago, in whatever boot, is begun anew,
   if that was 20 s ago: until then anti-entropy brings it to everybody, also
   at a loss of a fifth. If not, the writer is told when: nothing is lost
   unsaid.
7. A part of news of an earlier boot of ours stays: who has not heard them
   yet shall. A boot begins with a part that the boots before it did not.
8. What came down a tree is new, whatever the clocks say. What came from a
   store and is older than ten minutes by the writer's clock is counted, but
   told no more: who comes back after a week has the records to go by.
9. Of one writer at most 64 parts in ten seconds go on down the trees: more
   are kept, and left to anti-entropy.
"""

import collections
import dataclasses
import math
import typing
from collections.abc import Iterable

from gossip import codec, descriptor, errors, events, messages, signing
from gossip import config as configs
from gossip import rumours as rumour
from gossip import view as views

NEWS_S = 600.0
"""Older news are kept for who asks, but told no more."""
_HOLD_S = 20.0
"""A part of news stays so long at least."""
_SPREAD_MAX = 64
_SPREAD_S = 10.0
"""So many parts of one writer go on in so many seconds."""
_SLOTS = tuple(f'@{number}' for number in range(8))
"""Parts that hold a peer's last news, each as a News."""
_STEP = 3
"""From the part with which one boot begins to that of the next."""

_LAST = 2**48 - 1
"""Above all that counts up in one boot."""

#: Id, made at, payload.
_Piece = tuple[bytes, int, bytes]


class Held(typing.NamedTuple):
    """A part, and the signed bytes that say so."""

    record: descriptor.Record
    item: messages.RecordItem


class Store:
    """The records that one node knows, its own among them.

    :param dropped: where news that are too old are counted, and parts that
        are not passed on
    """

    def __init__(
        self,
        config: configs.NodeConfig,
        view: views.View,
        rumours: rumour.Rumours,
        dropped: collections.Counter[str],
    ) -> None:
        self._dropped = dropped
        self._config = config
        self._view = view
        self._rumours = rumours
        self._parts: dict[descriptor.PeerId, dict[str, Held]] = {}
        self._boot = view.own.member.boot
        self._n = 0
        self._slot = ''
        self._touched: dict[str, float] = {}
        """When our parts of news were told, in an earlier boot too."""
        self._spread: collections.Counter[descriptor.PeerId] = (
            collections.Counter()
        )
        self._spread_until = 0.0

    def held(self, peer: descriptor.PeerId) -> Iterable[Held]:
        """All parts of a peer, the deleted ones too."""
        return self._parts.get(peer, {}).values()

    def get(self, peer: descriptor.PeerId, part: str) -> Held | None:
        """One part of a peer, deleted or not."""
        return self._parts.get(peer, {}).get(part)

    def publish(self, part: str, payload: bytes) -> descriptor.Version:
        """Say something of ourselves.

        :returns: its version; the present one if nothing changes
        :raises Misuse: what others would not read, or too many parts;
            nothing changed
        """
        descriptor.check_part(part)
        if is_news(part):
            raise errors.Misuse('the name of a part is kept for news')
        if not _is_bytes(payload, descriptor.PAYLOAD_MAX):
            raise errors.Misuse('a part has at most 900 bytes')
        held = self.get(self._view.identity.peer, part)
        if held is not None and held.record.payload == payload:
            if held.record.version.boot == self._boot:
                return held.record.version
        elif held is None:
            oldest = self._gives_way(self._view.identity.peer)
            if oldest is not None and oldest.version.boot == self._boot:
                raise errors.Misuse('too many parts')
        return self._write(part, payload)

    def announce(self, news_id: bytes, payload: bytes, now: float) -> None:
        """Tell everybody something.

        :raises Misuse: too short or too long, or too much at once; nothing
            changed
        """
        if not payload or not _is_bytes(payload, descriptor.NEWS_MAX):
            raise errors.Misuse('a piece of news has 1..512 bytes')
        own = self._view.identity.peer
        made_at = int(self._view.now_wall)
        slot, said = self._slot, self._join(news_id, made_at, payload)
        if said is None:
            slot = min(_SLOTS, key=self._turn)
            wait = self._touched.get(slot, -math.inf) + _HOLD_S - now
            if wait > 0:
                raise errors.Misuse(
                    f'too much news: no room for {math.ceil(wait)} s'
                )
            said = messages.News(news_id, made_at, payload)
        self._slot = slot
        self._touched[slot] = now
        self._write(slot, codec.encode_body(said))
        self._view.emit(events.NewsHeard(own, news_id, payload, made_at))

    def accept(self, item: messages.RecordItem, now: float) -> bool:
        """Take a part, if it is newer than what we hold.

        :returns: whether anything changed
        :raises MalformedMessage: not a part; nothing changed
        :raises Refused: not to be believed, or older than all of the many
            that we keep; nothing changed
        """
        said = codec.decode_body(messages.Part, item.body)
        version = descriptor.Version(said.boot, said.n)
        held = self.get(said.peer, said.part)
        if held is not None and version <= held.record.version:
            if item == held.item:
                self._rumours.repeat(item)
            return False
        record = descriptor.Record(said.peer, said.part, said.payload, version)
        if held is None and not is_news(said.part):
            oldest = self._gives_way(said.peer)
            if oldest is not None and _age(record) < _age(oldest):
                raise errors.Refused('parts_full')
        self._check_signature(said, item)
        news: messages.News | None = None
        if is_news(said.part):
            # Our own of an earlier boot too: who has not heard them shall.
            news = codec.decode_body(messages.News, said.payload)
        elif said.peer == self._view.identity.peer and (
            said.payload or said.boot >= self._boot
        ):
            self._hear_of_own(said)
            return False
        self._put(Held(record, item))
        if self._may_spread(said.peer, now):
            self._rumours.pass_on(_news(record), item, _care(said.part))
        else:
            self._dropped['not_passed_on'] += 1
            self._rumours.hold_back(_news(record), item)
        if news is None:
            self._tell(record)
        else:
            self._hear(said.peer, news, held)
            if said.peer == self._view.identity.peer:
                age = max(self._view.now_wall - news.made_at, 0.0)
                self._touched[said.part] = now - age
        return True

    def drop(self, peer: descriptor.PeerId) -> None:
        """Hold nothing of a peer that left."""
        for held in self._parts.pop(peer, {}).values():
            self._toggle(held.record)
            self._rumours.drop(_news(held.record))

    def settle(self) -> None:
        """Write our parts anew if our boot was raised meanwhile."""
        if self._boot == self._view.own.member.boot:
            return
        before, self._boot = self._boot, self._view.own.member.boot
        for held in list(self.held(self._view.identity.peer)):
            if held.record.version.boot == before:
                self._write(held.record.part, held.record.payload)

    def _check_signature(
        self, said: messages.Part, item: messages.RecordItem
    ) -> None:
        entry = self._view.get(said.peer)
        if entry is None or entry.settled is descriptor.Status.LEFT:
            raise errors.Refused('record_peer')
        if not signing.holds(
            self._view.trust,
            entry.member.public_key,
            messages.Part,
            signing.Signed(item.body, item.signature),
        ):
            raise errors.Refused('record_signature')

    def _join(
        self, news_id: bytes, made_at: int, payload: bytes
    ) -> messages.News | None:
        """The news of the present part and this; None if it has no room."""
        held = self.get(self._view.identity.peer, self._slot)
        if held is None:
            return None
        earlier = tuple(
            messages.EarlierNews(*piece)
            for piece in _pieces(held)
            if piece[1] > made_at - NEWS_S
        )
        said = messages.News(news_id, made_at, payload, earlier)
        fits = len(codec.encode_body(said)) <= descriptor.PAYLOAD_MAX
        return said if fits else None

    def _turn(self, slot: str) -> tuple[float, int]:
        """The part of news with the least is begun next."""
        number = _SLOTS.index(slot) - _STEP * self._boot
        return self._touched.get(slot, -math.inf), number % len(_SLOTS)

    def _may_spread(self, writer: descriptor.PeerId, now: float) -> bool:
        if self._rumours.way is rumour.Way.STORED:
            return True
        if now >= self._spread_until:
            self._spread.clear()
            self._spread_until = now + _SPREAD_S
        self._spread[writer] += 1
        return self._spread[writer] <= _SPREAD_MAX

    def _hear(
        self, peer: descriptor.PeerId, news: messages.News, held: Held | None
    ) -> None:
        """Tell the program around us what it was not told before."""
        before = set() if held is None else {one[0] for one in _pieces(held)}
        since = self._view.now_wall - NEWS_S
        if self._rumours.way is rumour.Way.RELAYED:
            since = min(since, news.made_at - NEWS_S)
        for news_id, made_at, payload in reversed(_all(news)):
            if news_id in before:
                continue
            if made_at > since:
                self._view.emit(
                    events.NewsHeard(peer, news_id, payload, made_at)
                )
            else:
                self._dropped['news_old'] += 1

    def _hear_of_own(self, said: messages.Part) -> None:
        self.settle()
        if said.boot >= self._boot:
            self._view.raise_boot(said.boot)
            self.settle()
        else:
            last = descriptor.Version(said.boot, _LAST)
            self._write(said.part, b'', last)

    def _write(
        self,
        part: str,
        payload: bytes,
        version: descriptor.Version | None = None,
    ) -> descriptor.Version:
        if version is None:
            self._n += 1
            version = descriptor.Version(self._boot, self._n)
        peer = self._view.identity.peer
        signed = self._view.sign(messages.Part(peer, part, *version, payload))
        item = messages.RecordItem(signed.body, signed.signature)
        record = descriptor.Record(peer, part, payload, version)
        self._put(Held(record, item))
        self._rumours.tell(_news(record), item, _care(part))
        return version

    def _gives_way(self, peer: descriptor.PeerId) -> descriptor.Record | None:
        """The part that one of another name would take the place of."""
        parts = [
            held.record
            for held in self.held(peer)
            if not is_news(held.record.part)
        ]
        if len(parts) < self._config.parts_max:
            return None
        return min(parts, key=_age)

    def _remove(self, record: descriptor.Record) -> None:
        del self._parts[record.peer][record.part]
        self._toggle(record)
        self._rumours.drop(_news(record))
        if record.payload:
            self._tell(dataclasses.replace(record, payload=b''))

    def _tell(self, record: descriptor.Record) -> None:
        if record.peer != self._view.identity.peer:
            self._view.emit(
                events.RecordChanged(
                    record.peer, record.part, record.payload, record.version
                )
            )

    def _put(self, held: Held) -> None:
        record = held.record
        parts = self._parts.setdefault(record.peer, {})
        before = parts.get(record.part)
        oldest = self._gives_way(record.peer)
        if before is not None:
            self._toggle(before.record)
        elif oldest is not None and not is_news(record.part):
            self._remove(oldest)
        parts[record.part] = held
        self._toggle(record)

    def _toggle(self, record: descriptor.Record) -> None:
        self._view.digest.toggle(record.peer, record.part, *record.version)


def is_news(part: str) -> bool:
    """Whether a part holds a piece of news."""
    return part in _SLOTS


def _age(record: descriptor.Record) -> tuple[descriptor.Version, str]:
    """What the newer of two parts of one peer exceeds."""
    return record.version, record.part


def _is_bytes(payload: object, most: int) -> bool:
    return isinstance(payload, bytes) and len(payload) <= most


def _news(record: descriptor.Record) -> rumour.Key:
    return 'record', record.peer, record.part


def _care(part: str) -> rumour.Care:
    return rumour.Care.SURE if is_news(part) else rumour.Care.CALM


def _pieces(held: Held) -> list[_Piece]:
    """What a part of news holds, the latest first."""
    return _all(codec.decode_body(messages.News, held.record.payload))


def _all(news: messages.News) -> list[_Piece]:
    last = news.id, news.made_at, news.payload
    return [last, *((p.id, p.made_at, p.payload) for p in news.earlier)]
