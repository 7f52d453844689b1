# SPDX-License-Identifier: Apache-2.0
"""What systemd is told, on a socket of the test's own."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from p2pcs_nova import notify


@pytest.fixture
def systemd(tmp_path: pathlib.Path) -> Iterator[socket.socket]:
    """A socket as systemd gives one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / 'notify'))
        sock.setblocking(False)
        yield sock


def heard(systemd: socket.socket) -> list[bytes]:
    """All that was told so far."""
    words = []
    while True:
        try:
            words.append(systemd.recv(100))
        except BlockingIOError:
            return words


def test_systemd_hears_that_the_daemon_is_up(systemd: socket.socket) -> None:
    notify.tell('READY=1', {'NOTIFY_SOCKET': systemd.getsockname()})
    assert heard(systemd) == [b'READY=1']


def test_nobody_is_told_without_systemd(tmp_path: pathlib.Path) -> None:
    notify.tell('READY=1', {})
    notify.tell('READY=1', {'NOTIFY_SOCKET': str(tmp_path / 'gone')})


@pytest.mark.parametrize('given', ['', '0', 'soon'])
@pytest.mark.trio
async def test_no_sign_of_life_where_none_is_waited_for(given: str) -> None:
    assert notify.beat_s({'WATCHDOG_USEC': given}) is None
    await notify.stay_alive({'WATCHDOG_USEC': given})


@pytest.mark.trio
async def test_three_signs_of_life_in_the_time_that_systemd_waits(
    systemd: socket.socket, autojump_clock: trio.testing.MockClock
) -> None:
    environ = {
        'NOTIFY_SOCKET': systemd.getsockname(),
        'WATCHDOG_USEC': '30000000',
    }
    with trio.move_on_after(29):
        await notify.stay_alive(environ)
    assert heard(systemd) == [b'WATCHDOG=1'] * 3
