# SPDX-License-Identifier: Apache-2.0
"""``p2pcs-peer`` that a test can end at any of its durable steps.

The name of a step in :data:`CRASH_AT` has the daemon killed right after it,
once; if instances are named after it, at this step of any other.
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys

from p2pcs_nova.daemon import cli
from p2pcs_nova.peer import service
from p2pcs_nova.peer.steps import Step, log_step

CRASH_AT = pathlib.Path('/run/p2pcs-crash-at')


def passed(step: Step, instance: str) -> None:
    """Note the step, and end if it is the one."""
    log_step(step, instance)
    try:
        wanted, *spared = CRASH_AT.read_text().split()
    except FileNotFoundError:
        return
    if wanted == step.value and instance not in spared:
        CRASH_AT.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """As the real one, but for what is told of steps."""
    defaults = service.PeerService.__init__.__kwdefaults__
    assert defaults is not None
    defaults['passed'] = passed
    return cli.main(sys.argv[1:])


if __name__ == '__main__':
    sys.exit(main())
