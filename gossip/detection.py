# SPDX-License-Identifier: Apache-2.0
"""Failure detection: who is suspected, who is confirmed dead.

Das, Gupta, Motivala 2002, SWIM, with Lifeguard's additions (2018).

Rules, for a peer at one (boot, incarnation):

1. alive -> suspect: our own probe failed, or a signed suspicion came.
   Each accuser counts once, and nothing that it says of others while it is
   dead itself: whom it has found dead may outlive it, if another tells. A
   claim is passed on while it still counts; what rests on a refusal always,
   for the few who were refused are believed together. Of a silence all are
   aware by themselves.
2. suspect -> alive: only by a descriptor with a greater incarnation, which
   only the suspect can sign. It is told directly, and answers who told it,
   but no accuser more than twice in ``suspicion_min_s``: what it has left
   out it is told again in time.
3. suspect -> dead: the time to refute is over (:mod:`gossip.suspicion`)
   and no probe of ours was answered meanwhile, nor a last call now; or a
   signed confirmation came, and ``confirmations`` others accuse too, or one
   does and it is suspect with us for ``suspicion_min_s``: so two who
   conspire leave it the time to refute. Any other confirmation counts as an
   accusation. A departure: SWIM believes any confirmation.
4. dead -> alive: as 2. Whoever talks to us and is held for suspect or dead
   is told so, at most once a second, that it may refute.
5. left: by the peer's own word, at once, from any state.
6. Who hears of a suspect probes it out of turn with a probability of
   ``observers / peers``, so that accusers and refutations come quickly.
7. If we were stopped ourselves, no suspect's time runs meanwhile.

6 and 7 are departures from both papers, and so is a refused datagram as early
evidence (:mod:`gossip.refusals`).
"""

import random

from gossip import (
    allowance,
    descriptor,
    errors,
    messages,
    probing,
    protocol,
    refusals,
)
from gossip import awareness as awarenesses
from gossip import config as configs
from gossip import entry as entries
from gossip import rumours as rumour
from gossip import suspicion as suspicions
from gossip import view as views

Status = descriptor.Status

#: Whoever is held for suspect or dead is told so no more often.
_TELL_S = 1.0
#: Where fewer others are alive nobody else can accuse: one word suffices.
_WITNESSES = 3
#: Who is accused blames itself no more often: accusations are cheap.
_BLAME_S = 10.0


