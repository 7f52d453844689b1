# SPDX-License-Identifier: Apache-2.0
"""A real libvirtd for the tests of this folder, and the guest image."""

import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from tests.support import private_libvirtd

ROOT = pathlib.Path(__file__).parents[3]
OUTPUT = ROOT / '.cache' / 'guest'


@pytest.fixture(scope='session')
def libvirtd() -> Iterator[private_libvirtd.PrivateLibvirtd]:
    """A libvirtd of our own, in its own network."""
    if reason := private_libvirtd.missing():
        pytest.skip(reason)
    with (
        # Short: the name of a UNIX socket has 107 characters.
        tempfile.TemporaryDirectory(prefix='lv') as folder,
        private_libvirtd.private_libvirtd(pathlib.Path(folder)) as daemon,
    ):
        yield daemon


@pytest.fixture(scope='session')
def guest() -> bytes:
    """The guest image, built or found built."""
    subprocess.run(
        [sys.executable, '-m', 'devstack.guest.build', '--output', OUTPUT],
        cwd=ROOT,
        check=True,
        timeout=300,
    )
    return (OUTPUT / 'guest.qcow2').read_bytes()
