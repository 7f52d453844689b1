# SPDX-License-Identifier: Apache-2.0
"""Forbid packages to start services while they are installed.

Debian's maintainer scripts ask ``policy-rc.d``; exit status 101 means no.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

PATH = 'usr/sbin/policy-rc.d'
OURS = '# put here by the one-machine cloud while it installs packages'
SCRIPT = f'#!/bin/sh\n{OURS}\nexit 101\n'


@contextlib.contextmanager
def no_starts(root: pathlib.Path) -> Iterator[None]:
    """While the body runs, nothing is started; then all is as before.

    A policy of the user's own is put aside and back, also when an earlier
    run was killed in between.
    """
    path = root / PATH
    aside = path.with_name(f'{path.name}.before-p2pcs')
    _restore(path, aside)
    if path.exists() or path.is_symlink():
        path.rename(aside)
    new = path.with_name(f'{path.name}.p2pcs')
    new.write_text(SCRIPT)
    new.chmod(0o755)
    new.rename(path)
    try:
        yield
    finally:
        _restore(path, aside)


def _restore(path: pathlib.Path, aside: pathlib.Path) -> None:
    if path.is_file() and OURS in path.read_text(errors='replace'):
        path.unlink()
    if aside.exists() or aside.is_symlink():
        aside.rename(path)
