# SPDX-License-Identifier: Apache-2.0
"""A body that is handed on while it comes, never whole in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager


@dataclasses.dataclass(frozen=True)
class Body:
    """Bytes on their way; whoever opened it closes it."""

    size_bytes: int
    chunks: AsyncIterator[bytes]
    """So many bytes in order, or an error."""


Opened = AbstractAsyncContextManager[Body]
