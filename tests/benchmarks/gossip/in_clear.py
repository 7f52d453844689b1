# SPDX-License-Identifier: Apache-2.0
"""Datagrams that are not sealed: what all the rest costs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

from gossip import seal


class _NoCipher:
    def encrypt(self, nonce: bytes, plain: bytes, header: bytes) -> bytes:
        return plain + bytes(seal.TAG_BYTES)

    def decrypt(self, nonce: bytes, sealed: bytes, header: bytes) -> bytes:
        return sealed[: -seal.TAG_BYTES]


@contextlib.contextmanager
def in_clear() -> Iterator[None]:
    """Nodes that are made meanwhile seal nothing."""
    with mock.patch.object(seal, '_sender_key', return_value=_NoCipher()):
        yield
