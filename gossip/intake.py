# SPDX-License-Identifier: Apache-2.0
"""What becomes of a datagram: opened, judged, and given to the protocols.

No paper: ours, from what a stranger, a member and a thief could make us do.

Rules for what comes in:

1. A datagram that does not open, or was seen, is counted and dropped.
2. From a sender whose descriptor and credential we do not hold, or whose
   boot id is another, only introductions are read, and each proves itself
   by its signatures; the sender is asked to introduce itself.
3. A message that does not hold is counted and dropped, alone.
4. Of what is answered at length a datagram may ask once.
5. A datagram of who has been put out is dropped by its clear header: it
   costs neither a key nor a place among the senders. Once a second, among
   all of them, one that opens is told the revocation; unless it shows that
   the root has signed its sender.
"""

import collections
import contextlib
from collections.abc import Sequence

from gossip import (
    codec,
    descriptor,
    errors,
    events,
    messages,
    protocol,
    rumours,
    seal,
    spreading,
)
from gossip import credential as credentials
from gossip import detection as detections
from gossip import dissemination as disseminations
from gossip import entry as entries
from gossip import introduction as introductions
from gossip import revocations as revoking
from gossip import store as stores
from gossip import view as views

_MESSAGES_MAX = 128
_FROM_STRANGERS = (
    messages.IssuerItem,
    messages.MemberItem,
    messages.Hello,
    messages.Introduce,
    messages.RevocationItem,
)
_TELL_S = 1.0
_KEY_TOLD_S = 10.0

_ANSWERED_AT_LENGTH = (messages.Hello, messages.Buckets, messages.Want)
"""Of these a datagram may hold one: answers are longer than they are."""


