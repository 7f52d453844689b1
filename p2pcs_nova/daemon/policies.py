# SPDX-License-Identifier: Apache-2.0
"""The policy, the slice map and the era, spread by the overlay.

Rules:

1. Everybody tells in its records which policy, slice map and era it has,
   and nothing of what they say.
2. Who has an older one fetches from any member that tells of a newer, over
   mutual TLS: they may be longer than a datagram.
3. A policy or an era is believed that the root has signed, a slice map that
   a gateway of the overlay has signed; whoever handed it on.
4. What is in force is durable, and never replaced by an older one.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Sequence

import trio

from gossip import events as news
from gossip.descriptor import Member
from p2pcs_nova import errors, wire
from p2pcs_nova.daemon.overlay import POLICY_PART
from p2pcs_nova.policy.in_force import InForce
from p2pcs_nova.policy.partition import Partition

LOG = logging.getLogger(__name__)

SPREAD_S = 1.0
"""Whoever hears of a newer one waits so long at most, at random: not all
ask the one that had it first."""
ASK_TIMEOUT_S = 10.0
RETRY_S = 10.0

Ask = Callable[[Member], Awaitable[wire.PolicyBundle]]
Keep = Callable[[wire.PolicyBundle], Awaitable[None]]


class Policies:
    """What is in force on this daemon.

    :param stored: what was in force before the daemon's start
    :param root_key: of the overlay, raw
    :param keep: stores it; durable at return
    :param publish: tells the overlay which one is here
    :param ask: a member for all that it has
    :param others: who else is alive, and what each has
    :param gateway_key: the public key of a gateway; None if it is none
    """

    def __init__(
        self,
        stored: InForce,
        root_key: bytes,
        *,
        keep: Keep,
        publish: Callable[[wire.PolicyNews], None],
        ask: Ask,
        others: Callable[[], Sequence[tuple[Member, wire.PolicyNews]]],
        gateway_key: Callable[[str], bytes | None],
        rng: random.Random,
    ) -> None:
        self.in_force = stored
        self._root_key = root_key
        self._keep = keep
        self._publish = publish
        self._ask = ask
        self._others = others
        self._gateway_key = gateway_key
        self._rng = rng
        self._changing = trio.Lock()
        self._wanted = trio.Event()
        self.on_change: Callable[[Partition], None] = lambda _: None
        """Told of the slices whenever they change."""

    def publish(self) -> None:
        """Tell the overlay what is in force here."""
        self._publish(self.in_force.news)

    def on_event(self, event: news.Event) -> None:
        """Fetch what somebody else has and we have not."""
        if isinstance(event, news.RecordChanged) and event.part == POLICY_PART:
            self._wanted.set()

    async def apply(self, signed: wire.SignedPolicy) -> None:
        """Put a policy in force; durable here at return, idempotent.

        :raises BadPolicy: the root has not signed it
        :raises StalePolicy: a newer one is in force
        :raises OSError: it could not be stored; nothing changed
        """
        async with self._changing:
            new = self.in_force.with_policy(signed, self._root_key)
            await self._change(new)

    async def apply_era(self, signed: wire.SignedEra) -> None:
        """Put an era in force; durable here at return, idempotent.

        :raises BadPolicy: the root has not signed it
        :raises StalePolicy: a later one is in force
        :raises OSError: it could not be stored; nothing changed
        """
        async with self._changing:
            await self._change(self.in_force.with_era(signed, self._root_key))

    async def apply_map(self, signed: wire.Signed, public_key: bytes) -> None:
        """Put a slice map in force; durable here at return, idempotent.

        :raises BadPolicy: the gateway of this key has not signed it
        :raises StalePolicy: a newer one is in force
        :raises OSError: it could not be stored; nothing changed
        """
        async with self._changing:
            await self._change(self.in_force.with_map(signed, public_key))

    async def run(self) -> None:
        """Fetch what is newer, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            await trio.sleep(SPREAD_S * self._rng.random())
            if not await self._fetch():
                await trio.sleep(RETRY_S * (0.5 + self._rng.random()))
                self._wanted.set()

    async def _fetch(self) -> bool:
        """Ask who is ahead; whether nobody is any more."""
        ahead = [
            member
            for member, told in self._others()
            if self.in_force.lacks(told)
        ]
        if not ahead:
            return True
        member = self._rng.choice(ahead)
        try:
            with trio.fail_after(ASK_TIMEOUT_S):
                bundle = await self._ask(member)
            await self._take(bundle)
        except (errors.P2PcsError, trio.TooSlowError) as error:
            LOG.info('no policy from %s: %s', member.peer.hex(), error)
            return False
        return not any(self.in_force.lacks(told) for _, told in self._others())

    async def _take(self, bundle: wire.PolicyBundle) -> None:
        """Put in force what of this is newer.

        :raises BadPolicy: it is not signed as it must be
        """
        async with self._changing:
            new = self.in_force
            if bundle.policy is not None:
                try:
                    new = new.with_policy(bundle.policy, self._root_key)
                except errors.StalePolicy:
                    LOG.debug('our policy is newer')
            if bundle.era is not None:
                try:
                    new = new.with_era(bundle.era, self._root_key)
                except errors.StalePolicy:
                    LOG.debug('our era is later')
            if bundle.slices is not None:
                key = self._gateway_key(bundle.slices.signer)
                if key is not None:
                    try:
                        new = new.with_map(bundle.slices, key)
                    except errors.StalePolicy:
                        LOG.debug('our slice map is newer')
            try:
                await self._change(new)
            except OSError as error:
                # The others have it, and tell it after the next start.
                LOG.error('the policy could not be stored: %s', error)
                self._adopt(new)

    async def _change(self, new: InForce) -> None:
        if new is not self.in_force:
            await self._keep(new.bundle)
            self._adopt(new)

    def _adopt(self, new: InForce) -> None:
        if new.policy is not self.in_force.policy:
            LOG.info(
                'version %d of the policy is in force', new.policy.version
            )
        if new.era is not None and new.era != self.in_force.era:
            reason = new.era.reason or 'no reason was given'
            LOG.info('era %d is in force: %s', new.era.number, reason)
        self.in_force = new
        self.publish()
        self.on_change(new.partition)
