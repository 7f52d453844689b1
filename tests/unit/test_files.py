# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole, or not at all."""

from __future__ import annotations

import pathlib

import pytest

from p2pcs_nova import files


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'file'
    files.replace(path, b'old')

    def full(_descriptor: int) -> None:
        raise OSError('no space')

    with monkeypatch.context() as patch:
        patch.setattr('os.fsync', full)
        with pytest.raises(OSError, match='no space'):
            files.replace(path, b'new')
    assert path.read_bytes() == b'old'
    assert [entry.name for entry in tmp_path.iterdir()] == ['file']


def test_a_file_is_created_once(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'file'
    files.create(path, b'first')
    with pytest.raises(FileExistsError):
        files.create(path, b'second')
    assert path.read_bytes() == b'first'
    assert len(list(tmp_path.iterdir())) == 1
