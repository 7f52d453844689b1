# SPDX-License-Identifier: Apache-2.0
"""What a daemon has refused since it started, counted by reason.

A reason is the code of the error that the caller was told, or one of the
words here if nothing could be told: the set of them is bounded, whatever
callers send.
"""

from __future__ import annotations

import collections
import ssl

import trio

TURNED_AWAY = 'turned-away'
"""Too many connections at once."""
NO_CERTIFICATE = 'certificate-missing'
EXPIRED = 'certificate-expired'
"""Or not yet valid."""
UNKNOWN = 'certificate-unknown'
"""Of another authority, of another overlay, or for another key."""
BAD_HTTP = 'bad-http'
"""Not HTTP/1.1, or its head is too long."""
HANDSHAKE = 'handshake'
"""Not TLS 1.3, or it did not end."""

_NOT_YET_VALID = 9
_HAS_EXPIRED = 10
"""OpenSSL's X509_V_ERR_… codes."""


class Refusals:
    """The counts of one daemon."""

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()

    def count(self, reason: str) -> None:
        """One more was refused for this reason."""
        self._counts[reason] += 1

    def listed(self) -> tuple[tuple[str, int], ...]:
        """(reason, count), by reason."""
        return tuple(sorted(self._counts.items()))


def handshake_to_reason(error: BaseException) -> str:
    """Why a handshake failed, as a word to count."""
    cause = error
    if isinstance(error, trio.BrokenResourceError) and error.__cause__:
        cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        # Ours has no code: the name is not that of the key.
        code = getattr(cause, 'verify_code', 0)
        return EXPIRED if code in (_NOT_YET_VALID, _HAS_EXPIRED) else UNKNOWN
    if (
        isinstance(cause, ssl.SSLError)
        and cause.reason == 'PEER_DID_NOT_RETURN_A_CERTIFICATE'
    ):
        return NO_CERTIFICATE
    return HANDSHAKE
