# SPDX-License-Identifier: Apache-2.0
"""Host and port as one text, wherever one is shown or stored."""

from __future__ import annotations


def endpoint_to_text(host: str, port: int) -> str:
    """``host:port``; an IPv6 address stands in brackets (RFC 3986)."""
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'
