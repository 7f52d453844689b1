# SPDX-License-Identifier: Apache-2.0
"""One peer of the overlay: its protocols behind one interface over bytes.

Whoever drives a node calls :meth:`Node.receive` for each datagram and
:meth:`Node.on_deadline` at :meth:`Node.deadline`, and after any call sends
what :meth:`Node.outgoing` gives and looks at :meth:`Node.events`. ``now`` is
in seconds of a clock that goes on while the machine sleeps.
"""

import collections
import dataclasses
import random
from collections.abc import Iterable, Iterator, Sequence

from gossip import (
    codec,
    descriptor,
    detection,
    dissemination,
    errors,
    events,
    intake,
    introduction,
    messages,
    protocol,
    revocations,
    rumours,
    seal,
    spreading,
    statistics,
    view,
)
from gossip import config as configs
from gossip import credential as credentials
from gossip import identity as identities
from gossip import store as stores

_EXPIRE_S = 60.0


class Node:
    """One peer of the overlay.

    :param address: where others reach us
    :param boot: durable, at least 1, one more at each start
    :param boot_id: 8 random bytes, new at each start
    :param now_wall: seconds since 1970, for the lifetime of credentials
    :param name: for people; up to 24 printable characters, no spaces
    :raises CredentialRefused: our own credential does not hold
    :raises Misuse: a parameter out of its bounds
    """

    def __init__(
        self,
        config: configs.NodeConfig,
        identity: identities.Identity,
        trust: credentials.Trust,
        ring: seal.RingKeys,
        *,
        address: descriptor.Address,
        boot: int,
        boot_id: bytes,
        rng: random.Random,
        now: float,
        now_wall: float,
        name: str = '',
    ) -> None:
        if (
            not 1 <= boot < descriptor.BOOTS
            or not 0 <= identity.request_port < 65536
        ):
            raise errors.Misuse('boot or request port out of bounds')
        host, port = descriptor.check_address(address)
        descriptor.check_name(name)
        self._identity = identity
        self._trust = trust
        self._rng = rng
        self._config = config
        self._ring = ring
        self._sealer = seal.Sealer(ring, identity.peer, boot_id)
        self._boot_id = boot_id
        self._wall_offset = now_wall - now
        self._rumours = rumours.Rumours(config)
        self._view = view.View(
            config,
            rng,
            identity,
            trust,
            self._rumours,
            messages.Descriptor(
                identity.peer,
                boot,
                boot_id,
                0,
                descriptor.host_to_bytes(host),
                port,
                identity.request_port,
                name,
            ),
            now_wall,
        )
        self._counters = statistics.Counters()
        self._store = stores.Store(
            config, self._view, self._rumours, self._counters.dropped
        )
        self._outbox = protocol.Outbox()
        self._detection = detection.Detection(
            config, rng, self._view, self._rumours, self._outbox
        )
        self._revocations = revocations.Revocations(self._view, self._rumours)
        self._dissemination = dissemination.Dissemination(
            config,
            rng,
            self._view,
            self._store,
            self._revocations,
            self._outbox,
        )
        self._introduction = introduction.Introduction(
            config, rng, self._view, self._outbox
        )
        self._spreading = spreading.Spreading(
            config, rng, self._view, self._rumours, self._outbox
        )
        self._protocols: tuple[protocol.Protocol, ...] = (
            self._introduction,
            self._detection,
            self._dissemination,
            self._spreading,
        )
        self._events: collections.deque[events.Event] = collections.deque()
        self._intake = intake.Intake(
            seal.Opener(ring),
            trust,
            self._view,
            self._store,
            self._revocations,
            self._introduction,
            self._detection,
            self._dissemination,
            self._spreading,
            self._rumours,
            self._counters.dropped,
        )
        self._expire_at = now + _EXPIRE_S
        self._overtake_at = now + config.overtake_s
        self._left = False
        self._due: float | None = None
        self._due_is_known = False
        self._detection.start(now)
        self._introduction.join((), now)

    # What the program around us wants

    @property
    def peer(self) -> descriptor.PeerId:
        """Our own peer id."""
        return self._identity.peer

    def join(self, seeds: Sequence[descriptor.Address], now: float) -> None:
        """Look for the overlay at these addresses, for ever.

        Replaces the seeds of an earlier call. After :meth:`leave` it comes
        back.

        Who is revoked stays silent.

        :raises Misuse: a seed is not an address; nothing changed
        """
        checked = [descriptor.check_address(seed) for seed in seeds]
        if self._is_out():
            return
        if self._left:
            self._left = False
            self._view.advertise()
        self._introduction.join(checked, now)
        self._introduction.on_deadline(now)
        self._settle(now)

    def leave(self, now: float) -> None:
        """Tell the others that we go, and be silent from now on."""
        if self._left:
            return
        self._left = True
        self._outbox.clear()
        self._spreading.leave(self._detection.leave())
        self._settle(now)

    def broadcast(self, payload: bytes, now: float) -> bytes:
        """Tell everybody something now; see :class:`events.NewsHeard`.

        It comes to everybody who is here, or is again within ten minutes:
        of each peer's news the last 8 long ones, or some 300 short ones. In
        20 s a peer can tell as many.

        :param payload: 1 to 512 bytes
        :returns: the id under which it is heard, 8 bytes
        :raises Misuse: too short or too long, or too much news at once, and
            after how many seconds there is room; nothing changed
        """
        self._set_wall(now)
        news_id = self._rng.randbytes(8)
        self._store.announce(news_id, payload, now)
        self._settle(now)
        return news_id

    def publish(
        self, part: str, payload: bytes, now: float
    ) -> descriptor.Version:
        """Say something of ourselves; an empty payload deletes the part.

        :param part: 1 to 32 printable ASCII characters, no spaces
        :param payload: at most 900 bytes
        :returns: its version; the present one if nothing changes
        :raises Misuse: not such a name or payload, or ``parts_max`` names
            were used since the start; nothing changed
        """
        version = self._store.publish(part, payload)
        self._settle(now)
        return version

    def set_address(self, address: descriptor.Address, now: float) -> None:
        """Tell the others that we are reached elsewhere now.

        :raises Misuse: not an address; nothing changed
        """
        checked = descriptor.check_address(address)
        if checked != self._view.own.member.address:
            self._view.advertise(address=checked)
        self._settle(now)

    def set_credential(
        self,
        credential: bytes,
        issuer_credential: bytes | None,
        now: float,
    ) -> None:
        """Go on with a renewed credential.

        :raises CredentialRefused: it does not hold; nothing changed
        :raises Misuse: it is for another key; nothing changed
        """
        identity = dataclasses.replace(
            self._identity,
            credential=credential,
            issuer_credential=issuer_credential,
        )
        self._view.set_identity(identity)
        self._identity = identity
        self._settle(now)

    def set_ring_keys(self, ring: seal.RingKeys) -> None:
        """Seal with the newest of these, open with any, from now on."""
        self._ring = ring
        self._sealer.set_ring_keys(ring)
        self._intake.set_ring_keys(ring)

    def set_wall_clock(self, now_wall: float, now: float) -> None:
        """The wall clock was set; credentials are judged by it."""
        self._wall_offset = now_wall - now
        self._expire(now)
        self._settle(now)

    def revoke(self, peer: descriptor.PeerId, now: float) -> bytes:
        """Put a peer out of the overlay for ever, and tell everybody.

        :returns: the revocation, as :meth:`restore` takes it
        :raises Misuse: we are no gateway, or it is no peer; nothing changed
        """
        item = self._revocations.make(peer, now + self._wall_offset)
        self._settle(now)
        return codec.encode_body(item)

    def restore(self, stored: Iterable[bytes], now: float) -> None:
        """Go on from the revocations that were stored; before joining.

        One that does not hold is counted and dropped.
        """
        self._rumours.way = rumours.Way.STORED
        for body in stored:
            try:
                item = codec.decode_body(messages.RevocationItem, body)
                self._revocations.accept(item)
            except errors.MalformedMessage:
                self._counters.dropped['malformed'] += 1
            except errors.Refused as error:
                self._counters.dropped[error.reason] += 1
        self._settle(now)

    # What we know

    def members(self) -> tuple[descriptor.Member, ...]:
        """All we know, ourselves and the dead too, but not who left."""
        return tuple(
            entry.member
            for entry in self._view.entries()
            if entry.member.status is not descriptor.Status.LEFT
        )

    def revoked(self) -> tuple[descriptor.PeerId, ...]:
        """Who has been put out, ourselves too."""
        return tuple(self._revocations.peers())

    def member(self, peer: descriptor.PeerId) -> descriptor.Member | None:
        """One peer, unless unknown or gone."""
        entry = self._view.get(peer)
        if entry is None or entry.settled is descriptor.Status.LEFT:
            return None
        return entry.member

    def record(
        self, peer: descriptor.PeerId, part: str
    ) -> descriptor.Record | None:
        """What a peer says of itself, unless it never did or deleted it."""
        held = self._store.get(peer, part)
        if held is None or not held.record.payload:
            return None
        return held.record

    def records(
        self, peer: descriptor.PeerId
    ) -> tuple[descriptor.Record, ...]:
        """All that a peer says of itself."""
        return tuple(
            held.record
            for held in self._store.held(peer)
            if held.record.payload and not stores.is_news(held.record.part)
        )

    def statistics(self) -> statistics.Statistics:
        """What was counted so far."""
        status = collections.Counter(
            entry.member.status for entry in self._view.entries()
        )
        counters = self._counters
        return statistics.Statistics(
            received=counters.received,
            sent=counters.sent,
            bytes_received=counters.bytes_received,
            bytes_sent=counters.bytes_sent,
            dropped=tuple(sorted(counters.dropped.items())),
            alive=status[descriptor.Status.ALIVE],
            suspect=status[descriptor.Status.SUSPECT],
            dead=status[descriptor.Status.DEAD],
            local_health=self._detection.health,
            rumours=len(self._rumours),
            pauses=counters.pauses,
        )

    # What the runtime or the simulator calls

    def receive(
        self, datagram: bytes, sender: descriptor.Address, now: float
    ) -> None:
        """Take a datagram; never raises for what is in it."""
        self._counters.received += 1
        self._counters.bytes_received += len(datagram)
        if self._left:
            self._counters.dropped['left'] += 1
            return
        self._enter(now)
        self._intake.take(datagram, sender, now)
        self._settle(now)

    def unreachable(self, address: descriptor.Address, now: float) -> None:
        """A machine has answered that nobody listens at this address."""
        if not self._left:
            self._enter(now)
            self._detection.on_unreachable(address, now)
            self._settle(now)

    def deadline(self) -> float | None:
        """When :meth:`on_deadline` is to be called; None after a leave."""
        if not self._due_is_known:
            self._due_is_known = True
            self._due = None if self._left else self._first_due()
        return self._due

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        if self._left:
            return
        self._enter(now)
        if now >= self._expire_at:
            self._expire(now)
        if now >= self._overtake_at:
            self._overtake_at = now + self._config.overtake_s
            self._view.overtake()
        for part in self._protocols:
            part.on_deadline(now)
        self._settle(now)

    def outgoing(self) -> Iterator[tuple[descriptor.Address, bytes]]:
        """Datagrams to send, and where; each is given once."""
        if not self._left:
            self._dissemination.pack()
        for letter in self._outbox.outgoing():
            plain = self._write(letter)
            if plain:
                yield letter.to, self._seal(plain)

    def events(self) -> Iterator[events.Event]:
        """What happened, in order; each is given once."""
        while self._events:
            yield self._events.popleft()

    # Inside

    def _first_due(self) -> float | None:
        due: float | None = None
        for part in self._protocols:
            other = part.deadline()
            if due is None or (other is not None and other < due):
                due = other
        return due

    def _write(self, letter: protocol.Letter) -> bytes:
        """A letter as one plain text; empty if it is too long."""
        plain = letter.plain
        room = seal.MAX_PLAIN - len(plain)
        if room < 0:
            # Bounds on what is accepted exclude it; a node outlives it.
            self._counters.dropped['too_long'] += 1
            return b''
        if letter.ride:
            plain += self._rumours.take_riding(
                room, len(self._view.others()) + 1
            )
        return plain

    def _seal(self, plain: bytes) -> bytes:
        datagram = self._sealer.seal(plain)
        self._counters.sent += 1
        self._counters.bytes_sent += len(datagram)
        return datagram

    def _set_wall(self, now: float) -> None:
        self._view.now_wall = now + self._wall_offset

    def _enter(self, now: float) -> None:
        """Note the time, and whether we were stopped until now."""
        self._set_wall(now)
        due = self.deadline()
        if due is None or now <= due + self._config.pause_s:
            return
        self._counters.pauses += 1
        self._detection.on_pause(now - due, now)
        for part in self._protocols:
            part.on_deadline(now)

    def _expire(self, now: float) -> None:
        self._expire_at = now + _EXPIRE_S
        self._set_wall(now)
        self._view.expire()

    def _follow_boot_id(self) -> None:
        """Seal with a key of our own again if another may have ours."""
        boot_id = self._view.own.member.boot_id
        if boot_id != self._boot_id:
            self._boot_id = boot_id
            self._sealer = seal.Sealer(self._ring, self.peer, boot_id)

    def _is_out(self) -> bool:
        """Whether we have been put out of the overlay."""
        return self._revocations.get(self.peer) is not None

    def _settle(self, now: float) -> None:
        if self._is_out():
            self._left = True
            self._outbox.clear()
        self._due_is_known = False
        self._follow_boot_id()
        self._store.settle()
        for event in self._view.take_events():
            if isinstance(event, events.PeerLeft):
                self._store.drop(event.peer)
            self._events.append(event)
        self._rumours.settle(now)
