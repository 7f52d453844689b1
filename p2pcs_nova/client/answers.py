# SPDX-License-Identifier: Apache-2.0
"""What a daemon answered, as a value or as the error that it names."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from p2pcs_nova import errors, texts, wire

T = TypeVar('T')


def body_to_value(body: bytes, kind: type[T]) -> T:
    """The body of a success.

    :raises P2PcsError: it is not of this type: the two daemons do not
        understand each other; what the request did is done
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except wire.UNDECODABLE as error:
        raise errors.P2PcsError(
            f'the answer is not a {kind.__name__}: {error}'
        ) from None


def length_to_size(content_length: str) -> int:
    """Bytes of a body that is taken in pieces, from its header.

    :raises P2PcsError: the answer does not say it
    """
    try:
        return int(content_length)
    except ValueError:
        raise errors.P2PcsError('the answer does not say its size') from None


def failure_to_error(status: int, body: bytes) -> errors.P2PcsError:
    """The error that an answer with this status and body names."""
    try:
        problem = msgspec.json.decode(body, type=wire.Problem)
    except wire.UNDECODABLE:
        if status == errors.NotFound.status:
            return errors.NotFound('nothing there')
        return errors.P2PcsError(f'HTTP status {status} without a reason')
    return errors.from_code(problem.code, texts.printable(problem.message))


def failure_to_reason(error: BaseException) -> str:
    """What is at the bottom of a failed connection, in words."""
    while True:
        inner = error.__cause__ or error.__context__
        if isinstance(error, BaseExceptionGroup):
            inner = error.exceptions[0]
        if inner is None:
            return str(error) or type(error).__name__
        error = inner
