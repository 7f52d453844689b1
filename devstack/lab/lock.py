# SPDX-License-Identifier: Apache-2.0
"""One command at a time works on a lab."""

from __future__ import annotations

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator

from devstack.lab.errors import LabError


@contextlib.contextmanager
def exclusive(path: pathlib.Path) -> Iterator[None]:
    """Hold the lab while the body runs.

    :raises LabError: another command holds it, or this folder is not
        ours to write; nothing was done
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open('w')
    except PermissionError as error:
        raise LabError(
            f'you may not write {error.filename}: this is for root, or for '
            'the owner of the clone'
        ) from None
    with opened as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(
                'another command is at work on this lab: wait for its end'
            ) from None
        yield
