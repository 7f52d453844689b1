# SPDX-License-Identifier: Apache-2.0
"""What of disk and memory can be offered."""

import os
import pathlib

import pytest

from p2pcs_nova import imaging
from p2pcs_nova.layout import Layout
from p2pcs_nova.peer import disks, health, images
from tests.support.one_peer import image_of

GIB = 2**30


def test_image_in_use_is_not_offered_as_disk(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    cache = images.Images(layout.images, frozenset)
    cache.open()
    image = image_of(b'x')
    with cache.path(image.digest).open('wb') as file:
        os.posix_fallocate(file.fileno(), 0, 2**21)
    monkeypatch.setattr(imaging, 'free_bytes', lambda folder: GIB - 2**21)
    assert health.measure_disk(layout, frozenset()) == 1024
    assert health.measure_disk(layout, frozenset({image.digest})) == 0


def test_memory_that_is_available_is_read_in_mib() -> None:
    text = pathlib.Path('/proc/meminfo').read_text()
    assert health.available_mb(text) > 0
    text = 'MemTotal:  9000000 kB\nMemAvailable:     3072 kB\nOdd line\n'
    assert health.available_mb(text) == 3


def test_holes_of_a_file_take_nothing(tmp_path: pathlib.Path) -> None:
    with (tmp_path / 'disk').open('wb') as file:
        file.truncate(GIB)
    assert disks.allocated_bytes(tmp_path) == 0
    assert disks.allocated_bytes(tmp_path / 'nowhere') == 0
