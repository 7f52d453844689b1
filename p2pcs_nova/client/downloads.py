# SPDX-License-Identifier: Apache-2.0
"""A long body on its way from the daemon of this machine."""

from __future__ import annotations

import io
from http import client

from p2pcs_nova import errors


class Download:
    """A body on its way, to be read once.

    :param source: what it is read from
    """

    def __init__(self, size_bytes: int, source: io.BufferedIOBase) -> None:
        self.size_bytes = size_bytes
        self._source = source
        self._left = size_bytes

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end.

        :raises Unreachable: the body broke off
        """
        try:
            piece = self._source.read(min(size, self._left))
        except (OSError, client.HTTPException) as error:
            raise errors.Unreachable(f'a body broke off: {error}') from None
        if self._left and not piece:
            raise errors.Unreachable(
                f'a body broke off, {self._left} bytes before its end'
            )
        self._left -= len(piece)
        return piece
