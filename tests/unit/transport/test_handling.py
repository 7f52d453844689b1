# SPDX-License-Identifier: Apache-2.0
"""Bodies from strangers: a value, or an error that says so."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2pcs_nova import errors, wire
from p2pcs_nova.transport import handling
from tests.conftest import Tried
from tests.support.figures import REQUESTS


@example(b'{"issuer":"\xff"}')
@example(b'[' * 5000)
@given(st.binary(max_size=200))
def test_any_body_is_a_value_or_malformed(tried: Tried, body: bytes) -> None:
    tried(REQUESTS)
    try:
        value = handling.decode_json(body, wire.DrainRequest)
    except errors.Malformed:
        return
    assert isinstance(value, wire.DrainRequest)


@pytest.mark.parametrize(
    'body', [b'{"draining":1}', b'{}', b'null', b'{"draining":true}x']
)
def test_wrong_types_are_malformed(body: bytes) -> None:
    with pytest.raises(errors.Malformed):
        handling.decode_json(body, wire.DrainRequest)
