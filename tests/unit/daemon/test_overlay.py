# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import types
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.descriptor import PAYLOAD_MAX, Role, Status
from p2pcs_nova import wire
from p2pcs_nova.daemon import overlay

BIG = 2**40


def status(number: int) -> wire.InstanceStatus:
    return wire.InstanceStatus(
        str(uuid.UUID(int=number)),
        wire.Counter(BIG, BIG),
        'gold',
        wire.InstanceState.BUILDING,
        wire.Capacity(1, 1, 1),
    )


@given(st.integers(0, 60))
def test_every_part_fits_a_datagram_and_no_row_is_lost(count: int) -> None:
    rows = [status(number) for number in range(count)]
    parts = list(overlay.instance_parts(rows))
    assert parts
    assert [row[0] for part in parts for row in part.rows] == [
        row.instance for row in rows
    ]
    for part in parts:
        encoded = msgspec.msgpack.encode(part)
        assert len(encoded) <= PAYLOAD_MAX


def capacity_record(reason: str) -> wire.CapacityRecord:
    offer = wire.Offer(wire.Capacity(), networks=('office',), reason=reason)
    return wire.CapacityRecord(offer, wire.Capacity())


@given(st.text(alphabet='ab €\U0001f600', min_size=500, max_size=3000))
def test_reason_that_is_too_long_is_told_in_part(reason: str) -> None:
    told = overlay.with_short_reason(capacity_record(reason))
    size = len(msgspec.msgpack.encode(told))
    assert size <= PAYLOAD_MAX
    if told.offer.reason != reason:
        assert size > PAYLOAD_MAX - 8
        assert reason.startswith(told.offer.reason.removesuffix(overlay.CUT))
    assert told == capacity_record(told.offer.reason)


def test_attributes_that_fit_no_datagram_are_refused() -> None:
    words = wire.AttributesRecord('desk-7', {'site': 'r' * PAYLOAD_MAX})
    record = wire.PeerRecord.join(words, capacity_record('no filters'))
    with pytest.raises(overlay.RecordTooLarge, match='shorten'):
        overlay.Overlay().publish_peer(record)


def test_more_instances_than_the_overlay_keeps_are_refused_at_once() -> None:
    kept = overlay.PARTS_MAX * overlay.ROWS_PER_PART
    rows = [status(number) for number in range(kept + 1)]
    assert len(list(overlay.instance_parts(rows[:-1]))) == overlay.PARTS_MAX
    with pytest.raises(overlay.RecordTooLarge, match=f'{kept + 1} instances'):
        overlay.Overlay().publish_instances(rows)


@pytest.mark.parametrize(
    'payload',
    [
        b'\xc1', b'\x80', b'[]', b'\x91' * 3000,
        b'\x81\xa4name\xa1\xff',  # no UTF-8
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_counted(payload: bytes) -> None:
    net = overlay.Overlay()
    assert net.read(payload, wire.CapacityRecord) is None
    assert net.unreadable == 1


def test_a_deleted_record_is_no_mistake() -> None:
    net = overlay.Overlay()
    assert net.read(b'', wire.CapacityRecord) is None
    assert net.unreadable == 0


def overlay_of(
    record: wire.PeerRecord, *members: tuple[bytes, Status]
) -> overlay.Overlay:
    """One whose members are so, and are PCs that all say this."""
    words, capacity = record.split()
    said = {overlay.ATTRIBUTES_PART: words, overlay.CAPACITY_PART: capacity}

    def part_of(peer: bytes, part: str) -> types.SimpleNamespace:
        payload = msgspec.msgpack.encode(said[part])
        return types.SimpleNamespace(payload=payload)

    known = tuple(
        types.SimpleNamespace(peer=peer, role=Role.PEER, status=status)
        for peer, status in members
    )
    runtime: Any = types.SimpleNamespace(
        node=types.SimpleNamespace(record=part_of, members=lambda: known)
    )
    net = overlay.Overlay()
    net.attach(runtime)
    return net


def test_pc_that_is_off_has_a_last_record_and_says_nothing() -> None:
    nothing = wire.Capacity()
    record = wire.PeerRecord('pc', wire.Offer(nothing), {}, nothing)
    on, off = b'a' * 16, b'b' * 16
    net = overlay_of(record, (on, Status.SUSPECT), (off, Status.DEAD))
    assert net.peer_records() == {on.hex(): record}
    assert net.last_records() == {on.hex(): record, off.hex(): record}


def test_nobody_here_hears_what_no_pc_can_have() -> None:
    offer = wire.Offer(wire.Capacity(BIG, BIG, BIG))
    attributes = {'reliability': 1e6, 'floor': 1e6}
    net = overlay_of(wire.PeerRecord('pc', offer, attributes, wire.Capacity()))
    heard = net.peer_record(bytes(16))
    assert heard is not None
    assert heard.offer.total == wire.Capacity()
    assert heard.attributes == {'floor': 1e6}
