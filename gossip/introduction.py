# SPDX-License-Identifier: Apache-2.0
"""How peers come to know each other: at the start, and after a partition.

No paper: ours. SWIM begins where the members know each other.

Rules:

1. Hello carries our issuer's credential, our own and our descriptor; who
   gets a Hello that asks for a reply answers with its own.
2. A seed that is not the address of a live peer is said Hello to, for ever:
   first after ``seed_retry_s``, then twice as long, up to ``reconnect_s``.
   No seed in particular must be alive.
3. The dead are said Hello to, about twice a second in the whole overlay,
   and told what they are held for: so two halves of a partition find each
   other as soon as one datagram gets across.
4. A sender that we do not know is asked to introduce itself, and whoever
   asks us, or says Hello, is answered: at most once a second for an
   address, for 1,024 addresses at a time. So is who tells that somebody was
   put out whom the root has signed: it is shown that word. Whoever asks is
   answered where we send to anyway, at the address of its descriptor or a
   seed's: what it asks with is shorter than our answer, and can be sent
   again by anybody.
5. A sender whose boot is not later than one that we remember (it was
   restored from a backup, or made anew with its old key) is shown what we
   hold of it, so that it can overtake it. So is who says Hello from another
   place than we hold it to be at: it may be another process.
"""

import dataclasses
import random
from collections.abc import Sequence

from gossip import allowance, descriptor, messages, protocol
from gossip import config as configs
from gossip import entry as entries
from gossip import view as views

_ANSWERS_PER_S = 1.0
_REVIVALS_PER_S = 2.0


@dataclasses.dataclass
class _Seed:
    address: descriptor.Address
    next_at: float
    wait: float


class Introduction:
    """Says Hello."""

    handles = (messages.Hello, messages.Introduce)

    def __init__(
        self,
        config: configs.NodeConfig,
        rng: random.Random,
        view: views.View,
        outbox: protocol.Outbox,
    ) -> None:
        self._config = config
        self._rng = rng
        self._view = view
        self._outbox = outbox
        self._seeds: list[_Seed] = []
        self._revive_at: float | None = None
        self._strangers = allowance.Allowance(1, _ANSWERS_PER_S)
        self._greeted = allowance.Allowance(1, _ANSWERS_PER_S)
        self._reminded = allowance.Allowance(1, _ANSWERS_PER_S)

    def join(self, seeds: Sequence[descriptor.Address], now: float) -> None:
        """Say Hello to these from now on, in place of any before."""
        own = self._view.own.member.address
        self._seeds = [
            _Seed(seed, now, self._config.seed_retry_s)
            for seed in dict.fromkeys(seeds)
            if seed != own
        ]
        if self._revive_at is None:
            self._revive_at = now + self._draw(self._config.reconnect_s)

    def on_stranger(self, address: descriptor.Address, now: float) -> None:
        """Ask a sender that we do not know who it is."""
        if self._strangers.take(address, now):
            self._outbox.send(address, messages.Introduce(), ride=False)

    def remind(
        self, entry: entries.Entry, sender: protocol.Origin, now: float
    ) -> None:
        """Show a sender what we hold of it."""
        if self._reminded.take(sender.address, now):
            self._show(entry, sender)

    def vouch(
        self, entry: entries.Entry, sender: protocol.Origin, now: float
    ) -> None:
        """Show a sender for whom it takes another in error."""
        if self._strangers.take(sender.address, now):
            self._show(entry, sender)

    def turn_away(
        self, address: descriptor.Address, item: messages.RevocationItem
    ) -> None:
        """Tell a sender that it has been put out."""
        self._outbox.send(address, item, ride=False)

    def receive(
        self,
        message: messages.Message,
        sender: protocol.Origin,
        now: float,
    ) -> None:
        """Take a message; see :class:`gossip.protocol.Protocol`."""
        match message:
            case messages.Hello(reply=True):
                if self._greeted.take(sender.address, now):
                    self._greet(sender)
            case messages.Introduce():
                address = self._place(sender)
                if address and self._strangers.take(address, now):
                    self._hello(address, reply=True)

    def deadline(self) -> float | None:
        """When something is due."""
        due = self._revive_at
        for seed in self._seeds:
            due = seed.next_at if due is None else min(due, seed.next_at)
        return due

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        if self._revive_at is not None and now >= self._revive_at:
            self._revive_at = now + self._draw(self._config.reconnect_s)
            self._revive()
        if not any(now >= seed.next_at for seed in self._seeds):
            return
        alive = {entry.member.address for entry in self._view.others()}
        for seed in self._seeds:
            if now < seed.next_at:
                continue
            if seed.address in alive:
                seed.wait = self._config.seed_retry_s
                seed.next_at = now + self._config.reconnect_s
                continue
            self._hello(seed.address, reply=True)
            seed.next_at = now + self._draw(seed.wait)
            seed.wait = min(2 * seed.wait, self._config.reconnect_s)

    def _show(self, entry: entries.Entry, sender: protocol.Origin) -> None:
        self._hello(sender.address, entry.item, reply=False)

    def _greet(self, sender: protocol.Origin) -> None:
        held = self._view.get(sender.peer)
        if held is None or held.member.address == sender.address:
            self._hello(sender.address, reply=False)
        else:
            self._show(held, sender)

    def _revive(self) -> None:
        dead = [
            entry
            for entry in self._view.entries()
            if entry.member.status is descriptor.Status.DEAD
        ]
        if not dead:
            return
        rate = (len(self._view.others()) + 1) / self._config.reconnect_s
        if self._rng.random() * rate >= _REVIVALS_PER_S:
            return
        entry = self._rng.choice(dead)
        self._hello(
            entry.member.address, entries.split_claim(entry.item), reply=True
        )

    def _place(self, sender: protocol.Origin) -> descriptor.Address | None:
        """Where we would send to this sender without being asked."""
        entry = self._view.get(sender.peer)
        if entry is not None:
            return entry.member.address
        seeds = (seed.address for seed in self._seeds)
        return sender.address if sender.address in seeds else None

    def _hello(
        self,
        to: descriptor.Address,
        *more: messages.Message,
        reply: bool,
    ) -> None:
        own = self._view.own
        issuer = self._view.identity.issuer_credential
        letter: list[messages.Message] = []
        if issuer is not None:
            letter.append(messages.IssuerItem(issuer))
        letter += (own.item, messages.Hello(reply), *more)
        self._outbox.send(to, *letter, ride=reply)

    def _draw(self, mean: float) -> float:
        return mean * (0.75 + 0.5 * self._rng.random())
