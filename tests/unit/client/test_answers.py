# SPDX-License-Identifier: Apache-2.0
"""What an answer says, whoever has written it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2pcs_nova import errors, wire
from p2pcs_nova.client import answers


@pytest.mark.parametrize('kind', errors.BY_CODE.values())
def test_every_error_comes_back_as_itself(
    kind: type[errors.P2PcsError],
) -> None:
    body = msgspec.json.encode(wire.Problem(kind.code, 'why'))
    error = answers.failure_to_error(kind.status, body)
    assert type(error) is kind
    assert error.message == 'why'


def test_what_another_daemon_says_is_one_short_line() -> None:
    body = msgspec.json.encode(wire.Problem('full', '\x1b[2J\n' * 999))
    message = answers.failure_to_error(409, body).message
    assert message.isprintable()
    assert len(message) <= 500


def test_a_code_of_a_newer_release_is_an_error_too() -> None:
    body = msgspec.json.encode(wire.Problem('newer', 'why'))
    assert type(answers.failure_to_error(418, body)) is errors.P2PcsError


@example(500, b'{"code":"\xff"}')
@given(st.integers(min_value=300, max_value=599), st.binary(max_size=200))
def test_any_bytes_make_an_error(status: int, body: bytes) -> None:
    assert isinstance(
        answers.failure_to_error(status, body), errors.P2PcsError
    )


@example(b'{"token":"\xff"}')
@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error(body: bytes) -> None:
    try:
        value = answers.body_to_value(body, wire.TokenAnswer)
    except errors.P2PcsError:
        return
    assert isinstance(value, wire.TokenAnswer)


def test_the_bottom_of_a_failure_is_told() -> None:
    inner = ConnectionRefusedError(111, 'Connection refused')
    group = ExceptionGroup('all attempts', [inner])
    outer = OSError('all attempts to connect failed')
    outer.__cause__ = group
    assert 'Connection refused' in answers.failure_to_reason(outer)
    assert answers.failure_to_reason(TimeoutError()) == 'TimeoutError'
