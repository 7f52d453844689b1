# SPDX-License-Identifier: Apache-2.0
"""The one-machine lab as tests see it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from collections.abc import Mapping

from openstack.connection import Connection

from devstack.lab import first_server, machines, network
from devstack.lab.inside.cloud import connect
from devstack.lab.layout import CONTROL, SWITCH, Layout, pc_name
from devstack.lab.machines import Machine
from devstack.lab.names import GUEST_USER
from devstack.lab.shell import CLEAN_ENVIRONMENT, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND_TIMEOUT_S = 60.0
LAB_TIMEOUT_S = 900.0
FAILURE_LINES = 60


@dataclasses.dataclass(frozen=True)
class Lab:
    """A lab that is up.

    :param demo: the API as an ordinary user
    :param admin: the API as the administrator
    """

    layout: Layout
    demo: Connection
    admin: Connection

    @property
    def control(self) -> Machine:
        """The control plane's host."""
        return machines.get(self.layout, CONTROL)

    def pc(self, number: int) -> Machine:
        """A PC that is on."""
        return machines.get(self.layout, pc_name(number))

    def inside(
        self,
        machine: Machine,
        *argv: str,
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> str:
        """Run a command in a machine; gives its standard output."""
        return run(
            machine.enter(*argv), timeout_s=timeout_s, env=CLEAN_ENVIRONMENT
        )

    def openstack(
        self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> str:
        """Run the command line client in an ordinary shell, as demo."""
        return first_server.openstack(
            self.layout, *arguments, timeout_s=timeout_s
        )

    def ssh(
        self,
        address: str,
        *argv: str,
        user: str = GUEST_USER,
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> str:
        """Run a command in a guest, from the office LAN."""
        command = [*first_server.ssh(self.layout, address, user), *argv]
        return run(command, timeout_s=timeout_s, env=CLEAN_ENVIRONMENT)

    def pc_off(self, number: int) -> None:
        """Cut a PC's power."""
        machines.power_off(self.layout, pc_name(number))

    def pc_on(self, number: int) -> None:
        """Boot a PC, its daemon included."""
        command('pc-on', str(number))

    def set_link(self, number: int, *, up: bool) -> None:
        """Pull a PC's cable, or put it back."""
        switch = machines.get(self.layout, SWITCH)
        network.set_link(switch, pc_name(number), up=up)


def is_up(layout: Layout) -> bool:
    """Whether there is anything of a lab."""
    return machines.find(layout, CONTROL) is not None


def command(*arguments: str) -> None:
    """Run one of the lab's commands, its steps on our output.

    :raises LabError: it failed; the text ends with what it said
    """
    said = run(
        [machines.INTERPRETER, '-m', 'devstack.lab', *arguments],
        timeout_s=LAB_TIMEOUT_S,
        env=CLEAN_ENVIRONMENT,
        cwd=ROOT,
        lines=FAILURE_LINES,
    )
    sys.stdout.write(said)


def make(*arguments: str) -> None:
    """One of the README's own commands.

    :raises LabError: it failed; the text ends with what it said
    """
    run(
        ['make', *arguments],
        timeout_s=LAB_TIMEOUT_S,
        env=CLEAN_ENVIRONMENT,
        cwd=ROOT,
    )


def attach(layout: Layout) -> Lab:
    """Connections to a lab that is up."""
    words: Mapping[str, str] = json.loads(layout.passwords.read_text())
    return Lab(
        layout,
        connect('demo', words['demo'], 'demo'),
        connect('admin', words['admin'], 'admin'),
    )
