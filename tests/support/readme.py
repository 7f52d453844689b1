# SPDX-License-Identifier: Apache-2.0
"""What README tells people to type, as it stands there."""

from __future__ import annotations

import dataclasses
import pathlib
import re

README = pathlib.Path(__file__).resolve().parents[2] / 'README.rst'
_BLOCK = re.compile(
    r'^\.\. code-block:: (?P<kind>\w+)\n\n(?P<body>(?:(?: {3}.*)?\n)+)', re.M
)
_COMMAND = re.compile(r'^(?:\((?P<where>[\w ]+)\) *)?# (?P<line>.*)$')


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line of root's.

    :param where: the machine that README names; empty if there is but one
    """

    line: str
    where: str = ''


def section(text: str, title: str) -> str:
    """The body of a section, up to the next title of whatever level.

    :raises ValueError: there is none of this title
    """
    match = re.search(
        rf'^{re.escape(title)}\n([=-])\1+\n(.*?)(?=^[^\n]+\n[=-]{{3,}}\n|\Z)',
        text,
        re.M | re.S,
    )
    if match is None:
        raise ValueError(f'README has no section {title}')
    return match[2]


def blocks(text: str, kind: str) -> list[str]:
    """The code blocks of a kind, without their indentation."""
    found = (match for match in _BLOCK.finditer(text))
    return [
        re.sub(r'^ {3}', '', match['body'], flags=re.M).strip('\n') + '\n'
        for match in found
        if match['kind'] == kind
    ]


def commands(block: str) -> list[Command]:
    """The command lines of a console block, continued ones joined.

    :raises ValueError: something else is in it
    """
    joined = re.sub(r' *\\\n\s*', ' ', block)
    found = []
    for line in joined.splitlines():
        match = _COMMAND.match(line)
        if match is None:
            raise ValueError(f'README: not a command of root: {line}')
        found.append(Command(match['line'], match['where'] or ''))
    return found
