# SPDX-License-Identifier: Apache-2.0
"""The builder, on Debian's real packages."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]

pytestmark = pytest.mark.libvirt


def build(
    output: pathlib.Path, path: str = ''
) -> 'subprocess.CompletedProcess[str]':
    search = os.pathsep.join(filter(None, [path, os.environ['PATH']]))
    return subprocess.run(
        [sys.executable, '-m', 'devstack.guest.build', '--output', output],
        cwd=ROOT,
        env={**os.environ, 'PATH': search},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_equal_inputs_equal_image_and_nothing_half_built(
    guest_image: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    before = guest_image.stat()
    again = build(guest_image.parent)
    assert 'is up to date' in again.stdout
    assert guest_image.stat().st_mtime_ns == before.st_mtime_ns

    output = tmp_path / 'output'
    shutil.copytree(guest_image.parent / 'packages', output / 'packages')
    (output / 'guest.qcow2').write_text('older')
    (output / 'build-killed').mkdir()
    tools = tmp_path / 'tools'
    tools.mkdir()
    (tools / 'qemu-img').write_text('#!/bin/sh\necho no room >&2\nexit 1\n')
    (tools / 'qemu-img').chmod(0o755)

    failed = build(output, str(tools))
    assert failed.returncode == 1
    assert failed.stderr == 'guest image: qemu-img ended with 1: no room\n'
    assert (output / 'guest.qcow2').read_text() == 'older'

    built = build(output)
    assert built.returncode == 0, built.stderr
    assert (output / 'guest.qcow2').read_bytes() == guest_image.read_bytes()
    assert {path.name for path in output.iterdir()} == {
        'guest.qcow2',
        'lists',
        'lock',
        'packages',
        'stamp',
    }
