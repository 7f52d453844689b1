# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pathlib
import signal
import subprocess

import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova.supervisor import compute

pytestmark = pytest.mark.trio


def idle() -> subprocess.Popen[bytes]:
    """A program that does nothing."""
    return subprocess.Popen(['sleep', '1000'])


@pytest.mark.parametrize(
    ('has_begun', 'limit_s'),
    [(False, compute.FIRST_S), (True, compute.HUNG_S)],
)
async def test_nova_compute_without_a_sign_of_life_is_killed(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
    has_begun: bool,
    limit_s: float,
) -> None:
    options = compute.Options('none', (), tmp_path, None, '')
    one = compute.Compute(options, 'gold')
    if has_begun:
        options.home('gold').mkdir()
        options.beat_file('gold').touch()
    with idle() as process:
        await one._end_if_hung(process)
        assert process.wait() == -signal.SIGKILL
    waited_s = trio.current_time()
    assert limit_s <= waited_s <= limit_s + 2 * compute.BEAT_S


async def test_nova_compute_that_cannot_be_started_has_not_lived(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / 'file'
    folder.write_text('no folder')
    options = compute.Options('none', (), folder, None, '')
    assert await compute.Compute(options, 'gold').keep() == 0.0
    assert 'no nova-compute can be started' in caplog.text


async def test_nova_compute_that_never_gave_a_sign_of_life_has_not_lived(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    program = tmp_path / 'nova-compute'
    program.write_text('#!/bin/sh\nexec sleep 1000\n')
    program.chmod(0o755)
    options = compute.Options(str(program), (), tmp_path, None, '')
    one = compute.Compute(options, 'gold')
    assert await one.keep() == 0.0
    assert trio.current_time() >= compute.FIRST_S
