# SPDX-License-Identifier: Apache-2.0
"""Who is here, as far as this node knows.

Das et al. 2002, SWIM, 4.2, by incarnations. Departures: a boot comes before
them, words are signed, and the dead, those who left and the revoked are
remembered.

Rules, for one peer:

1. What is known is (boot, incarnation, status), and a greater one replaces
   a lesser: alive < suspect < dead < left. Only the peer itself can make a
   descriptor with a greater boot or incarnation: so it refutes, and so it
   returns; nobody else can bring it back (SWIM, 4.2, with boots).
2. A descriptor counts only with a credential that holds and the signature
   of the credential's key, and for an address that one peer can have. A
   claim counts only with its author's.
3. The dead are remembered with their records until their credential
   expires; of those who left, the claim remains until then, so that no
   ghost comes back. The revoked are forgotten: their credential bars them.
   When ``members_max`` are known, those who left give way to others, then
   the dead, whoever's credential expires first: everywhere the same ones.
4. Of ourselves, a claim about what we are now is refuted; what is said in
   our name by our own key is for :mod:`gossip.rivals`.
5. Of others, a process that was superseded and is back, by a greater boot,
   lives beside the one that superseded it: the identity is contested.
"""

import collections
import dataclasses
import random
from collections.abc import Iterable, Iterator

from gossip import (
    codec,
    descriptor,
    errors,
    events,
    messages,
    rivals,
    signing,
)
from gossip import config as configs
from gossip import credential as credentials
from gossip import digest as digests
from gossip import identity as identities
from gossip import rumours as rumour
from gossip.entry import Entry, differs, join_claim, make_entry, split_claim

Status = descriptor.Status


