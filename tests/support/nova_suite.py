# SPDX-License-Identifier: Apache-2.0
"""Run tests of Nova's own with our scheduler in the place of Nova's.

``python -m tests.support.nova_suite SCHEDULER TEST…`` runs modules,
classes or methods of ``nova.tests`` and prints, as JSON, how many ran and
which failed.  SCHEDULER is one of

* ``stock``: Nova's own;
* ``ours``: ours, with every compute host a slice;
* ``alone``: ours, with the overlay out of reach.

Nova's test bases do not bear pytest; a process of their own also keeps
what they patch to themselves.  OS_NOVA_DISABLE_EVENTLET_PATCHING is set.
"""

from __future__ import annotations

import json
import os
import sys
import unittest
from typing import Any

import tests.support.nova_threads  # noqa: F401

SCHEDULERS = ('stock', 'ours', 'alone')


class Result(unittest.TestResult):
    """Keeps the names and says how far it is."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: dict[str, str] = {}

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self._fail(test)

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._fail(test)

    def _fail(self, test: Any) -> None:
        rows = [*self.errors, *self.failures]
        self.failed[test.id()] = next(
            text for one, text in reversed(rows) if one is test
        )
        sys.stderr.write(f'FAILED {test.id()}\n')


def use(scheduler: str) -> None:
    """Have Nova's tests start this scheduler."""
    if scheduler == 'stock':
        return
    from nova import service
    from nova.scheduler import manager

    from p2pcs_nova.client import local
    from p2pcs_nova.scheduler import command
    from p2pcs_nova.scheduler.manager import P2PSchedulerManager
    from tests.support import nova_overlay

    local.LocalClient = (  # type: ignore[misc]
        nova_overlay.HostsAsSlices  # type: ignore[assignment]
        if scheduler == 'ours'
        else nova_overlay.NoOverlay
    )
    service.SERVICE_MANAGERS['nova-scheduler'] = command.MANAGER
    manager.SchedulerManager = P2PSchedulerManager


def find_paste_configuration() -> None:
    """Where pip puts it, Nova's tests do not look."""
    from nova.tests.fixtures import conf

    conf.paths.state_path_def = lambda *parts: os.path.join(sys.prefix, *parts)


def main() -> None:
    """Run what the arguments name."""
    scheduler, *names = sys.argv[1:]
    if scheduler not in SCHEDULERS:
        sys.exit(f'{scheduler} is none of {", ".join(SCHEDULERS)}')
    # Imported first, it sets what all others need.
    import nova.tests.functional  # noqa: F401

    find_paste_configuration()
    use(scheduler)
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    result = Result()
    suite.run(result)
    from tests.support import nova_overlay

    sys.stdout.write('\n')
    json.dump(
        {
            'ran': result.testsRun - len(result.skipped),
            'skipped': len(result.skipped),
            'asked': len(nova_overlay.ASKED),
            'failed': result.failed,
        },
        sys.stdout,
    )


if __name__ == '__main__':
    main()
