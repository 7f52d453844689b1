# SPDX-License-Identifier: Apache-2.0
"""Read ``bindep.txt``, the one list of Debian packages."""

from __future__ import annotations


def parse(text: str, profiles: set[str]) -> list[str]:
    """The packages that any of the profiles asks for, in order.

    :param text: lines of ``name [word word]``; a word with a colon is a
        platform, and ours is always Debian's
    """
    names = []
    for line in text.splitlines():
        entry = line.partition('#')[0].strip()
        if not entry:
            continue
        name, _, words = entry.partition('[')
        asked = {word for word in words.strip(']').split() if ':' not in word}
        if asked & profiles:
            names.append(name.strip())
    return names
