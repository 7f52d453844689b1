# SPDX-License-Identifier: Apache-2.0
"""The guest image, built once."""

import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
OUTPUT = ROOT / '.cache' / 'guest'


@pytest.fixture(scope='session')
def guest_image() -> pathlib.Path:
    """Build the image as the lab does, or find it built."""
    if not shutil.which('qemu-system-x86_64'):
        pytest.skip('QEMU is not installed')
    subprocess.run(
        [sys.executable, '-m', 'devstack.guest.build', '--output', OUTPUT],
        cwd=ROOT,
        check=True,
        timeout=300,
    )
    return OUTPUT / 'guest.qcow2'
