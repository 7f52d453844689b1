# SPDX-License-Identifier: Apache-2.0
"""Sealing of datagrams.

    version(1) ring key number(1) peer id(16) boot id(8) counter(6)
    | AES-256-GCM cipher text | tag(16)

The first 32 bytes are clear and authenticated. Each sender has its own key,
HKDF-SHA256(ring key, peer id and boot id), and its counter is the nonce: it
never repeats under one (peer id, boot id), unless a process is resumed twice
from one memory (:mod:`gossip.rivals`, rule 3). The ring key keeps strangers
out; it authenticates no member: what matters is signed besides.

A receiver keeps, for each (peer id, boot id) and each address that it sends
from, the highest counter and a window of the 4,096 before it: from there a
datagram opens once (RFC 4303, 3.4.3).
"""

import collections
import dataclasses
import struct
import typing
from collections.abc import Hashable

from cryptography import exceptions
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import aead
from cryptography.hazmat.primitives.kdf import hkdf

from gossip import descriptor, errors

VERSION = 1
MAX_DATAGRAM = 1200
HEADER_BYTES = 32
TAG_BYTES = 16
MAX_PLAIN = MAX_DATAGRAM - HEADER_BYTES - TAG_BYTES
WINDOW = 4096

_HEADER = struct.Struct('>BB16s8s6s')
_COUNTERS = 2**48
_SENDERS_MAX = 8192


@dataclasses.dataclass(frozen=True)
class RingKeys:
    """The overlay's shared keys, oldest first; the last one seals.

    :param keys: pairs of a number (0 to 255) and 32 bytes
    """

    keys: tuple[tuple[int, bytes], ...]

    def __post_init__(self) -> None:
        numbers = [number for number, _ in self.keys]
        if not numbers or len(set(numbers)) != len(numbers):
            raise errors.Misuse('ring keys have different numbers')
        for number, key in self.keys:
            if not 0 <= number < 256 or len(key) != 32:
                raise errors.Misuse('a ring key is 0..255 and 32 bytes')


class Opened(typing.NamedTuple):
    """A datagram's clear content: who sealed it, and what it says."""

    peer: descriptor.PeerId
    boot_id: bytes
    plain: bytes


def sender(datagram: bytes) -> descriptor.PeerId | None:
    """Who the datagram says has sealed it, believed by nobody yet."""
    if len(datagram) < HEADER_BYTES:
        return None
    return datagram[2 : 2 + descriptor.PEER_ID_BYTES]


def ring_key_number(datagram: bytes) -> int:
    """Which ring key the datagram says it is sealed with."""
    return datagram[1]


def _sender_key(
    ring_key: bytes, peer: descriptor.PeerId, boot_id: bytes
) -> aead.AESGCM:
    derived = hkdf.HKDF(
        hashes.SHA256(),
        32,
        salt=None,
        info=b'gossip seal 1\0' + peer + boot_id,
    ).derive(ring_key)
    return aead.AESGCM(derived)


class ReplayWindow:
    """Which counters of one sender were seen."""

    def __init__(self) -> None:
        self._highest = -1
        self._seen = 0

    def is_new(self, counter: int) -> bool:
        """Whether the counter is neither seen nor too old."""
        behind = self._highest - counter
        if behind < 0:
            return True
        return behind < WINDOW and not self._seen >> behind & 1

    def add(self, counter: int) -> None:
        """Note a counter that is new."""
        ahead = counter - self._highest
        if ahead > 0:
            seen = self._seen << ahead if ahead < WINDOW else 0
            self._seen = (seen | 1) & ((1 << WINDOW) - 1)
            self._highest = counter
        else:
            self._seen |= 1 << -ahead


class Sealer:
    """Seals our datagrams; the counter lives as long as the boot id."""

    def __init__(
        self, ring: RingKeys, peer: descriptor.PeerId, boot_id: bytes
    ) -> None:
        if len(boot_id) != descriptor.BOOT_ID_BYTES:
            raise errors.Misuse('a boot id has 8 bytes')
        self._peer = peer
        self._boot_id = boot_id
        self._counter = 0
        self.set_ring_keys(ring)

    def set_ring_keys(self, ring: RingKeys) -> None:
        """Seal with the newest of these from now on."""
        self._number, key = ring.keys[-1]
        self._key = _sender_key(key, self._peer, self._boot_id)

    def seal(self, plain: bytes) -> bytes:
        """One datagram.

        :raises Misuse: it would exceed 1,200 bytes, or 2^48 were sealed
        """
        if len(plain) > MAX_PLAIN or self._counter >= _COUNTERS:
            raise errors.Misuse('a datagram too long or one too many')
        counter = self._counter.to_bytes(6, 'big')
        self._counter += 1
        header = _HEADER.pack(
            VERSION, self._number, self._peer, self._boot_id, counter
        )
        return header + self._key.encrypt(bytes(6) + counter, plain, header)


@dataclasses.dataclass
class _Sender:
    keys: dict[int, aead.AESGCM]
    window: ReplayWindow


class Opener:
    """Opens datagrams of others; remembers the last 8,192 senders."""

    def __init__(self, ring: RingKeys) -> None:
        self._senders: collections.OrderedDict[Hashable, _Sender] = (
            collections.OrderedDict()
        )
        self.set_ring_keys(ring)

    def set_ring_keys(self, ring: RingKeys) -> None:
        """Open what was sealed with any of these from now on."""
        self._ring = dict(ring.keys)
        for sender in self._senders.values():
            sender.keys.clear()

    def open(self, datagram: bytes, origin: Hashable = None) -> Opened:
        """Who sealed the datagram, and what it says.

        Whoever has the ring key could seal in another's name and move its
        window beyond all that it will send.  So each address that a
        sender sends from has a window of its own.

        :param origin: where it came from

        :raises MalformedMessage: not a datagram of this version
        :raises Refused: ``ring_key``, ``seal`` or ``replay``; nothing is
            remembered of the sender
        """
        if not HEADER_BYTES + TAG_BYTES <= len(datagram) <= MAX_DATAGRAM:
            raise errors.MalformedMessage('datagram length')
        header = datagram[:HEADER_BYTES]
        version, number, peer, boot_id, counter = _HEADER.unpack(header)
        if version != VERSION:
            raise errors.MalformedMessage('version')
        ring_key = self._ring.get(number)
        if ring_key is None:
            raise errors.Refused('ring_key')
        name = peer, boot_id, origin
        sender = self._senders.get(name) or _Sender({}, ReplayWindow())
        count = int.from_bytes(counter, 'big')
        if not sender.window.is_new(count):
            raise errors.Refused('replay')
        key = sender.keys.get(number)
        if key is None:
            key = _sender_key(ring_key, peer, boot_id)
        try:
            plain = key.decrypt(
                bytes(6) + counter, datagram[HEADER_BYTES:], header
            )
        except exceptions.InvalidTag as error:
            raise errors.Refused('seal') from error
        sender.keys[number] = key
        sender.window.add(count)
        self._remember(name, sender)
        return Opened(peer, boot_id, plain)

    def _remember(self, name: Hashable, sender: _Sender) -> None:
        self._senders[name] = sender
        self._senders.move_to_end(name)
        if len(self._senders) > _SENDERS_MAX:
            self._senders.popitem(last=False)
