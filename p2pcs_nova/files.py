# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole, or not at all; after a power cut too."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
from collections.abc import Iterator

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def make_folder(path: pathlib.Path) -> None:
    """Make a folder that only its owner may enter; idempotent."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    sync_folder(path.parent)


def replace(path: pathlib.Path, data: bytes) -> None:
    """Put ``data`` in place of what the file held, durably.

    :raises OSError: the disk is full or read-only; the file is unchanged
    """
    with _beside(path, data) as fresh:
        fresh.rename(path)
    sync_folder(path.parent)


def put(path: pathlib.Path, data: bytes) -> None:
    """Put ``data`` in place of what the file held, not durably.

    For what is of no use after a power cut; it waits for no disk.

    :raises OSError: the disk is full or read-only; the file is unchanged
    """
    fresh = path.with_name(f'.{path.name}.new')
    fresh.write_bytes(data)
    fresh.rename(path)


def create(path: pathlib.Path, data: bytes) -> None:
    """Write a file that must not exist yet, durably.

    :raises FileExistsError: it does; it is unchanged
    """
    with _beside(path, data) as fresh:
        os.link(fresh, path)
    sync_folder(path.parent)


@contextlib.contextmanager
def _beside(path: pathlib.Path, data: bytes) -> Iterator[pathlib.Path]:
    """A synced file in the same folder, gone again at the end."""
    fresh = path.with_name(f'.{path.name}.{secrets.token_hex(6)}')
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with open(os.open(fresh, flags, FILE_MODE), 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)


def sync_folder(path: pathlib.Path) -> None:
    """Make the names in a folder durable; not what its files hold."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
