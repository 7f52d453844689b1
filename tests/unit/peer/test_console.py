# SPDX-License-Identifier: Apache-2.0
"""The end of a console's log, over the files it was rotated to."""

import pathlib

import pytest

from p2pcs_nova import wire
from p2pcs_nova.peer.console import read_tail


@pytest.fixture
def log(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / 'console.log'
    path.write_bytes(b'7890')
    path.with_name('console.log.0').write_bytes(b'456')
    path.with_name('console.log.1').write_bytes(b'123')
    return path


@pytest.mark.parametrize(
    ('length', 'tail'),
    [
        (0, b''),
        (2, b'90'),
        (4, b'7890'),
        (6, b'567890'),
        (10, b'1234567890'),
        (99, b'1234567890'),
        (-1, b''),
    ],
)
def test_tail_runs_over_older_files(
    log: pathlib.Path, length: int, tail: bytes
) -> None:
    assert read_tail(log, length) == tail


def test_no_console_yet_is_empty(tmp_path: pathlib.Path) -> None:
    assert read_tail(tmp_path / 'console.log', 100) == b''


def test_answer_is_bounded(tmp_path: pathlib.Path) -> None:
    log = tmp_path / 'console.log'
    log.write_bytes(bytes(wire.CONSOLE_LIMIT + 5))
    assert len(read_tail(log, 2**40)) == wire.CONSOLE_LIMIT
