# SPDX-License-Identifier: Apache-2.0
"""Configuration files in the form that oslo.config reads."""

from __future__ import annotations

from collections.abc import Mapping

Value = str | float | bool | tuple[str, ...]
Section = Mapping[str, Value]
Ini = Mapping[str, Section]


def render(ini: Ini) -> str:
    """The text of a file; a tuple is an option given several times."""
    parts = []
    for name, section in ini.items():
        lines = [f'[{name}]']
        for option, value in section.items():
            values = value if isinstance(value, tuple) else (value,)
            lines += [f'{option} = {_text(item)}' for item in values]
        parts.append('\n'.join(lines) + '\n')
    return '\n'.join(parts)


def _text(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return 'true' if value else 'false'
    return str(value)
