# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.descriptor import PAYLOAD_MAX
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
    assert net.read(payload, wire.PeerRecord) is None
    assert net.unreadable == 1


def test_a_deleted_record_is_no_mistake() -> None:
    net = overlay.Overlay()
    assert net.read(b'', wire.PeerRecord) is None
    assert net.unreadable == 0
