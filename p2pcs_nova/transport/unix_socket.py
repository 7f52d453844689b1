# SPDX-License-Identifier: Apache-2.0
"""The file of a UNIX socket: made, taken over from the dead, removed."""

from __future__ import annotations

import contextlib
import errno
import logging
import pathlib
import socket
import stat
from collections.abc import Iterator

LOG = logging.getLogger(__name__)

BACKLOG = 128


@contextlib.contextmanager
def bound(path: pathlib.Path) -> Iterator[socket.socket]:
    """A listening socket at this path, open to everybody to connect.

    The folder is made; what a killed daemon left is replaced; at the end
    the file is removed, unless somebody else's is there by now.

    :raises OSError: another daemon answers there, or the path is taken by
        something that is not a socket; it is left as it is
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with sock:
        _clear(path)
        sock.bind(str(path))
        inode = path.lstat().st_ino
        try:
            path.chmod(0o666)
            sock.listen(BACKLOG)
            yield sock
        finally:
            _unlink_ours(path, inode)


def _clear(path: pathlib.Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, 'is there and is not a socket', str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, 'another daemon answers there', str(path))


def _unlink_ours(path: pathlib.Path, inode: int) -> None:
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        LOG.warning('%s was removed by somebody else', path)
