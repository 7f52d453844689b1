# SPDX-License-Identifier: Apache-2.0
"""Text that another machine has written, made fit for a log or terminal.

A PC's name, its reasons and its error messages are its owner's to write:
they may hold escape sequences, line ends, or megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping

LIMIT = 500
"""Characters that are enough to say what is wrong."""


def printable(text: str, limit: int = LIMIT) -> str:
    """One line of characters that a terminal only shows.

    What is no printable character of the basic plane (Nova's database
    holds no other) becomes a blank.
    """
    shown = text if len(text) <= limit else text[: limit - 1] + '…'
    if shown.isascii() and shown.isprintable():
        return shown
    return ''.join(
        c if c.isprintable() and c <= '\uffff' else ' ' for c in shown
    )


def or_dash(request_id: str) -> str:
    """A request's id for a line of a log; what nobody asked for has none."""
    return request_id or '-'


def counts_to_text(counts: Mapping[str, int], limit: int = LIMIT) -> str:
    """How many PCs say what, the most frequent first.

    :param counts: PCs by what they say; those of which there is none are
        left out
    :param limit: characters
    """
    said = [(what, count) for what, count in counts.items() if count]
    total = sum(count for _, count in said)
    noun = 'PC' if total == 1 else 'PCs'
    parts = [
        f'{count} {what}'
        for what, count in sorted(said, key=lambda one: (-one[1], one[0]))
    ]
    return printable(f'{total} {noun}: {", ".join(parts) or "none"}', limit)
