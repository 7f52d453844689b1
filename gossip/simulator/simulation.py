# SPDX-License-Identifier: Apache-2.0
"""Many nodes on one seeded network and one virtual clock.

The nodes are those that run on real machines, sealing and signatures
included. The same seed gives the same datagrams, bit for bit.
"""

import collections
import dataclasses
import hashlib
import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Sequence

from gossip import config as configs
from gossip import descriptor, errors, events, identity, throwaway
from gossip import node as nodes

_PORT = 7400
_INBOX_MAX = 4096


def _seeded(seed: float) -> random.Random:
    return random.Random(seed)  # noqa: S311 (a simulation is repeatable)


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """How the simulated network behaves.

    :param loss: share of datagrams lost, 0 to 1
    :param duplicate: share of datagrams that come twice
    :param delay_s: least and greatest delay; so datagrams overtake others
    """

    loss: float = 0.0
    duplicate: float = 0.0
    delay_s: tuple[float, float] = (0.0005, 0.003)


@dataclasses.dataclass
class Peer:
    """One simulated machine."""

    number: int
    address: descriptor.Address
    identity: identity.Identity
    node: nodes.Node
    boot: int = 1
    is_up: bool = True
    is_paused: bool = False
    refuses: bool = False
    wake_at: float | None = None
    inbox: collections.deque[tuple[bytes, descriptor.Address]] = (
        dataclasses.field(default_factory=collections.deque)
    )

    @property
    def id(self) -> descriptor.PeerId:
        """The peer id."""
        return self.identity.peer


@dataclasses.dataclass(frozen=True)
class Seen:
    """An event at one peer."""

    at: float
    number: int
    event: events.Event


