# SPDX-License-Identifier: Apache-2.0
"""The overlay's ring keys, renewed while it runs.

The ring key keeps strangers out of the overlay's datagrams; who belongs is
proven by signatures.  Rules:

1. A gateway makes a new key on its operator's word, and whenever it puts a
   PC out: what that one has learnt opens nothing any more.
2. Everybody is told that there is a new key, and nobody which: it is fetched
   from a gateway over mutual TLS, where who has been put out is refused.
   Only a gateway is believed, in both.
3. Whoever starts, hears that news, meets a datagram sealed with a key that
   it does not have, or holds a gateway for dead, asks a gateway that it
   knows from before; so who slept, or was off, through any number of new
   keys comes back, and who was put out meanwhile hears so. It asks again
   after ``PAUSE_S`` at the earliest: not each word costs handshakes.
4. A new key opens datagrams at once and seals them after ``GRACE_S``, when
   the others had time to fetch it.  The older ones open for ``KEPT_S`` more,
   and are forgotten then.
5. Gateways that make a key at once give it different numbers, so that one is
   later, and all come to have that one: each goes on by one more than there
   are gateways with lower ids.
6. No gateway puts out another one: one that says so is passed over.
"""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence

import trio

from gossip import events as news
from gossip.descriptor import PeerId, Role
from gossip.seal import RingKeys
from p2pcs_nova import errors, wire
from p2pcs_nova.identity.store import KnownGateway

LOG = logging.getLogger(__name__)

GRACE_S = 10.0
KEPT_S = 120.0
ASK_TIMEOUT_S = 10.0
RETRY_S = 15.0
PAUSE_S = 3.0
"""Between one time that gateways are asked and the next: well below
``GRACE_S``, so that a new key is here when others seal with it."""
NEWS = b'ring key'
"""What everybody is told, with the number of the key behind it."""
NUMBERS = 256

Keys = tuple[tuple[int, bytes], ...]
Ask = Callable[[KnownGateway], Awaitable[wire.Ring]]
Keep = Callable[[Keys], Awaitable[None]]
Seal = Callable[[RingKeys], None]


def is_later(number: int, than: int) -> bool:
    """Numbers go round: whether this one is among the next 127."""
    return 0 < (number - than) % NUMBERS < NUMBERS // 2


def with_new_key(keys: Keys, step: int) -> Keys:
    """The newest of these, and a new one behind it.

    :param step: how much higher its number is
    """
    number, _ = keys[-1]
    return (keys[-1], ((number + step) % NUMBERS, secrets.token_bytes(32)))


