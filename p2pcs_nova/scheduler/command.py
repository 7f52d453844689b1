# SPDX-License-Identifier: Apache-2.0
"""``p2pcs-scheduler``: run it in place of nova-scheduler.

It is Nova's own command, with our manager in the place of its own: same
topic, same name in the service records, same options.
"""

from __future__ import annotations

MANAGER = 'p2pcs_nova.scheduler.manager.P2PSchedulerManager'


def main() -> None:
    """Run Nova's own command."""
    # Nova patches the interpreter when its command is imported: not before.
    from nova.cmd import scheduler

    scheduler.service.SERVICE_MANAGERS['nova-scheduler'] = MANAGER
    scheduler.main()
