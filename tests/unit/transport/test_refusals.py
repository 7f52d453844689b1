# SPDX-License-Identifier: Apache-2.0
"""What is counted, by which word."""

from __future__ import annotations

import ssl

import pytest
import trio

from p2pcs_nova.transport import refusals


def broken(cause: Exception) -> trio.BrokenResourceError:
    error = trio.BrokenResourceError()
    error.__cause__ = cause
    return error


def verification(code: int | None) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError('no')
    if code is not None:
        error.verify_code = code
    return error


def alert(reason: str) -> ssl.SSLError:
    error = ssl.SSLError('no')
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (broken(verification(10)), refusals.EXPIRED),
        (broken(verification(9)), refusals.EXPIRED),
        (broken(verification(20)), refusals.UNKNOWN),
        (broken(verification(None)), refusals.UNKNOWN),
        (
            broken(alert('PEER_DID_NOT_RETURN_A_CERTIFICATE')),
            refusals.NO_CERTIFICATE,
        ),
        (broken(alert('HTTP_REQUEST')), refusals.HANDSHAKE),
        (trio.BrokenResourceError(), refusals.HANDSHAKE),
        (trio.TooSlowError(), refusals.HANDSHAKE),
    ],
)
def test_a_failed_handshake_has_a_word(error: Exception, reason: str) -> None:
    assert refusals.handshake_to_reason(error) == reason


def test_counts_are_listed_by_reason() -> None:
    counts = refusals.Refusals()
    for reason in ('stale-term', 'forbidden', 'stale-term'):
        counts.count(reason)
    assert counts.listed() == (('forbidden', 1), ('stale-term', 2))
