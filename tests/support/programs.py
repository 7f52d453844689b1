# SPDX-License-Identifier: Apache-2.0
"""Programs of the lab with all that they have started: killed, frozen.

A signal to a service reaches its first process only; uWSGI's workers and
RabbitMQ's virtual machine are children of it.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from devstack.lab import processes, services
from devstack.lab.machines import Machine
from tests.support.waiting import until


def tree(machine: Machine, name: str) -> list[int]:
    """All processes of a service, the first of them before its children."""
    running = services.find(machine, name)
    assert running is not None, f'{machine.name}: {name} is not alive'
    parents: dict[int, list[int]] = {}
    for process in processes.processes():
        parents.setdefault(process.parent, []).append(process.pid)
    found = running.pids()
    for pid in found:
        found += parents.get(pid, [])
    return found


def kill(machine: Machine, *names: str) -> None:
    """End services at once, as a failure does (SIGKILL)."""
    pids = {pid for name in names for pid in tree(machine, name)}
    for pid in pids:
        processes.kill(pid, signal.SIGKILL)
    until(lambda: pids.isdisjoint(p.pid for p in processes.processes()))


@contextlib.contextmanager
def asleep(pc: Machine) -> Iterator[None]:
    """A PC whose processes, all of them, do nothing while the body runs.

    Its kernel is everybody's, and still answers for it on the network.
    """
    stopped: set[int] = set()
    try:
        # Whoever was not yet stopped may have begun another meanwhile.
        while new := {p.pid for p in processes.members(pc.init)} - stopped:
            for pid in new:
                processes.kill(pid, signal.SIGSTOP)
            stopped |= new
        yield
    finally:
        for pid in stopped:
            processes.kill(pid, signal.SIGCONT)
        # What has brought them in from outside has stopped with them.
        for process in processes.processes():
            if process.argv[:2] == ('nsenter', f'--target={pc.init}'):
                processes.kill(process.pid, signal.SIGCONT)


@contextlib.contextmanager
def frozen(*held: tuple[Machine, str]) -> Iterator[None]:
    """Services that do nothing more while the body runs (SIGSTOP)."""
    with contextlib.ExitStack() as undo:
        for machine, name in held:
            undo.callback(services.send, machine, name, signal.SIGCONT)
            for pid in tree(machine, name):
                undo.callback(processes.kill, pid, signal.SIGCONT)
                processes.kill(pid, signal.SIGSTOP)
        yield
