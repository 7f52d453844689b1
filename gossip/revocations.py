# SPDX-License-Identifier: Apache-2.0
"""Who has been put out of the overlay, for ever.

Rules:

1. A revocation is signed by a gateway or an admin: by a key that the root
   has signed. Its credential travels along, so that who has never met the
   author can judge; it must have held when the revocation was made.
2. It bars who is a peer by an issuer's word, and nobody whom the root has
   signed: a gateway that is broken into puts out no other one, no admin and
   no issuer. Of an id that we do not know it is kept, and is void as soon
   as the root's word for that id is seen; who then still tells it is shown
   that word.
3. Of one peer the first revocation suffices, and is kept for ever. It is
   told as news, and by anti-entropy to who was away: there it outranks
   whatever the peer can say of itself.
4. Of each author at most 4,096 are kept: who invents subjects takes the
   place of nobody else's.
5. Who hears of its own revocation is silent from then on.

No paper: who may put out whom is ours.
"""

import collections
from collections.abc import Iterable

from gossip import codec, descriptor, errors, events, messages, signing
from gossip import credential as credentials
from gossip import rumours as rumour
from gossip import view as views

#: (boot, incarnation, status): above all that a descriptor can say.
RANK = (2**48 - 1, 2**48 - 1, descriptor.Status.REVOKED)
REVOCATIONS_MAX = 4096
"""Of one author."""
_AUTHORS = (descriptor.Role.GATEWAY, descriptor.Role.ADMIN)


class Revocations:
    """The revocations that one node knows."""

    def __init__(self, view: views.View, rumours: rumour.Rumours) -> None:
        self._view = view
        self._rumours = rumours
        self._items: dict[descriptor.PeerId, messages.RevocationItem] = {}
        self._made: collections.Counter[bytes] = collections.Counter()
        """How many of them are of one author, by its key."""

    def get(self, peer: descriptor.PeerId) -> messages.RevocationItem | None:
        """The revocation of a peer, if there is one."""
        return self._items.get(peer)

    def peers(self) -> Iterable[descriptor.PeerId]:
        """Who has been put out, in the order in which we heard of it."""
        return self._items.keys()

    def make(
        self, subject: descriptor.PeerId, now_wall: float
    ) -> messages.RevocationItem:
        """Put a peer out, in our own name.

        :raises Misuse: we are no gateway, or the subject is no peer;
            nothing changed
        """
        identity = self._view.identity
        item = messages.RevocationItem(
            *self._view.sign(messages.Revocation(subject, int(now_wall))),
            identity.credential,
        )
        try:
            self._take(item)
        except errors.Refused as error:
            raise errors.Misuse(error.reason) from error
        held = self._items[subject]
        self._rumours.tell(_news(subject), held, rumour.Care.URGENT)
        return held

    def accept(self, item: messages.RevocationItem) -> bool:
        """Take a revocation, and forget whom it puts out.

        :returns: whether anything changed
        :raises MalformedMessage: not a revocation; nothing changed
        :raises Refused: not to be believed, or no room; nothing changed
        """
        subject = self._take(item)
        if subject is None:
            self._repeat(item)
            return False
        self._rumours.pass_on(_news(subject), item, rumour.Care.URGENT)
        return True

    def bars(self, subject: descriptor.PeerId) -> bool:
        """Whether a revocation would bar whom we hold by this id."""
        entry = self._view.get(subject)
        return entry is None or entry.member.role is descriptor.Role.PEER

    def lift(self, shown: messages.MemberItem) -> None:
        """Keep none of whom the root has signed, as was just shown."""
        if not self._items:
            return
        subject = codec.decode_body(messages.Descriptor, shown.body).peer
        if subject not in self._items or self.bars(subject):
            return
        self._made[_author_key(self._items.pop(subject))] -= 1
        self._view.digest.toggle(subject, '', *RANK)
        self._rumours.drop(_news(subject))
        self._view.emit(events.RevocationVoid(subject))

    def _repeat(self, item: messages.RevocationItem) -> None:
        said = codec.decode_body(messages.Revocation, item.body)
        if item == self._items[said.subject]:
            self._rumours.repeat(item)

    def _take(self, item: messages.RevocationItem) -> descriptor.PeerId | None:
        said = codec.decode_body(messages.Revocation, item.body)
        if said.subject in self._items:
            return None
        trust = self._view.trust
        author = trust.check(item.credential, said.made_at)
        if author.role not in _AUTHORS:
            raise errors.Refused('revocation_author')
        if not signing.holds(
            trust,
            author.public_key,
            messages.Revocation,
            signing.Signed(item.body, item.signature),
        ):
            raise errors.Refused('revocation_signature')
        if not self.bars(said.subject):
            raise errors.Refused('revocation_subject')
        if self._made[author.public_key] >= REVOCATIONS_MAX:
            raise errors.Refused('revocations_full')
        self._put(said.subject, item)
        return said.subject

    def _put(
        self, subject: descriptor.PeerId, item: messages.RevocationItem
    ) -> None:
        self._items[subject] = item
        self._made[_author_key(item)] += 1
        self._view.trust.revoke(subject)
        self._view.digest.toggle(subject, '', *RANK)
        self._view.emit(events.PeerRevoked(subject, codec.encode_body(item)))
        if subject != self._view.identity.peer:
            self._view.forget(subject)


def _author_key(item: messages.RevocationItem) -> bytes:
    return credentials.read_credential(item.credential).public_key


def _news(subject: descriptor.PeerId) -> rumour.Key:
    return 'revocation', subject
