# SPDX-License-Identifier: Apache-2.0
"""The kernel's archive format for an initramfs, "newc".

Written here and not by cpio(1), so that it holds root's files although an
ordinary user builds it, and is the same whenever it is built.
Format: Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import pathlib
import stat
from collections.abc import Iterator


def newc(root: pathlib.Path) -> bytes:
    """Archive all below root, owned by root, without times."""
    parts = [
        _entry(str(path.relative_to(root)), _mode(path), _content(path), n)
        for n, path in enumerate(sorted(_walk(root)), start=1)
    ]
    parts.append(_entry('TRAILER!!!', 0, b'', 0))
    return b''.join(parts)


def _walk(root: pathlib.Path) -> Iterator[pathlib.Path]:
    for path in root.iterdir():
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _mode(path: pathlib.Path) -> int:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return stat.S_IFLNK | 0o777
    executable = stat.S_ISDIR(mode) or mode & stat.S_IXUSR
    return stat.S_IFMT(mode) | (0o755 if executable else 0o644)


def _content(path: pathlib.Path) -> bytes:
    if path.is_symlink():
        return str(path.readlink()).encode()
    return b'' if path.is_dir() else path.read_bytes()


def _entry(name: str, mode: int, content: bytes, inode: int) -> bytes:
    encoded = name.encode() + b'\0'
    links = 2 if stat.S_ISDIR(mode) else 1
    # magic, inode, mode, uid, gid, links, mtime, size, device (major and
    # minor), device of a node (likewise), length of the name, checksum
    numbers = (inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0)
    header = '070701' + ''.join(f'{n:08X}' for n in numbers)
    header += f'{len(encoded):08X}{0:08X}'
    return _padded(header.encode() + encoded) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b'\0' * (-len(data) % 4)
