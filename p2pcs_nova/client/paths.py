# SPDX-License-Identifier: Apache-2.0
"""Where in a daemon's interface a request goes."""

from __future__ import annotations

from urllib import parse


def path_of(*parts: str) -> str:
    """The path of these parts, whatever characters are in them."""
    return '/v1/' + '/'.join(parse.quote(part, safe=':') for part in parts)