class Intake:
    """Reads datagrams for one node.

    :param dropped: where what is dropped is counted, by its reason
    """

    def __init__(
        self,
        opener: seal.Opener,
        trust: credentials.Trust,
        view: views.View,
        store: stores.Store,
        revocations: revoking.Revocations,
        introduction: introductions.Introduction,
        detection: detections.Detection,
        dissemination: disseminations.Dissemination,
        spreader: spreading.Spreading,
        news: rumours.Rumours,
        dropped: collections.Counter[str],
    ) -> None:
        self._opener = opener
        self._trust = trust
        self._view = view
        self._store = store
        self._revocations = revocations
        self._tell_at = 0.0
        self._key_told_at = -_KEY_TOLD_S
        self._introduction = introduction
        self._detection = detection
        self._dissemination = dissemination
        self._spreading = spreader
        self._rumours = news
        self._dropped = dropped
        self._routes: dict[type, list[protocol.Protocol]] = {}
        for part in (introduction, detection, dissemination, spreader):
            for kind in part.handles:
                self._routes.setdefault(kind, []).append(part)

    def set_ring_keys(self, ring: seal.RingKeys) -> None:
        """Open what was sealed with any of these from now on."""
        self._opener.set_ring_keys(ring)

    def take(
        self, datagram: bytes, sender: descriptor.Address, now: float
    ) -> None:
        """Take a datagram; never raises for what is in it."""
        revoked = self._revocation(datagram)
        if revoked is not None:
            self._drop('credential_revoked')
            self._tell_revoked(revoked, datagram, sender, now)
            return
        try:
            opened = self._opener.open(datagram, sender)
            decoded = codec.decode(opened.plain)
        except errors.MalformedMessage:
            self._drop('malformed')
            return
        except errors.Refused as error:
            self._drop(error.reason)
            if error.reason == 'ring_key':
                self._tell_of_key(datagram, now)
            return
        if opened.peer == self._view.identity.peer:
            self._drop('own_id')
        else:
            if decoded.unknown:
                self._dropped['unknown_kind'] += decoded.unknown
            self._read(opened, decoded.messages, sender, now)

    def _revocation(self, datagram: bytes) -> messages.RevocationItem | None:
        peer = seal.sender(datagram)
        return None if peer is None else self._revocations.get(peer)

    def _tell_revoked(
        self,
        item: messages.RevocationItem,
        datagram: bytes,
        sender: descriptor.Address,
        now: float,
    ) -> None:
        if now < self._tell_at:
            return
        try:
            opened = self._opener.open(datagram, sender)
            many = codec.decode(opened.plain).messages
        except errors.GossipError:
            return
        self._tell_at = now + _TELL_S
        origin = protocol.Origin(opened.peer, sender)
        self._rumours.way = _way(many)
        for message in many:
            if isinstance(message, messages.MemberItem):
                with contextlib.suppress(errors.GossipError):
                    self._check_stranger(message, origin)
                    self._dispatch(message, origin, now)
        if self._revocations.get(opened.peer) is None:
            self._read(opened, many, sender, now)
        else:
            self._introduction.turn_away(sender, item)

    def _tell_of_key(self, datagram: bytes, now: float) -> None:
        if now >= self._key_told_at + _KEY_TOLD_S:
            self._key_told_at = now
            number = seal.ring_key_number(datagram)
            self._view.emit(events.RingKeyUnknown(number))

    def _drop(self, reason: str) -> None:
        self._dropped[reason] += 1

    def _read(
        self,
        opened: seal.Opened,
        many: Sequence[messages.Message],
        sender: descriptor.Address,
        now: float,
    ) -> None:
        origin = protocol.Origin(opened.peer, sender)
        relay: messages.Relay | None = None
        way = _way(many)
        asked: set[type] = set()
        for number, message in enumerate(many):
            if number >= _MESSAGES_MAX:
                self._drop('too_many_messages')
                return
            if type(message) in asked:
                self._drop('repeated')
                continue
            if isinstance(message, _ANSWERED_AT_LENGTH):
                asked.add(type(message))
            is_known = self._knows(opened)
            if not is_known and not isinstance(message, _FROM_STRANGERS):
                self._drop('stranger')
                self._introduction.on_stranger(sender, now)
                return
            if isinstance(message, messages.Bulk):
                way = rumours.Way.STORED
            elif isinstance(message, messages.Relay) and number == 0:
                relay = message
            else:
                self._rumours.way = way
                self._take(message, origin, is_known, now)
        if relay is not None:
            self._spreading.relay(relay, origin, now)

    def _take(
        self,
        message: messages.Message,
        origin: protocol.Origin,
        is_known: bool,
        now: float,
    ) -> None:
        before = self._view.digest.changes
        try:
            if not is_known:
                self._check_stranger(message, origin)
            self._dispatch(message, origin, now)
        except errors.MalformedMessage:
            self._drop('malformed')
        except errors.Refused as error:
            self._drop(error.reason)
        if (
            self._rumours.way is rumours.Way.STORED
            and self._view.digest.changes != before
        ):
            self._dissemination.on_gain(origin)

    def _knows(self, opened: seal.Opened) -> bool:
        entry = self._view.get(opened.peer)
        return (
            entry is not None
            and entry.member.boot_id == opened.boot_id
            and entry.settled is not descriptor.Status.LEFT
        )

    def _check_stranger(
        self, message: messages.Message, origin: protocol.Origin
    ) -> None:
        """Let a stranger speak of itself only; remind it of its past."""
        if isinstance(message, messages.MemberItem):
            said = codec.decode_body(messages.Descriptor, message.body)
            if said.peer != origin.peer:
                raise errors.Refused('stranger')
        elif isinstance(message, messages.Hello):
            entry = self._view.get(origin.peer)
            if entry is not None:
                self._introduction.remind(entry, origin)

    def _dispatch(
        self,
        message: messages.Message,
        origin: protocol.Origin,
        now: float,
    ) -> None:
        match message:
            case messages.IssuerItem():
                self._trust.learn_issuer(
                    message.credential, self._view.now_wall
                )
            case messages.MemberItem():
                if self._view.admit(message):
                    self._revocations.lift(message)
                if message.claim:
                    self._detection.receive(
                        entries.split_claim(message), origin, now
                    )
            case messages.RecordItem():
                self._store.accept(message, now)
            case messages.RevocationItem():
                self._hear_revocation(message, origin, now)
            case messages.Hello(reply=False):
                self._dissemination.greet(origin, now)
                self._told_if_dead(origin, now)
            case _:
                for part in self._routes.get(type(message), ()):
                    part.receive(message, origin, now)

    def _hear_revocation(
        self,
        item: messages.RevocationItem,
        origin: protocol.Origin,
        now: float,
    ) -> None:
        try:
            self._revocations.accept(item)
        except errors.Refused as error:
            if error.reason == 'revocation_subject':
                self._vouch(item, origin, now)
            raise

    def _vouch(
        self,
        item: messages.RevocationItem,
        origin: protocol.Origin,
        now: float,
    ) -> None:
        said = codec.decode_body(messages.Revocation, item.body)
        entry = self._view.get(said.subject)
        if entry is not None:
            self._introduction.vouch(entry, origin, now)

    def _told_if_dead(self, origin: protocol.Origin, now: float) -> None:
        entry = self._view.get(origin.peer)
        if entry is not None:
            self._detection.tell(entry, now)


def _way(many: Sequence[messages.Message]) -> rumours.Way:
    """How the items of a datagram came to us."""
    if many and isinstance(many[0], messages.Relay):
        return rumours.Way.RELAYED
    for message in many:
        if isinstance(message, messages.Hello) and message.reply:
            return rumours.Way.FIRST_HAND
    return rumours.Way.RIDING
