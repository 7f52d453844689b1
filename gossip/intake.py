# SPDX-License-Identifier: Apache-2.0
"""What becomes of a datagram: opened, judged, and given to the protocols.

No paper: ours, from what a stranger, a member and a thief could make us do.

Rules for what comes in:

1. A datagram that does not open, or was seen, is counted and dropped.
2. From a sender whose descriptor and credential we do not hold, or whose
   boot id is another, only introductions are read, and each proves itself
   by its signatures; the sender is asked to introduce itself.
3. As much from a sender that has spoken to us from the address of its
   descriptor and now speaks from another: it has moved and can show it, or
   somebody sends its datagrams again, or forges them with the ring key.
   Who never did may send from several addresses; for what is answered at
   length see :mod:`gossip.dissemination`.
4. A message that does not hold is counted and dropped, alone; but after a
   signature that does not hold the rest is not read: nobody passes on what
   he has not verified, and to find out costs the most.
5. Of what is answered a datagram may ask once.
6. A datagram of who has been put out is dropped by its clear header: it
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

_ANSWERED = (
    messages.Ping,
    messages.PingRequest,
    messages.Hello,
    messages.Introduce,
    messages.Buckets,
    messages.Want,
)
"""Of these a datagram may hold one each."""
_FORGED = '_signature'
"""How the reason ends if a signature does not hold."""


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
                    self._check_stranger(message, origin, opened, now)
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
        relay = self._read_each(opened, many, origin, now)
        if relay is not None:
            self._spreading.relay(relay, origin, now)

    def _read_each(
        self,
        opened: seal.Opened,
        many: Sequence[messages.Message],
        origin: protocol.Origin,
        now: float,
    ) -> messages.Relay | None:
        """Take one after the other.

        :returns: how far to pass on what was new of those taken
        """
        relay: messages.Relay | None = None
        way = _way(many)
        asked: set[type] = set()
        for number, message in enumerate(many):
            if number >= _MESSAGES_MAX:
                self._drop('too_many_messages')
                break
            if type(message) in asked:
                self._drop('repeated')
                continue
            if isinstance(message, _ANSWERED):
                asked.add(type(message))
            is_known = self._knows(opened, origin.address)
            if not is_known and not isinstance(message, _FROM_STRANGERS):
                self._drop('stranger')
                self._introduction.on_stranger(origin.address, now)
                break
            if isinstance(message, messages.Bulk):
                way = rumours.Way.STORED
            elif isinstance(message, messages.Relay) and number == 0:
                relay = message
            else:
                self._rumours.way = way
                stranger = None if is_known else opened
                if not self._take(message, origin, stranger, now):
                    break
        return relay

    def _take(
        self,
        message: messages.Message,
        origin: protocol.Origin,
        stranger: seal.Opened | None,
        now: float,
    ) -> bool:
        """Take a message; whether to read on after it."""
        reads_on = True
        before = self._view.digest.changes
        try:
            if stranger is not None:
                self._check_stranger(message, origin, stranger, now)
            self._dispatch(message, origin, now)
        except errors.MalformedMessage:
            self._drop('malformed')
        except errors.Refused as error:
            self._drop(error.reason)
            if error.reason == disseminations.ELSEWHERE:
                self._introduction.on_stranger(origin.address, now)
            reads_on = not error.reason.endswith(_FORGED)
        if (
            self._rumours.way is rumours.Way.STORED
            and self._view.digest.changes != before
        ):
            self._dissemination.on_gain(origin, now)
        return reads_on

    def _knows(self, opened: seal.Opened, address: descriptor.Address) -> bool:
        """Whether all that is said so, and from there, is read."""
        entry = self._view.get(opened.peer)
        if (
            entry is None
            or entry.member.boot_id != opened.boot_id
            or entry.settled is descriptor.Status.LEFT
        ):
            return False
        if entry.member.address == address:
            entry.is_met = True
            return True
        return not entry.is_met

    def _check_stranger(
        self,
        message: messages.Message,
        origin: protocol.Origin,
        stranger: seal.Opened,
        now: float,
    ) -> None:
        """Let a stranger speak of itself only; remind it of its past."""
        if isinstance(message, messages.MemberItem):
            said = codec.decode_body(messages.Descriptor, message.body)
            if said.peer != origin.peer:
                raise errors.Refused('stranger')
        elif isinstance(message, messages.Hello):
            entry = self._view.get(origin.peer)
            if entry is not None and entry.member.boot_id != stranger.boot_id:
                self._introduction.remind(entry, origin, now)

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