class View:
    """The members that one node knows, itself among them."""

    def __init__(
        self,
        config: configs.NodeConfig,
        rng: random.Random,
        identity: identities.Identity,
        trust: credentials.Trust,
        rumours: rumour.Rumours,
        own: messages.Descriptor,
        now_wall: float,
    ) -> None:
        self.identity = identity
        self.trust = trust
        self.digest = digests.Digest()
        self.rumours = rumours
        self.arrivals = 0
        self.now_wall = now_wall
        """The wall clock, as of the last call from outside."""
        self._config = config
        self._entries: dict[descriptor.PeerId, Entry] = {}
        self._events: collections.deque[events.Event] = collections.deque()
        self._others: list[Entry] | None = None
        self._rivals = rivals.Rivals(rng)
        self._put(self._make_own(own, self._check_own(identity)))

    @property
    def own(self) -> Entry:
        """What others should hold of ourselves."""
        return self._entries[self.identity.peer]

    def get(self, peer: descriptor.PeerId) -> Entry | None:
        """What we hold of a peer, if anything."""
        return self._entries.get(peer)

    def entries(self) -> Iterable[Entry]:
        """All that we hold, those who left too."""
        return self._entries.values()

    def others(self) -> list[Entry]:
        """The others who are alive or suspect, by peer id.

        Not to be changed.
        """
        if self._others is None:
            self._others = [
                entry
                for entry in self._entries.values()
                if entry.settled is Status.ALIVE and entry is not self.own
            ]
            self._others.sort(key=lambda entry: entry.member.peer)
        return self._others

    def take_events(self) -> Iterator[events.Event]:
        """What changed; each is given once."""
        while self._events:
            yield self._events.popleft()

    def emit(self, event: events.Event) -> None:
        """Tell the program around us."""
        self._events.append(event)

    def sign(self, what: messages.Message) -> signing.Signed:
        """Sign in our own name."""
        return signing.sign(self.identity, self.trust.overlay, what)

    # Ourselves

    def advertise(
        self,
        *,
        address: descriptor.Address | None = None,
        boot: int | None = None,
        boot_id: bytes | None = None,
    ) -> None:
        """Give out a newer descriptor of ourselves."""
        member = self.own.member
        host, port = address or member.address
        newer = messages.Descriptor(
            member.peer,
            member.boot if boot is None else boot,
            boot_id or member.boot_id,
            member.incarnation + 1 if boot is None else 0,
            descriptor.host_to_bytes(host),
            port,
            self.identity.request_port,
            member.name,
        )
        self._put(self._make_own(newer, self.own.credential))
        self.rumours.tell(_news(self.own), self.own.item, rumour.Care.URGENT)

    def set_identity(self, identity: identities.Identity) -> None:
        """Go on with a renewed credential of the same key.

        :raises CredentialRefused: it does not hold; nothing changed
        :raises Misuse: it is for another key; nothing changed
        """
        self.own.credential = self._check_own(identity)
        self.identity = identity
        self.advertise()

    def refute(self, claim: messages.Claim) -> bool:
        """Contradict a claim about what we are now.

        Older ones are contradicted already; a later one than what we say
        ourselves cannot be true, and nobody but us can make it so.
        """
        if (claim.boot, claim.incarnation) != self.own.order:
            return False
        self.advertise()
        return True

    def raise_boot(self, heard: int) -> None:
        """Overtake a boot of ours that others remember and we do not.

        At once a few times; after that it waits for :meth:`overtake`.
        """
        if self._rivals.hear(heard):
            self._overtake()

    def overtake(self) -> None:
        """Do what :meth:`raise_boot` has put off; to be called regularly."""
        if self._rivals.is_behind(self.own.member.boot):
            self._overtake()

    def _overtake(self) -> None:
        boot, boot_id = self._rivals.next_boot(self.own)
        if boot < descriptor.BOOTS:
            self.advertise(boot=boot, boot_id=boot_id)
            self.emit(events.BootRaised(boot))

    # Others

    def admit(self, item: messages.MemberItem) -> bool:
        """Take a descriptor, if it is newer than what we hold.

        :returns: whether anything changed
        :raises MalformedMessage: not what it should be; nothing changed
        :raises Refused: not to be believed, or no room; nothing changed
        """
        said = codec.decode_body(messages.Descriptor, item.body)
        held = self._entries.get(said.peer)
        if held is not None and not self._is_newer(said, item.body, held):
            if item == held.item:
                self.rumours.repeat(item)
            return False
        entry = self._verify(said, item)
        if said.peer == self.identity.peer:
            self._hear_of_own(entry)
            return False
        if not descriptor.is_reachable(
            entry.member.address, self.own.member.address
        ):
            raise errors.Refused('descriptor_address')
        if item.claim and (held is None or held.settled is not Status.ALIVE):
            self._apply_claim(entry, split_claim(item))
        else:
            entry.item = messages.MemberItem(
                item.body, item.signature, item.credential
            )
        if held is None:
            self._make_room(entry)
        self._put(entry)
        self._tell(held, entry)
        if held is not None and entry.follow(held):
            self._contest(held, entry)
        is_back = held is not None and held.member.status != Status.ALIVE
        care = rumour.Care.URGENT if is_back else rumour.Care.CALM
        self.rumours.pass_on(_news(entry), entry.item, care)
        return True

    def check_claim(self, item: messages.ClaimItem) -> messages.Claim:
        """What a claim says, if its author is a member and signed it.

        :raises MalformedMessage: not a claim
        :raises Refused: ``claim_author`` or ``claim_signature``
        """
        claim = codec.decode_body(messages.Claim, item.body)
        if claim.kind == Status.LEFT and claim.author != claim.subject:
            raise errors.Refused('claim_author')
        author = self._entries.get(claim.author)
        if author is None:
            raise errors.Refused('claim_author')
        if not signing.holds(
            self.trust,
            author.member.public_key,
            messages.Claim,
            signing.Signed(item.body, item.signature),
        ):
            raise errors.Refused('claim_signature')
        return claim

    def set_status(
        self, entry: Entry, status: Status, item: messages.ClaimItem
    ) -> None:
        """Hold a peer for suspect, dead or gone, by a checked claim."""
        before = entry.member.status
        if status <= before:
            return
        self._toggle(entry)
        entry.member = dataclasses.replace(entry.member, status=status)
        if status is not Status.SUSPECT:
            entry.item = messages.MemberItem(
                entry.item.body,
                entry.item.signature,
                entry.item.credential,
                join_claim(signing.Signed(item.body, item.signature)),
            )
        self._toggle(entry)
        self._others = None
        if status is Status.SUSPECT:
            self.emit(events.PeerSuspected(entry.member))
        elif status is Status.DEAD:
            self.emit(events.PeerFailed(entry.member))
        else:
            self.emit(events.PeerLeft(entry.member.peer))

    def forget(self, peer: descriptor.PeerId) -> None:
        """Hold nothing of a peer: revoked, or its credential expired."""
        entry = self._entries.pop(peer, None)
        if entry is None:
            return
        self._toggle(entry)
        self._others = None
        self.rumours.drop(_news(entry))
        if entry.member.status is not Status.LEFT:
            self.emit(events.PeerLeft(peer))
        self._adopt_claims(peer)

    def expire(self) -> None:
        """Forget those whose credential has ended."""
        over = [
            entry.member.peer
            for entry in self._entries.values()
            if entry is not self.own
            and entry.credential.not_after <= self.now_wall
        ]
        for peer in over:
            self.forget(peer)

    # Inside

    def _check_own(
        self, identity: identities.Identity
    ) -> credentials.Credential:
        said = self.trust.check(
            identity.credential, self.now_wall, identity.issuer_credential
        )
        if said.public_key != identity.public_key:
            raise errors.Misuse('the credential is for another key')
        return said

    def _is_newer(
        self, said: messages.Descriptor, body: bytes, held: Entry
    ) -> bool:
        order = said.boot, said.incarnation
        if held is not self.own:
            return order > held.order
        if said.boot_id != held.member.boot_id:
            return said.boot >= held.member.boot
        return order >= held.order and body != held.item.body

    def _verify(
        self, said: messages.Descriptor, item: messages.MemberItem
    ) -> Entry:
        if said.boot >= descriptor.BOOTS:
            raise errors.Refused('descriptor_boot')
        credential = self.trust.check(item.credential, self.now_wall)
        if credential.peer != said.peer:
            raise errors.Refused('descriptor_peer')
        if not signing.holds(
            self.trust,
            credential.public_key,
            messages.Descriptor,
            signing.Signed(item.body, item.signature),
        ):
            raise errors.Refused('descriptor_signature')
        return make_entry(said, item, credential)

    def _make_own(
        self, own: messages.Descriptor, said: credentials.Credential
    ) -> Entry:
        signed = self.sign(own)
        item = messages.MemberItem(
            signed.body, signed.signature, self.identity.credential
        )
        return make_entry(own, item, said)

    def _make_room(self, newcomer: Entry) -> None:
        if len(self._entries) < self._config.members_max:
            return
        gone = [
            entry
            for entry in self._entries.values()
            if entry.settled is not Status.ALIVE
        ]
        first = min(gone, key=lambda entry: entry.worth, default=newcomer)
        if newcomer.worth <= first.worth:
            raise errors.Refused('members_full')
        self.forget(first.member.peer)

    def _apply_claim(self, entry: Entry, item: messages.ClaimItem) -> None:
        claim = codec.decode_body(messages.Claim, item.body)
        if (
            claim.subject != entry.member.peer
            or (claim.boot, claim.incarnation) != entry.order
            or claim.kind == Status.SUSPECT
        ):
            raise errors.Refused('claim_subject')
        if claim.kind == Status.LEFT and claim.author == claim.subject:
            if not signing.holds(
                self.trust,
                entry.member.public_key,
                messages.Claim,
                signing.Signed(item.body, item.signature),
            ):
                raise errors.Refused('claim_signature')
        else:
            self.check_claim(item)
        entry.member = dataclasses.replace(
            entry.member, status=Status(claim.kind)
        )

    def _hear_of_own(self, heard: Entry) -> None:
        own = self.own
        if heard.member.boot_id == own.member.boot_id:
            self._rivals.meet_twin()
        elif heard.member.boot < own.member.boot:
            return
        elif self._rivals.meet(heard):
            self._contest(own, heard)
        self.raise_boot(heard.member.boot)

    def _put(self, entry: Entry) -> None:
        held = self._entries.get(entry.member.peer)
        if held is not None:
            self._toggle(held)
        if (
            held is not None
            and held.settled is Status.ALIVE
            and held.member.boot_id == entry.member.boot_id
        ):
            entry.arrival = held.arrival
        else:
            self.arrivals += 1
            entry.arrival = self.arrivals
        self._entries[entry.member.peer] = entry
        self._toggle(entry)
        self._others = None

    def _toggle(self, entry: Entry) -> None:
        self.digest.toggle(entry.member.peer, '', *entry.order, entry.settled)

    def _tell(self, held: Entry | None, entry: Entry) -> None:
        member = entry.member
        before = Status.LEFT if held is None else held.member.status
        if member.status is Status.LEFT:
            if before is not Status.LEFT:
                self.emit(events.PeerLeft(member.peer))
        elif member.status is Status.DEAD:
            if before is not Status.DEAD:
                self.emit(events.PeerFailed(member))
        elif before is Status.LEFT:
            self.emit(events.PeerJoined(member))
        elif before is not Status.ALIVE:
            self.emit(events.PeerRecovered(member))
        elif held is not None and differs(held.member, member):
            self.emit(events.PeerChanged(member))

    def _contest(self, one: Entry, other: Entry) -> None:
        places = one.member.address, other.member.address
        self.emit(events.IdentityContested(one.member.peer, places))

    def _adopt_claims(self, author: descriptor.PeerId) -> None:
        """Say in our own name what a forgotten author has claimed."""
        for entry in self._entries.values():
            if entry.member.status is not Status.DEAD:
                continue
            claim = codec.decode_body(
                messages.Claim, split_claim(entry.item).body
            )
            if claim.author == author:
                signed = self.sign(
                    messages.Claim(
                        Status.DEAD,
                        self.identity.peer,
                        entry.member.peer,
                        *entry.order,
                    )
                )
                entry.item = messages.MemberItem(
                    entry.item.body,
                    entry.item.signature,
                    entry.item.credential,
                    join_claim(signed),
                )


def _news(entry: Entry) -> rumour.Key:
    return 'member', entry.member.peer
