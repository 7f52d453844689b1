# SPDX-License-Identifier: Apache-2.0
"""Errors of the overlay's engine.

What a peer sends us wrong is never our caller's business: the codec raises
:class:`MalformedMessage` or :class:`Refused`, the node drops the datagram
and counts it. What our caller does wrong raises :class:`Misuse` at once.
"""


class GossipError(Exception):
    """Base of all errors of this package."""


class MalformedMessage(GossipError):
    """Bytes that are not a message of ours; nothing was changed."""


class Refused(GossipError):
    """Well-formed, but not to be believed; nothing was changed.

    :param reason: a stable word, the name of the counter
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CredentialRefused(Refused):
    """A membership credential that does not hold; nothing was changed."""


class Misuse(GossipError, ValueError):
    """Our caller's fault; the state is unchanged."""
