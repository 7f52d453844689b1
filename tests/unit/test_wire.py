# SPDX-License-Identifier: Apache-2.0
"""What every reader of the wire's types counts on."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import wire

COUNTS = st.integers(0, 2**40)
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


@given(st.builds(wire.Capacity, COUNTS, COUNTS, COUNTS))
def test_what_is_added_fits_into_the_sum(part: wire.Capacity) -> None:
    whole = part + wire.Capacity(1, 1, 1)
    assert whole.fits(part)
    assert not part.fits(whole)
