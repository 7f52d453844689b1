# SPDX-License-Identifier: Apache-2.0
"""Kernel modules: chosen, with what they need, without their signatures."""

import pathlib
import re
import struct
from collections.abc import Iterable, Mapping

from devstack.guest import command

_MAGIC = b'~Module signature appended~\n'
# The last field of struct module_signature is the signature's length.
_TRAILER = struct.Struct('>8xI')


def catalogue(tree: pathlib.Path) -> Mapping[str, pathlib.Path]:
    """List the modules of an unpacked kernel by name."""
    return {_noun(path.stem): path for path in tree.rglob('*.ko')}


def in_order(
    names: Iterable[str], known: Mapping[str, pathlib.Path]
) -> tuple[str, ...]:
    """Put modules and what they need into an order they can be loaded in.

    :raises command.BuildError: this kernel has no such module
    """
    order: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        for needed in _needs(_path(name, known)):
            visit(needed)
        order.append(name)

    for name in names:
        visit(_noun(name))
    return tuple(order)


def install(
    names: Iterable[str],
    known: Mapping[str, pathlib.Path],
    release: str,
    root: pathlib.Path,
) -> None:
    """Copy modules, and the index that busybox's modprobe reads.

    A signature is checked at each load and proves nothing in an image that
    anyone may build: without it the guest is up sooner.
    """
    target = root / 'lib' / 'modules' / release
    target.mkdir(parents=True)
    index = []
    for name in in_order(names, known):
        path = _path(name, known)
        (target / path.name).write_bytes(unsigned(path.read_bytes()))
        # Nearest first, as depmod writes it: modprobe loads from the end.
        above = [n for n in in_order([name], known) if n != name]
        files = [_path(n, known).name for n in reversed(above)]
        index.append(f'{path.name}:' + ''.join(f' {f}' for f in files))
    (target / 'modules.dep').write_text('\n'.join(index) + '\n')


def unsigned(module: bytes) -> bytes:
    """Take the appended signature off a module, if it has one."""
    if not module.endswith(_MAGIC):
        return module
    end = len(module) - len(_MAGIC) - _TRAILER.size
    (length,) = _TRAILER.unpack_from(module, end)
    return module[: end - length]


def _needs(path: pathlib.Path) -> list[str]:
    match = re.search(rb'\0depends=([^\0]*)\0', path.read_bytes())
    if match is None:
        raise command.BuildError(f'{path.name} says nothing of its needs')
    return [_noun(n) for n in match[1].decode().split(',') if n]


def _path(name: str, known: Mapping[str, pathlib.Path]) -> pathlib.Path:
    if name not in known:
        raise command.BuildError(f'this kernel has no module {name}')
    return known[name]


def _noun(name: str) -> str:
    return name.replace('-', '_')
