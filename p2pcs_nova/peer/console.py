# SPDX-License-Identifier: Apache-2.0
"""Reading the end of a serial console's log.

virtlogd keeps the log bounded: when a file is full it is renamed to
``.0``, what was ``.0`` to ``.1``, and so on.
"""

from __future__ import annotations

import pathlib

from p2pcs_nova import wire

OLDER = 3


def read_tail(log: pathlib.Path, length: int) -> bytes:
    """The last bytes, over the renamed files if need be. Blocks."""
    length = max(0, min(length, wire.CONSOLE_LIMIT))
    files = [log, *(log.with_name(f'{log.name}.{i}') for i in range(OLDER))]
    found = b''
    for path in files:
        if len(found) >= length:
            break
        try:
            with open(path, 'rb') as file:
                size = file.seek(0, 2)
                file.seek(max(size - (length - len(found)), 0))
                found = file.read(length - len(found)) + found
        except FileNotFoundError:
            break
    return found