class Simulation:
    """Peers, numbered from 0, on one network.

    ``now`` is in seconds, ``peers`` are all that were added, ``trace`` is
    what they have seen, in order. A number that no peer has is refused as
    Misuse.

    :param seed: of everything that chance decides
    :param share_trust: signatures are verified once for all peers, which
        then cannot differ in whom they believe: not for revocations
    """

    def __init__(
        self,
        seed: int,
        network: NetworkConfig | None = None,
        config: configs.NodeConfig | None = None,
        *,
        share_trust: bool = True,
    ) -> None:
        self.seed = seed
        self.now = 0.0
        self.network = network or NetworkConfig()
        self.peers: list[Peer] = []
        self.trace: list[Seen] = []
        self.datagrams = 0
        self.bytes = 0
        self._config = config or configs.NodeConfig()
        self._rng = _seeded(seed)
        self.overlay = throwaway.Overlay(_seeded(self._rng.random()))
        self._trust = self.overlay.make_trust() if share_trust else None
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._places: dict[descriptor.Address, Peer] = {}
        self._groups: dict[int, int] = {}
        self._blocked: dict[tuple[int, int], None] = {}
        self._deaf: dict[int, float] = {}
        self._digest = hashlib.blake2b(digest_size=16)

    # Machines

    def add(
        self,
        seeds: Iterable[int] = (),
        *,
        role: descriptor.Role = descriptor.Role.PEER,
    ) -> Peer:
        """Switch on a new machine that joins through these peers."""
        return self._add(self.overlay.make_identity(role), 1, seeds)

    def clone(self, number: int, seeds: Iterable[int] = ()) -> Peer:
        """Switch on a new machine with the disk of another one."""
        peer = self._peer(number)
        return self._add(peer.identity, peer.boot + 1, seeds)

    def twin(self, number: int, seeds: Iterable[int] = ()) -> Peer:
        """Switch on a new machine with the memory of another one.

        It has the same boot id, and counts its datagrams as that one did.
        """
        peer = self._peer(number)
        member = peer.node.member(peer.id)
        assert member is not None
        return self._add(
            peer.identity, member.boot, seeds, boot_id=member.boot_id
        )

    def add_many(self, count: int) -> None:
        """Switch on so many machines; all join through the first."""
        for _ in range(count):
            self.add([0] if self.peers else [])

    def kill(self, number: int) -> None:
        """Cut the power; nobody is told."""
        peer = self._peer(number)
        peer.is_up = False
        peer.inbox.clear()

    def crash(self, number: int) -> None:
        """End the process; its machine refuses datagrams from now on."""
        self.kill(number)
        self._peer(number).refuses = True

    def refuse(self, number: int, address: descriptor.Address) -> None:
        """Tell a peer that nobody listens there, be it true or forged."""
        peer = self._peer(number)
        if peer.is_up and not peer.is_paused:
            peer.node.unreachable(address, self.now)
            self._after(peer)

    def restart(
        self,
        number: int,
        seeds: Iterable[int] = (),
        *,
        boot: int | None = None,
        address: descriptor.Address | None = None,
    ) -> None:
        """Switch on again; with the next boot, unless another is given."""
        peer = self._peer(number)
        seeds = [self._peer(seed).number for seed in seeds]
        peer.boot = peer.boot + 1 if boot is None else boot
        if address is not None:
            self._place(peer, address)
        peer.node = self._make_node(peer.identity, peer.address, peer.boot)
        peer.node.restore(self._stored(number), self.now)
        peer.is_up, peer.is_paused, peer.wake_at = True, False, None
        peer.refuses = False
        self._join(peer, seeds)

    def pause(self, number: int, seconds: float) -> None:
        """Stop the process for a while; datagrams wait in its socket."""
        peer = self._peer(number)
        peer.is_paused = True
        self._at(self.now + seconds, lambda: self._resume(peer))

    def leave(self, number: int) -> None:
        """Leave in order, then switch off."""
        peer = self._peer(number)
        peer.node.leave(self.now)
        self._after(peer)
        self.kill(number)

    def move(self, number: int, address: descriptor.Address) -> None:
        """Give a running machine another address."""
        peer = self._peer(number)
        self._place(peer, address)
        peer.node.set_address(peer.address, self.now)
        self._after(peer)

    def revoke(self, number: int, subject: descriptor.PeerId) -> None:
        """Put a peer out, at a gateway."""
        peer = self._peer(number)
        peer.node.revoke(subject, self.now)
        self._after(peer)

    def publish(self, number: int, part: str, payload: bytes) -> None:
        """Publish a part at one peer."""
        peer = self._peer(number)
        peer.node.publish(part, payload, self.now)
        self._after(peer)

    def broadcast(self, number: int, payload: bytes) -> None:
        """Tell everybody something, at one peer."""
        peer = self._peer(number)
        peer.node.broadcast(payload, self.now)
        self._after(peer)

    # Network

    def partition(self, *groups: Sequence[int]) -> None:
        """Let datagrams pass inside these groups only; none: everywhere."""
        self._groups = {
            number: name
            for name, group in enumerate(groups)
            for number in group
        }

    def deafen(self, number: int, loss: float) -> None:
        """Lose this share of what is sent to a peer, besides the rest."""
        self._deaf[self._peer(number).number] = loss

    def block(self, source: int, target: int) -> None:
        """Let nothing pass from one peer to another, one way."""
        self._blocked[source, target] = None

    # Time

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            self._step()
        self.now = end

    def run_until(self, is_so: Callable[[], bool], limit: float) -> float:
        """Let time pass until something is so, looked at every 50 ms.

        :returns: the seconds it took
        :raises AssertionError: it is not so after ``limit`` seconds
        """
        start = self.now
        while not is_so():
            if self.now - start > limit:
                raise AssertionError(
                    f'not so after {limit} s; seed {self.seed}'
                )
            self.run(0.05)
        return self.now - start

    # What is seen from outside

    def up(self) -> list[int]:
        """The numbers of those that are on."""
        return [peer.number for peer in self.peers if peer.is_up]

    def fingerprint(self) -> str:
        """Digest of all datagrams sent so far, and when."""
        return self._digest.hexdigest()

    def is_whole(self) -> bool:
        """Whether all that are up hold exactly those for alive."""
        up = {peer.id for peer in self.peers if peer.is_up}
        return all(
            {
                member.peer
                for member in peer.node.members()
                if member.status is descriptor.Status.ALIVE
            }
            == up
            for peer in self.peers
            if peer.is_up
        )

    def all_have(self, number: int, part: str, payload: bytes) -> bool:
        """Whether all that are up have this of a peer."""
        who = self._peer(number).id
        for peer in self.peers:
            if peer.is_up:
                record = peer.node.record(who, part)
                if (record.payload if record else b'') != payload:
                    return False
        return True

    def seen(self, kind: type[events.Event], since: float = 0.0) -> list[Seen]:
        """The events of one kind, at all peers, in order."""
        return [
            seen
            for seen in self.trace
            if seen.at >= since and isinstance(seen.event, kind)
        ]

    # Inside

    def _peer(self, number: int) -> Peer:
        if not 0 <= number < len(self.peers):
            raise errors.Misuse(f'there is no peer {number}')
        return self.peers[number]

    def _place(self, peer: Peer, address: descriptor.Address) -> None:
        checked = descriptor.check_address(address)
        del self._places[peer.address]
        peer.address = checked
        self._places[checked] = peer

    def _add(
        self,
        who: identity.Identity,
        boot: int,
        seeds: Iterable[int],
        *,
        boot_id: bytes | None = None,
    ) -> Peer:
        seeds = [self._peer(seed).number for seed in seeds]
        number = len(self.peers)
        address = descriptor.Address(
            f'10.0.{number // 250}.{number % 250 + 1}', _PORT
        )
        node = self._make_node(who, address, boot, boot_id)
        peer = Peer(number, address, who, node, boot)
        self.peers.append(peer)
        self._places[address] = peer
        self._join(peer, seeds)
        return peer

    def _stored(self, number: int) -> list[bytes]:
        """The revocations that a peer has on its disk."""
        return [
            seen.event.revocation
            for seen in self.trace
            if seen.number == number
            and isinstance(seen.event, events.PeerRevoked)
        ]

    def _make_node(
        self,
        who: identity.Identity,
        address: descriptor.Address,
        boot: int,
        boot_id: bytes | None = None,
    ) -> nodes.Node:
        return nodes.Node(
            self._config,
            who,
            self._trust or self.overlay.make_trust(),
            self.overlay.ring,
            address=address,
            boot=boot,
            boot_id=boot_id or self._rng.randbytes(8),
            rng=_seeded(self._rng.random()),
            now=self.now,
            now_wall=throwaway.WALL + self.now,
        )

    def _join(self, peer: Peer, seeds: Iterable[int]) -> None:
        addresses = [self.peers[number].address for number in seeds]
        peer.node.join(addresses, self.now)
        self._after(peer)

    def _at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._order), do))

    def _step(self) -> None:
        self.now, _, do = heapq.heappop(self._heap)
        do()

    def _resume(self, peer: Peer) -> None:
        peer.is_paused = False
        if not peer.is_up:
            return
        while peer.inbox:
            datagram, sender = peer.inbox.popleft()
            peer.node.receive(datagram, sender, self.now)
        peer.wake_at = None
        self._after(peer)

    def _wake(self, peer: Peer, when: float) -> None:
        if peer.wake_at != when or not peer.is_up or peer.is_paused:
            return
        peer.wake_at = None
        due = peer.node.deadline()
        if due is not None and due <= self.now:
            peer.node.on_deadline(self.now)
        self._after(peer)

    def _after(self, peer: Peer) -> None:
        """Send, note events and set the next wake-up of a peer."""
        for to, datagram in peer.node.outgoing():
            self._send(peer, to, datagram)
        for event in peer.node.events():
            self.trace.append(Seen(self.now, peer.number, event))
        due = peer.node.deadline()
        if due is None:
            return
        due = max(due, self.now)
        if peer.wake_at is None or due < peer.wake_at:
            peer.wake_at = due
            self._at(due, lambda: self._wake(peer, due))

    def _send(
        self, peer: Peer, to: descriptor.Address, datagram: bytes
    ) -> None:
        self.datagrams += 1
        self.bytes += len(datagram)
        self._digest.update(f'{self.now!r} {peer.number} {to}'.encode())
        self._digest.update(datagram)
        target = self._places.get(to)
        if target is None or not self._passes(peer.number, target.number):
            return
        if target.refuses:
            self._at(
                self.now + self.network.delay_s[0],
                lambda: self.refuse(peer.number, to),
            )
            return
        if self._rng.random() < self._deaf.get(target.number, 0.0):
            return
        copies = 1 + (self._rng.random() < self.network.duplicate)
        for _ in range(copies):
            if self._rng.random() >= self.network.loss:
                delay = self._rng.uniform(*self.network.delay_s)
                self._deliver(peer.address, target, datagram, delay)

    def _deliver(
        self,
        sender: descriptor.Address,
        target: Peer,
        datagram: bytes,
        delay: float,
    ) -> None:
        self._at(
            self.now + delay, lambda: self._arrive(target, datagram, sender)
        )

    def _passes(self, source: int, target: int) -> bool:
        if (source, target) in self._blocked:
            return False
        if not self._groups:
            return True
        return self._groups.get(source) == self._groups.get(target)

    def _arrive(
        self, peer: Peer, datagram: bytes, sender: descriptor.Address
    ) -> None:
        if not peer.is_up:
            return
        if peer.is_paused:
            if len(peer.inbox) < _INBOX_MAX:
                peer.inbox.append((datagram, sender))
            return
        peer.node.receive(datagram, sender, self.now)
        self._after(peer)