class Ring:
    """The keys of this daemon.

    :param keys: oldest first, as they were stored
    :param keep: stores them; durable at return
    :param seal: hands them to the overlay's node
    :param ask: a gateway for its ring
    :param gateways: all others that are known, be they here or not
    :param me: our peer id, as text
    :param is_gateway: where it is the only one, it has nobody to ask
    """

    def __init__(
        self,
        keys: Keys,
        *,
        keep: Keep,
        seal: Seal,
        ask: Ask,
        gateways: Callable[[], Sequence[KnownGateway]],
        me: str,
        is_gateway: bool,
        rng: random.Random,
    ) -> None:
        self.keys = keys
        self._keep = keep
        self._seal = seal
        self._ask = ask
        self._gateways = gateways
        self._me = me
        self._is_gateway = is_gateway
        self._rng = rng
        self._sealing = keys[-1]
        self._told = keys[-1][0]
        """The latest number that a gateway has told of."""
        self._changing = trio.Lock()
        self._wanted = trio.Event()
        self._changed = trio.Event()
        self._wanted.set()
        self.when_put_out: Callable[[], None] = lambda: None
        """Called when a gateway says that we have been put out."""

    @property
    def number(self) -> int:
        """Of the newest key."""
        return self.keys[-1][0]

    def on_event(self, event: news.Event) -> None:
        """Ask a gateway if there seems to be a later key."""
        match event:
            case news.RingKeyUnknown(number) if is_later(number, self.number):
                self._wanted.set()
            case news.PeerFailed(member) if member.role is Role.GATEWAY:
                # Perhaps it is we whom nobody understands.
                self._wanted.set()
            case news.NewsHeard(peer=peer, payload=payload) if (
                payload.startswith(NEWS) and self._is_gateway_known(peer)
            ):
                said = payload.removeprefix(NEWS).strip()
                if said.isdigit() and is_later(int(said), self.number):
                    self._told = int(said) % NUMBERS
                    self._wanted.set()

    def _is_gateway_known(self, peer: PeerId) -> bool:
        return any(one.peer_id == peer.hex() for one in self._gateways())

    async def renew(self) -> bytes:
        """Make a new key, as a gateway.

        :returns: what everybody is to be told
        :raises OSError: it could not be stored; nothing changed
        """
        async with self._changing:
            keys = with_new_key(self.keys, self._step())
            await self._keep(keys)
            self._adopt(keys)
        return b'%s %d' % (NEWS, self.number)

    def _step(self) -> int:
        return 1 + sum(one.peer_id < self._me for one in self._gateways())

    async def run(self) -> None:
        """Fetch and forget keys, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._fetch_whenever_wanted)
            nursery.start_soon(self._change_over)

    async def _fetch_whenever_wanted(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            if await self._fetch():
                await trio.sleep(PAUSE_S)
            else:
                await trio.sleep(RETRY_S * (0.5 + self._rng.random()))
                self._wanted.set()

    async def _fetch(self) -> bool:
        """Ask the gateways, one after the other, until one has the latest.

        :returns: whether one has answered
        """
        gateways = self._gateways()
        has_answered = self._is_gateway and not gateways
        for gateway in self._rng.sample(gateways, len(gateways)):
            try:
                with trio.fail_after(ASK_TIMEOUT_S):
                    ring = await self._ask(gateway)
            except (errors.P2PcsError, trio.TooSlowError) as error:
                if isinstance(error, errors.Revoked) and not self._is_gateway:
                    # News of it were sealed with a key that we do not have.
                    self.when_put_out()
                    return True
                LOG.info(
                    'no ring key from gateway %s: %s',
                    gateway.peer_id,
                    error,
                )
                continue
            keys = tuple((one.number, one.key) for one in ring.keys)
            async with self._changing:
                if keys and is_later(keys[-1][0], self.number):
                    await self._try_to_keep(keys)
                    self._adopt(keys)
            has_answered = True
            if not is_later(self._told, self.number):
                break
        return has_answered

    async def _try_to_keep(self, keys: Keys) -> None:
        """Store them; what a full disk loses is fetched at the next start."""
        try:
            await self._keep(keys)
        except OSError as error:
            LOG.error('ring key %d is not stored: %s', keys[-1][0], error)

    def _adopt(self, keys: Keys) -> None:
        self.keys = keys
        if self._sealing in keys:
            others = [key for key in keys if key != self._sealing]
            self._seal(RingKeys((*others, self._sealing)))
        else:
            self._sealing = keys[-1]
            self._seal(RingKeys(keys))
        LOG.info('the overlay has ring key %d', self.number)
        self._changed.set()

    async def _change_over(self) -> None:
        """Seal with the newest after a while, and forget the older ones."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            if await self._is_disturbed(GRACE_S):
                continue
            self._sealing = self.keys[-1]
            self._seal(RingKeys(self.keys))
            if await self._is_disturbed(KEPT_S):
                continue
            async with self._changing:
                newest = self.keys[-1:]
                await self._try_to_keep(newest)
                self.keys = newest
                self._seal(RingKeys(newest))

    async def _is_disturbed(self, seconds: float) -> bool:
        """Whether the keys change again within this time."""
        with trio.move_on_after(seconds):
            await self._changed.wait()
            return True
        return False
