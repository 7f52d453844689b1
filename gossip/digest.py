# SPDX-License-Identifier: Apache-2.0
"""Digests of all that a node holds: equal digests, equal knowledge.

Demers et al. 1987, 1.3, compare one checksum of everything. Departures: 16
of them, so that a difference is looked for in a sixteenth; and a change
costs the same however much is held.

Each item (a descriptor or a part, with its version) has a hash; a bucket is
the exclusive or of the hashes of its items, so adding, replacing and taking
away cost one hash each and the order does not matter. The peers whose ids
begin with the same 4 bits share a bucket.

The digests find differences between honest peers. They prove nothing: what
arrives is verified by its own signature.
"""

import hashlib
import struct

from gossip import descriptor, messages

_VALUES = struct.Struct('>QQB')


class Digest:
    """The buckets of one node."""

    def __init__(self) -> None:
        self._buckets = [0] * messages.BUCKETS
        self._summary: int | None = 0
        self.changes = 0
        """How many items came or went so far."""

    def toggle(
        self,
        peer: descriptor.PeerId,
        part: str,
        boot: int,
        n: int,
        status: int = 0,
    ) -> None:
        """Add an item, or take it away if it was added before."""
        digest = hashlib.blake2b(
            peer + _VALUES.pack(boot, n, status) + part.encode(),
            digest_size=8,
        ).digest()
        self._buckets[peer[0] >> 4] ^= int.from_bytes(digest, 'big')
        self._summary = None
        self.changes += 1

    def buckets(self) -> tuple[int, ...]:
        """One number of 64 bits for each bucket."""
        return tuple(self._buckets)

    def summary(self) -> int:
        """One number of 32 bits for everything."""
        if self._summary is None:
            self._summary = self._sum_up()
        return self._summary

    def _sum_up(self) -> int:
        total = 0
        for number, bucket in enumerate(self._buckets):
            total ^= (bucket * (2 * number + 1)) & (2**64 - 1)
        return (total >> 32) ^ (total & (2**32 - 1))


def bucket_range(number: int) -> tuple[bytes, bytes]:
    """The lowest and the highest peer id of a bucket."""
    first = number << 4
    return bytes([first]) + bytes(15), bytes([first | 15]) + b'\xff' * 15
