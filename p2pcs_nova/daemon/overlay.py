# SPDX-License-Identifier: Apache-2.0
"""The daemon's place in the overlay: typed records over ``gossip``.

Whatever the daemon asks of membership it asks here, and membership is
gossip's alone.  Records are MessagePack; what a peer writes and we cannot
read is counted and passed over, never fatal.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec
import trio

from gossip import events as news
from gossip.config import NodeConfig
from gossip.descriptor import (
    PAYLOAD_MAX,
    Address,
    Member,
    Record,
    Role,
    Status,
)
from gossip.runtime import Runtime
from p2pcs_nova import hearsay, wire

LOG = logging.getLogger(__name__)

ATTRIBUTES_PART = 'attributes'
CAPACITY_PART = 'capacity'
POLICY_PART = 'policy'
INSTANCES_PART = 'instances/'
PARTS_MAX = NodeConfig().parts_max - 3
"""Parts of the list of instances: so many are kept of a peer, less the
others."""
ROWS_PER_PART = 12
"""A row is at most 70 bytes: 12 of them fit with what is around them."""
CUT = '…'
LONGEST = ('cpu_flags', 'gpus')
"""Attributes that are left out where there is no room for all."""

T = TypeVar('T', bound=msgspec.Struct)


class RecordTooLarge(ValueError):
    """A record does not fit into its datagrams; the old one stays."""


class Overlay:
    """What the roles see of the overlay.

    Made over a :class:`gossip.runtime.Runtime` whose ``deliver`` is
    :meth:`deliver`; :attr:`changes` then yields its events in order.  None
    may be lost, so nothing bounds what waits there: whoever takes them
    must not wait for anybody else.
    """

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[news.Event](
            math.inf
        )
        self._runtime: Runtime | None = None
        self._parts = 0
        self.unreadable = 0
        """Records that could not be decoded since the start."""

    def deliver(self, event: news.Event) -> None:
        """Take an event from the runtime; never blocks."""
        self._send.send_nowait(event)

    def attach(self, runtime: Runtime) -> None:
        """Say which runtime publishes for us; once, before any other."""
        self._runtime = runtime

    @property
    def runtime(self) -> Runtime:
        """The runtime that drives our node."""
        assert self._runtime is not None
        return self._runtime

    @property
    def peer(self) -> bytes:
        """Our own peer id."""
        return self.runtime.node.peer

    @property
    def changes(self) -> trio.MemoryReceiveChannel[news.Event]:
        """Events in the order in which they happened."""
        return self._receive

    def members(self) -> tuple[Member, ...]:
        """All that are known: alive, suspect and failed, ourselves too."""
        return self.runtime.node.members()

    def alive(self) -> tuple[Member, ...]:
        """Those that are not known to have failed."""
        return tuple(
            m
            for m in self.members()
            if m.status in (Status.ALIVE, Status.SUSPECT)
        )

    def member(self, peer: str) -> Member | None:
        """One member by the text of its id."""
        return self.runtime.node.member(bytes.fromhex(peer))

    def gateway_key(self, peer: str) -> bytes | None:
        """The public key of a gateway; None if it is none that we know."""
        member = self.member(peer)
        if member is None or member.role is not Role.GATEWAY:
            return None
        return member.public_key

    def records(self, peer: bytes) -> tuple[Record, ...]:
        """All that a member says of itself."""
        return self.runtime.node.records(peer)

    def request_address(self, peer: str) -> Address | None:
        """Where the peer takes requests (TCP); None if unknown."""
        member = self.member(peer)
        if member is None:
            return None
        return Address(member.address.host, member.request_port)

    def revoked(self) -> tuple[str, ...]:
        """Who has been put out of the overlay."""
        return tuple(peer.hex() for peer in self.runtime.node.revoked())

    def dropped(self) -> tuple[tuple[str, int], ...]:
        """(reason, count) of what was dropped since the start, by reason."""
        counts = dict(self.runtime.node.statistics().dropped)
        counts['record_unreadable'] = self.unreadable
        counts['send_failed'] = self.runtime.send_errors
        return tuple(sorted((why, n) for why, n in counts.items() if n))

    # -- our own records ----------------------------------------------------

    def publish_peer(self, record: wire.PeerRecord) -> None:
        """Tell the overlay what this PC offers.

        :raises RecordTooLarge: too many or too long attributes
        """
        words, capacity = record.split()
        self._publish(ATTRIBUTES_PART, with_room(words))
        self._publish(CAPACITY_PART, with_short_reason(capacity))

    def publish_policy(self, record: wire.PolicyNews) -> None:
        """Tell the overlay which policy is in force here."""
        self._publish(POLICY_PART, record)

    def publish_instances(self, rows: Sequence[wire.InstanceStatus]) -> None:
        """Tell the overlay which instances this PC holds.

        :raises RecordTooLarge: more than ``PARTS_MAX`` parts hold
        """
        parts = list(instance_parts(rows))
        if len(parts) > PARTS_MAX:
            raise RecordTooLarge(
                f'{len(rows)} instances are here, and the overlay is told of '
                f'{PARTS_MAX * ROWS_PER_PART}: their states are not gossiped'
            )
        for number, part in enumerate(parts):
            self._publish(f'{INSTANCES_PART}{number}', part)
        for number in range(len(parts), self._parts):
            self.runtime.publish(f'{INSTANCES_PART}{number}', b'')
        self._parts = len(parts)

    def _publish(self, part: str, record: msgspec.Struct) -> None:
        payload = msgspec.msgpack.encode(record)
        if len(payload) > PAYLOAD_MAX:
            raise RecordTooLarge(
                f'the record {part!r} takes {len(payload)} bytes of '
                f'{PAYLOAD_MAX}: shorten the attributes'
            )
        self.runtime.publish(part, payload)

    # -- others' records ----------------------------------------------------

    def peer_records(self) -> dict[str, wire.PeerRecord]:
        """What all PCs say that are alive, ourselves too, by id."""
        return self._records_of(self.alive())

    def last_records(self) -> dict[str, wire.PeerRecord]:
        """The same of all PCs, of those that are off what they said last.

        Who has left is none any more, nor who was put out.
        """
        return self._records_of(self.members())

    def _records_of(
        self, members: Iterable[Member]
    ) -> dict[str, wire.PeerRecord]:
        found = {}
        for member in members:
            if member.role is Role.PEER:
                record = self.peer_record(member.peer)
                if record is not None:
                    found[member.peer.hex()] = record
        return found

    def policy_news(self) -> list[tuple[Member, wire.PolicyNews]]:
        """Which policy everybody else has that is alive."""
        found = []
        for member in self.alive():
            held = self.runtime.node.record(member.peer, POLICY_PART)
            if held is not None and member.peer != self.peer:
                told = self.read(held.payload, wire.PolicyNews)
                if told is not None:
                    found.append((member, told))
        return found

    def peer_record(self, peer: bytes) -> wire.PeerRecord | None:
        """What a PC is and offers; None until it has told both.

        As far as it can be believed: nobody here hears anything else.
        """
        node = self.runtime.node
        words = node.record(peer, ATTRIBUTES_PART)
        capacity = node.record(peer, CAPACITY_PART)
        if words is None or capacity is None:
            return None
        said = self.read(words.payload, wire.AttributesRecord)
        offered = self.read(capacity.payload, wire.CapacityRecord)
        if said is None or offered is None:
            return None
        return hearsay.believable(wire.PeerRecord.join(said, offered))

    def read(self, payload: bytes, kind: type[T]) -> T | None:
        """A record's payload as its type; None if it was deleted.

        What is not of the type is counted and taken for deleted.
        """
        if not payload:
            return None
        try:
            return msgspec.msgpack.decode(payload, type=kind)
        except wire.UNDECODABLE:
            self.unreadable += 1
            return None


def with_room(words: wire.AttributesRecord) -> wire.AttributesRecord:
    """The same; if it fits no datagram, without its longest measurements.

    An owner's words are not cut: he is told that they are too long.
    """
    kept = dict(words.attributes)
    for name in LONGEST:
        if len(msgspec.msgpack.encode(words)) <= PAYLOAD_MAX:
            break
        kept.pop(name, None)
        words = msgspec.structs.replace(words, attributes=dict(kept))
    return words


def with_short_reason(record: wire.CapacityRecord) -> wire.CapacityRecord:
    """The same; if it fits no datagram, with a part of its reason.

    What tells why a PC offers nothing may be a page of a tool's errors,
    and others must hear of it nevertheless.
    """
    excess = len(msgspec.msgpack.encode(record)) - PAYLOAD_MAX
    if excess <= 0:
        return record
    whole = record.offer.reason.encode()
    kept = whole[: max(len(whole) - excess - len(CUT.encode()), 0)]
    reason = kept.decode(errors='ignore') + CUT if kept else ''
    offer = msgspec.structs.replace(record.offer, reason=reason)
    return msgspec.structs.replace(record, offer=offer)


def instance_parts(
    rows: Sequence[wire.InstanceStatus],
) -> Iterator[wire.InstancesRecord]:
    """Cut the list of instances into parts that each fit a datagram.

    Rows are ordered by uuid, so that one change touches few parts; there
    is always a first part, even an empty one: it says "I hold nothing".
    """
    ordered = sorted(rows, key=lambda row: row.instance)
    for start in range(0, max(len(ordered), 1), ROWS_PER_PART):
        yield wire.InstancesRecord(
            tuple(
                (row.instance, row.epoch, row.state)
                for row in ordered[start : start + ROWS_PER_PART]
            )
        )
