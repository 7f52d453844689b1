# SPDX-License-Identifier: Apache-2.0
"""How the user's machine was before anything was installed for the lab.

Written down by ``make test``, which then compares: the installation must
have started, enabled and booted nothing.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

from devstack.lab import processes, units
from devstack.lab.layout import Layout

ROOT = pathlib.Path('/')
POLICY = ROOT / 'usr' / 'sbin' / 'policy-rc.d'


@dataclasses.dataclass(frozen=True)
class Before:
    """What an installation could change, sorted.

    :param ports: TCP ports that listen
    :param units: links that enable a unit of systemd
    :param kernels: what the machine could boot
    :param policy: the text of ``policy-rc.d``; '' for none
    """

    ports: list[int]
    units: list[str]
    kernels: list[str]
    policy: str


def look() -> Before:
    """This machine as it is now."""
    return Before(
        sorted(processes.listening(os.getpid())),
        sorted(units.enabled(ROOT)),
        sorted(str(path) for path in (ROOT / 'boot').glob('vmlinuz*')),
        POLICY.read_text(errors='replace') if POLICY.is_file() else '',
    )


def _record(layout: Layout) -> pathlib.Path:
    return layout.cache / 'lab' / 'before.json'


def note(layout: Layout) -> None:
    """Write down how the machine is now."""
    record = _record(layout)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(dataclasses.asdict(look())))


def noted(layout: Layout) -> Before:
    """What was written down last.

    :raises FileNotFoundError: nothing was: tests were started otherwise
    """
    return Before(**json.loads(_record(layout).read_text()))
