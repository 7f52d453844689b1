# SPDX-License-Identifier: Apache-2.0
"""The operator's and the owners' commands, from outside their machines."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Sequence

from devstack.lab import machines
from devstack.lab.errors import LabError
from devstack.lab.layout import CONTROL, Layout, pc_name
from devstack.lab.machines import Machine
from devstack.lab.shell import CLEAN_ENVIRONMENT


def become(machine: Machine, *argv: str) -> None:
    """Become a command in a machine, on this terminal and in this folder."""
    command = machine.enter(*argv, folder='.')
    sys.stdout.flush()
    os.execvpe(command[0], command, CLEAN_ENVIRONMENT)


def manage(layout: Layout, arguments: Sequence[str]) -> None:
    """Become ``p2pcs-manage`` on the gateway.

    :raises LabError: the control plane is off
    """
    command = str(layout.cloud_venv / 'bin' / 'p2pcs-manage')
    become(machines.get(layout, CONTROL), command, *arguments)


def pc_status(layout: Layout, number: int) -> None:
    """Become ``p2pcs-peer status`` on a PC.

    :raises LabError: the PC is off
    """
    command = str(layout.peer_venv / 'bin' / 'p2pcs-peer')
    become(machines.get(layout, pc_name(number)), command, 'status')


def main() -> int:
    """``p2pcs-manage`` with these arguments."""
    try:
        manage(Layout(pathlib.Path(__file__).parents[2]), sys.argv[1:])
    except LabError as error:
        print(error, file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
