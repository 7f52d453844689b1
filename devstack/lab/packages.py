# SPDX-License-Identifier: Apache-2.0
"""Install Debian's packages and leave the user's machine alone."""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading

from devstack.lab import bindep, policy, units
from devstack.lab.errors import LabError
from devstack.lab.layout import Layout
from devstack.lab.shell import run, run_logged

INSTALL_TIMEOUT_S = 1800.0
QUERY_TIMEOUT_S = 30.0
LOCK_TIMEOUT_S = 300
"""How long another run of apt is waited for: a new machine upgrades."""
LISTS = pathlib.Path('/var/lib/apt/lists')
_one_at_a_time = threading.Lock()


def parse_installed(listing: str) -> set[str]:
    """Names out of ``dpkg-query`` lines of status and package."""
    rows = (line.split() for line in listing.splitlines())
    return {row[1] for row in rows if row[0] == 'ii'}


def missing(layout: Layout, profiles: set[str]) -> list[str]:
    """What the profiles ask for and Debian has not installed."""
    wanted = bindep.parse((layout.root / 'bindep.txt').read_text(), profiles)
    listing = run(
        ['dpkg-query', '-W', '-f', '${db:Status-Abbrev} ${Package}\\n'],
        timeout_s=QUERY_TIMEOUT_S,
    )
    have = parse_installed(listing)
    return [name for name in wanted if name not in have]


def _guard(layout: Layout) -> units.Guard:
    return units.Guard(pathlib.Path('/'), layout.cache / 'lab' / 'units.json')


def cut_short(layout: Layout) -> bool:
    """Whether an installation was killed: ``install`` ends it."""
    return _guard(layout).pending


def install(layout: Layout, profiles: set[str]) -> None:
    """Have all packages of the profiles.

    Nothing is started, and what was not enabled before is not after.

    :raises LabError: apt failed; what it started or enabled is undone
    """
    with _one_at_a_time:
        guard = _guard(layout)
        wanted = missing(layout, profiles)
        if not wanted and not guard.pending:
            return
        log = layout.cache / 'lab' / 'apt.log'
        unfinished = guard.pending
        guard.begin()
        try:
            with policy.no_starts(pathlib.Path('/')):
                if unfinished:
                    _apt(log, 'dpkg', '--configure', '-a')
                if wanted:
                    _install(log, wanted)
        finally:
            guard.end()


def _install(log: pathlib.Path, wanted: list[str]) -> None:
    """Fetch apt's lists when there are none or they are too old to do."""
    command = (
        'apt-get', '-o', f'DPkg::Lock::Timeout={LOCK_TIMEOUT_S}',
        'install', '-y', '--no-install-recommends', *wanted,
    )  # fmt: skip
    if any(LISTS.glob('*_Packages*')):
        with contextlib.suppress(LabError):
            _apt(log, *command)
            return
    _apt(log, 'apt-get', 'update')
    _apt(log, *command)


def _apt(log: pathlib.Path, *argv: str) -> None:
    """Run apt or dpkg, out of reach of the terminal's Ctrl-C."""
    run_logged(
        argv,
        log,
        timeout_s=INSTALL_TIMEOUT_S,
        env={**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'},
        own_session=True,
    )


def fetch_lists(layout: Layout) -> None:
    """Have apt's lists of packages: to download one asks for them."""
    with _one_at_a_time:
        if not any(LISTS.glob('*_Packages*')):
            _apt(layout.cache / 'lab' / 'apt.log', 'apt-get', 'update')
