# SPDX-License-Identifier: Apache-2.0
"""What every reader of the wire's types counts on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import wire

UUID = '11111111-1111-4111-8111-111111111111'
COUNTS = st.integers(0, 2**40)
FEW = st.integers(0, 50)
AMOUNTS = st.builds(wire.Capacity, FEW, FEW, FEW)
COUNTERS = st.builds(wire.Counter, COUNTS, COUNTS)


def test_text_of_a_counter() -> None:
    assert str(wire.Counter(3, 14)) == '3.14'


@given(COUNTERS, COUNTERS)
def test_a_later_era_outranks_any_number(
    one: wire.Counter, other: wire.Counter
) -> None:
    assert (one < other) == ((one.era, one.n) < (other.era, other.n))


@pytest.mark.parametrize(
    'data', [b'[1]', b'[1, 2, 3]', b'[-1, 2]', b'[1, "2"]', b'{}']
)
def test_a_counter_is_two_numbers(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(data, type=wire.Counter)


def test_fields_of_a_newer_release_are_passed_over() -> None:
    data = b'{"slice": "gold", "term": [1, 2], "mood": "sunny"}'
    command = msgspec.json.decode(data, type=wire.Command)
    assert command == wire.Command('gold', wire.Counter(1, 2))


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_slots_are_the_most_that_fit_into_what_is_left(
    total: wire.Capacity, used: wire.Capacity, need: wire.Capacity
) -> None:
    slots = total.less(used).slots(need)
    if need == wire.Capacity():
        assert slots == 1
        return

    def fits(number: int) -> bool:
        taken = sum((need for _ in range(number)), used)
        return all(
            there >= part or not wanted
            for there, part, wanted in (
                (total.vcpus, taken.vcpus, need.vcpus),
                (total.memory_mb, taken.memory_mb, need.memory_mb),
                (total.disk_mb, taken.disk_mb, need.disk_mb),
            )
        )

    assert slots == 0 or fits(slots)
    assert not fits(slots + 1)


@given(st.builds(wire.Capacity, COUNTS, COUNTS, COUNTS))
def test_what_is_added_fits_into_the_sum(part: wire.Capacity) -> None:
    whole = part + wire.Capacity(1, 1, 1)
    assert whole.fits(part)
    assert not part.fits(whole)


@pytest.mark.parametrize(
    ('kind', 'text'),
    [
        (wire.Uuid, UUID),
        (wire.PeerId, '0' * 32),
        (wire.SliceName, 'gold'),
        (wire.Digest, 'sha256:' + '0' * 64),
        (wire.NetworkName, 'office'),
        (wire.Mac, 'fa:16:3e:00:00:01'),
        (wire.Ip, '192.0.2.1'),
    ],
)
def test_no_name_ends_in_a_line_end(kind: Any, text: str) -> None:
    assert msgspec.convert(text, kind) == text
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(f'{text}\n', kind)


@pytest.mark.parametrize('ip', ['192.0.2.1', '192.0.2.0/24', '2001:db8::1/64'])
def test_addresses_and_networks_are_taken(ip: str) -> None:
    assert msgspec.convert(ip, wire.Ip) == ip


@pytest.mark.parametrize(
    'ip', ['fe80::1%x } accept', '192.0.2.1; flush ruleset', '', 'host']
)
def test_an_address_is_no_rule_of_the_filters(ip: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(ip, wire.Ip)


@pytest.mark.parametrize('version', [-1, 2**31])
def test_a_version_that_novas_database_refuses(version: int) -> None:
    offer = {'total': {}, 'hypervisor_version': version}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(offer, wire.Offer)


@pytest.mark.parametrize('slice_', ['', 'gold', 'rome-1'])
def test_slice_that_a_pc_is_bound_to_is_one_or_none(slice_: str) -> None:
    assert msgspec.convert(slice_, wire.BoundSlice) == slice_


@pytest.mark.parametrize(
    'slice_', ['\x1b[2J', 'gold\n', 'é', 'Gold', '-', 'x' * 64]
)
def test_pc_cannot_be_bound_to_what_is_no_slice(slice_: str) -> None:
    said = wire.CapacityRecord(
        offer=wire.Offer(wire.Capacity()), used=wire.Capacity(), slice=slice_
    )
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(
            msgspec.msgpack.encode(said), type=wire.CapacityRecord
        )