class Detection:
    """SWIM over the view."""

    handles = (
        messages.Ping,
        messages.Ack,
        messages.PingRequest,
        messages.Nack,
        messages.ClaimItem,
    )

    def __init__(
        self,
        config: configs.NodeConfig,
        rng: random.Random,
        view: views.View,
        rumours: rumour.Rumours,
        outbox: protocol.Outbox,
    ) -> None:
        self._config = config
        self._rng = rng
        self._view = view
        self._rumours = rumours
        self._outbox = outbox
        self._awareness = awarenesses.Awareness(config.awareness_max)
        self._prober = probing.Prober(
            config, rng, view, self._awareness, outbox, self
        )
        self._refusals = refusals.Refusals(config.refusal_wait_s)
        self._suspects: dict[descriptor.PeerId, suspicions.Suspicion] = {}
        self._told: dict[descriptor.PeerId, float] = {}
        self._refuted = allowance.Allowance(1, 2 / config.suspicion_min_s)
        self._blamed = allowance.Allowance(1, 1 / _BLAME_S)

    @property
    def health(self) -> int:
        """The local health score; 0 is healthy."""
        return self._awareness.score

    def start(self, now: float) -> None:
        """Begin to probe."""
        self._prober.start(now)

    def on_pause(self, seconds: float, now: float) -> None:
        """We were stopped for so long: blame nobody for that time."""
        self._awareness.add(1)
        self._prober.forgive(now)
        self._refusals.on_pause()
        for suspect in self._suspects.values():
            suspect.postpone(seconds)

    def receive(
        self,
        message: messages.Message,
        sender: protocol.Origin,
        now: float,
    ) -> None:
        """Take a message; see :class:`gossip.protocol.Protocol`."""
        match message:
            case messages.Ping():
                self._tell(sender, now)
                self._outbox.send(
                    sender.address,
                    messages.Ack(message.seq, self._view.digest.summary()),
                )
                self._prober.on_awake(now)
            case messages.Ack():
                answered = self._prober.on_ack(message, sender)
                if answered is not None:
                    self._on_answer(answered)
            case messages.PingRequest():
                self._prober.on_request(message, sender, now)
            case messages.Nack():
                self._prober.on_nack(message, sender)
            case messages.ClaimItem():
                self._on_claim(message, sender, now)

    def deadline(self) -> float | None:
        """When something is due."""
        due = self._prober.deadline()
        for suspect in self._suspects.values():
            end = suspect.deadline()
            due = end if due is None else min(due, end)
        end_of_refusal = self._refusals.deadline()
        if end_of_refusal is not None:
            due = end_of_refusal if due is None else min(due, end_of_refusal)
        return due

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        self._prober.on_deadline(now)
        for peer in self._refusals.due(now):
            self._judge_refusal(peer, now)
        for peer, suspect in list(self._suspects.items()):
            entry = self._view.get(peer)
            if entry is None or not _is_current(entry, suspect):
                del self._suspects[peer]
            elif now >= suspect.deadline():
                self._on_expiry(entry, suspect, now)

    def on_unreachable(self, address: descriptor.Address, now: float) -> None:
        """A machine says that nobody listens there: see refusals."""
        self._prober.on_refused(address, now)

    def leave(self) -> messages.ClaimItem:
        """Our own word that we leave."""
        own = self._view.own
        return self._claim(Status.LEFT, own)

    def tell(self, entry: entries.Entry, now: float) -> None:
        """Tell a peer that it is held for suspect or dead."""
        self._tell(
            protocol.Origin(entry.member.peer, entry.member.address), now
        )

    # Claims

    def _on_claim(
        self, item: messages.ClaimItem, sender: protocol.Origin, now: float
    ) -> None:
        claim = self._view.check_claim(item)
        self._check_author(claim, sender)
        if claim.subject == self._view.identity.peer:
            self._refute(claim, sender, now)
            return
        entry = self._view.get(claim.subject)
        if entry is None:
            raise errors.Refused('claim_subject')
        if (claim.boot, claim.incarnation) != entry.order:
            return
        if claim.refused:
            self._rumours.repeat(item)
        if claim.kind <= entry.member.status != Status.SUSPECT:
            return
        is_word = claim.refused and claim.kind == Status.SUSPECT
        if is_word and self._refusals.hears(claim, item):
            self._judge_refusal(claim.subject, now)
        elif claim.kind == Status.LEFT:
            self._conclude(entry, Status.LEFT, claim.author, item)
        elif claim.kind == Status.DEAD and self._is_confirmed(
            claim, entry, now
        ):
            self._conclude(entry, Status.DEAD, claim.author, item)
        else:
            self._accuse(entry, claim.author, item, now)

    def _check_author(
        self, claim: messages.Claim, sender: protocol.Origin
    ) -> None:
        author = self._view.get(claim.author)
        if author is not None and author.settled is Status.ALIVE:
            return
        own = self._view.identity.peer
        is_told_by_itself = (
            sender.peer == claim.author and claim.subject != own
        )
        if claim.kind == Status.SUSPECT or (
            claim.kind == Status.DEAD and is_told_by_itself
        ):
            raise errors.Refused('claim_author')

    def _refute(
        self, claim: messages.Claim, sender: protocol.Origin, now: float
    ) -> None:
        is_new = (claim.boot, claim.incarnation) == self._view.own.order
        if is_new and not self._refuted.take(claim.author, now):
            raise errors.Refused('claim_again')
        if self._view.refute(claim) and self._blamed.take(None, now):
            self._awareness.add(1)
        self._outbox.send(sender.address, self._view.own.item)

    def _is_confirmed(
        self, claim: messages.Claim, entry: entries.Entry, now: float
    ) -> bool:
        suspect = self._suspects.get(claim.subject)
        if suspect is None or not _is_current(entry, suspect):
            return False
        others = suspect.accusers - suspect.has_accuser(claim.author)
        witnesses = len(self._view.others())
        if others >= max(min(self._config.confirmations, witnesses - 1), 1):
            return True
        return suspect.lasts(now) and (others > 0 or witnesses < _WITNESSES)

    def on_failed(self, entry: entries.Entry, now: float) -> None:
        """See :class:`gossip.probing.Judge`."""
        self._refusals.end(entry.member.peer)
        current = self._view.get(entry.member.peer)
        if current is None or current.settled is not Status.ALIVE:
            return
        if current.order != entry.order:
            return
        item = self._claim(Status.SUSPECT, current)
        self._accuse(current, self._view.identity.peer, item, now)

    def on_refused(self, entry: entries.Entry, now: float) -> None:
        """See :class:`gossip.probing.Judge`."""
        self._refusals.begin(entry.member.peer, entry.order, now)
        item = self._claim(Status.SUSPECT, entry, refused=True)
        self._outbox.send(entry.member.address, item)

    def vouch(self, peer: descriptor.PeerId, to: descriptor.Address) -> None:
        """See :class:`gossip.probing.Judge`."""
        entry = self._view.get(peer)
        if entry is not None:
            item = self._claim(Status.SUSPECT, entry, refused=True)
            self._outbox.send(to, item)

    def _on_answer(self, peer: descriptor.PeerId) -> None:
        self._refusals.end(peer)
        if peer in self._suspects:
            self._suspects[peer].answered = True

    def _judge_refusal(self, peer: descriptor.PeerId, now: float) -> None:
        entry = self._view.get(peer)
        if entry is None or entry.settled is not Status.ALIVE:
            self._refusals.end(peer)
            return
        others = len(self._view.others()) - 1
        quorum = min(self._config.confirmations, others)
        words = self._refusals.judge(peer, entry.order, quorum, now)
        if not words:
            return
        for word in words:
            key = 'claim', peer, word.signature
            self._rumours.tell(key, word, rumour.Care.URGENT)
        own = self._view.identity.peer
        item = self._claim(Status.DEAD, entry, refused=True)
        self._conclude(entry, Status.DEAD, own, item)

    def _accuse(
        self,
        entry: entries.Entry,
        author: descriptor.PeerId,
        item: messages.ClaimItem,
        now: float,
    ) -> None:
        member = entry.member
        suspect = self._suspects.get(member.peer)
        is_first = suspect is None or not _is_current(entry, suspect)
        if suspect is None or is_first:
            suspect = self._suspect(entry, item, now)
            self._suspects[member.peer] = suspect
        if not suspect.accuse(author):
            return
        self._view.set_status(entry, Status.SUSPECT, item)
        self._spread(('claim', member.peer, author), author, item)
        own = self._view.identity.peer
        if is_first and author != own:
            share = self._config.observers / len(self._view.others())
            if self._rng.random() < share:
                self._prober.hurry(member.peer)
        elif author == own:
            self._outbox.send(member.address, item)

    def _suspect(
        self, entry: entries.Entry, item: messages.ClaimItem, now: float
    ) -> suspicions.Suspicion:
        others = len(self._view.others())
        return suspicions.Suspicion(
            entry.order,
            item,
            started=now,
            shortest=self._config.suspicion_min_s,
            longest=self._config.suspicion_max_s,
            suffice=min(self._config.confirmations, others - 1),
        )

    def _on_expiry(
        self,
        entry: entries.Entry,
        suspect: suspicions.Suspicion,
        now: float,
    ) -> None:
        if suspect.answered:
            suspect.answered = False
            suspect.restart(now)
            self._outbox.send(entry.member.address, suspect.claim)
            self._prober.hurry(entry.member.peer)
            return
        if suspect.call(now + self._config.last_call_s):
            self._outbox.send(entry.member.address, suspect.claim)
            return
        item = self._claim(Status.DEAD, entry)
        self._outbox.send(entry.member.address, item)
        self._conclude(entry, Status.DEAD, self._view.identity.peer, item)

    def _conclude(
        self,
        entry: entries.Entry,
        status: Status,
        author: descriptor.PeerId,
        item: messages.ClaimItem,
    ) -> None:
        peer = entry.member.peer
        self._suspects.pop(peer, None)
        self._view.set_status(entry, status, item)
        self._spread(('claim', peer, 'end'), author, item)

    def _spread(
        self,
        key: rumour.Key,
        author: descriptor.PeerId,
        item: messages.ClaimItem,
    ) -> None:
        if author == self._view.identity.peer:
            self._rumours.tell(key, item, rumour.Care.URGENT)
        else:
            self._rumours.pass_on(key, item, rumour.Care.URGENT)

    def _claim(
        self, kind: Status, entry: entries.Entry, *, refused: bool = False
    ) -> messages.ClaimItem:
        signed = self._view.sign(
            messages.Claim(
                kind,
                self._view.identity.peer,
                entry.member.peer,
                *entry.order,
                refused,
            )
        )
        return messages.ClaimItem(signed.body, signed.signature)

    def _tell(self, sender: protocol.Origin, now: float) -> None:
        entry = self._view.get(sender.peer)
        if entry is None or entry.member.status is Status.ALIVE:
            return
        self._told = {
            peer: at for peer, at in self._told.items() if now < at + _TELL_S
        }
        if sender.peer in self._told:
            return
        self._told[sender.peer] = now
        suspect = self._suspects.get(sender.peer)
        if entry.settled is not Status.ALIVE:
            self._outbox.send(sender.address, entries.split_claim(entry.item))
        elif suspect is not None:
            self._outbox.send(sender.address, suspect.claim)


def _is_current(entry: entries.Entry, suspect: suspicions.Suspicion) -> bool:
    return (
        entry.order == suspect.order and entry.member.status is Status.SUSPECT
    )
