# SPDX-License-Identifier: Apache-2.0
"""Tell systemd that a daemon is up, and that it is still alive.

The protocol of sd_notify(3): lines in a datagram to the socket that the
unit's environment names. Started by hand, there is none: nothing is told.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

import trio

SOCKET = 'NOTIFY_SOCKET'
WATCHDOG = 'WATCHDOG_USEC'
BEATS = 3
"""Signs of life within the time that systemd waits for one."""


def tell(words: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send a line; lost if systemd does not take it at once.

    :param words: ``NAME=value``
    """
    path = environ.get(SOCKET, '')
    if not path:
        return
    if path.startswith('@'):
        path = '\0' + path[1:]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
        contextlib.suppress(OSError),
    ):
        sock.setblocking(False)
        sock.sendto(words.encode(), path)


def beat_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds between signs of life; None: systemd waits for none."""
    microseconds = environ.get(WATCHDOG, '')
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1e6 / BEATS


async def stay_alive(environ: Mapping[str, str] = os.environ) -> None:
    """Show until cancelled that the daemon's loop still turns."""
    pause_s = beat_s(environ)
    while pause_s is not None:
        tell('WATCHDOG=1', environ)
        await trio.sleep(pause_s)
