# SPDX-License-Identifier: Apache-2.0
"""Text that another machine has written, made fit for a log or terminal.

A PC's name, its reasons and its error messages are its owner's to write:
they may hold escape sequences, line ends, or megabytes.
"""

from __future__ import annotations

LIMIT = 500
"""Characters that are enough to say what is wrong."""


def printable(text: str, limit: int = LIMIT) -> str:
    """One line of characters that a terminal only shows.

    What is no printable character of the basic plane (Nova's database
    holds no other) becomes a blank.
    """
    shown = text if len(text) <= limit else text[: limit - 1] + '…'
    return ''.join(
        c if c.isprintable() and c <= '\uffff' else ' ' for c in shown
    )
