# SPDX-License-Identifier: Apache-2.0
"""Whatever comes for a type of the wire is of the type, or malformed."""

from __future__ import annotations

import contextlib
import inspect

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pcs_nova import errors, wire
from p2pcs_nova.transport import handling
from tests.conftest import Tried
from tests.support.figures import REQUESTS

KINDS = [
    kind
    for _, kind in inspect.getmembers(wire, inspect.isclass)
    if issubclass(kind, msgspec.Struct)
]
NAMES = sorted({field for kind in KINDS for field in kind.__struct_fields__})
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(['0' * 32, 'gold', 'start', 'AAAA', '../..', 'a\n']),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    ),
    max_leaves=12,
)


def read(data: bytes, kind: type[msgspec.Struct]) -> None:
    """Read it; only a refusal may come of it."""
    with contextlib.suppress(errors.Malformed):
        assert isinstance(handling.decode_json(data, kind), kind)


@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(data=st.binary(max_size=300))
def test_random_bytes_are_malformed(
    tried: Tried, kind: type[msgspec.Struct], data: bytes
) -> None:
    tried(REQUESTS)
    read(data, kind)


@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=30)
@given(values=st.data())
def test_wrong_values_of_right_names_are_malformed(
    tried: Tried, kind: type[msgspec.Struct], values: st.DataObject
) -> None:
    tried(REQUESTS)
    fields = st.fixed_dictionaries(
        {}, optional=dict.fromkeys(kind.__struct_fields__, VALUES)
    )
    read(msgspec.json.encode(values.draw(fields)), kind)


@pytest.mark.parametrize('depth', [10, 1000, 100_000])
def test_deep_nesting_is_malformed(depth: int) -> None:
    data = b'{"term":' + b'[' * depth + b']' * depth + b'}'
    with pytest.raises(errors.Malformed):
        handling.decode_json(data, wire.Command)
