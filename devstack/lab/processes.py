# SPDX-License-Identifier: Apache-2.0
"""Read the process table: the lab keeps no pid files that could lie."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
from collections.abc import Iterator

PROC = pathlib.Path('/proc')


@dataclasses.dataclass(frozen=True)
class Process:
    """One live process, as it was when the table was read."""

    pid: int
    parent: int
    argv: tuple[str, ...]


def parse_stat(text: str) -> tuple[str, int]:
    """State letter and parent's pid out of ``/proc/PID/stat``.

    The command name may hold spaces and parentheses.
    """
    after_name = text[text.rindex(')') + 2 :].split()
    return after_name[0], int(after_name[1])


def processes() -> Iterator[Process]:
    """All live processes that we can see; zombies are dead."""
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            state, parent = parse_stat((entry / 'stat').read_text())
            argv = (entry / 'cmdline').read_bytes()
        except (OSError, ValueError):
            continue
        if state not in 'ZX':
            yield Process(
                int(entry.name),
                parent,
                tuple(argv.decode(errors='replace').split('\0')[:-1]),
            )


def environment(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty if gone."""
    try:
        text = (PROC / str(pid) / 'environ').read_bytes()
    except OSError:
        return {}
    pairs = (item.partition('=') for item in text.decode().split('\0'))
    return {name: value for name, _, value in pairs if name}


def children(pid: int) -> list[int]:
    """The live children of a process."""
    return [child.pid for child in processes() if child.parent == pid]


def members(init: int) -> list[Process]:
    """The live processes of the PID namespace that a process heads."""
    namespace = _pid_namespace(init)
    return [
        process
        for process in processes()
        if namespace and _pid_namespace(process.pid) == namespace
    ]


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(PROC / str(pid) / 'ns' / 'pid')
    except OSError:
        return ''


def parse_depth(status: str) -> int:
    """PID namespaces below ours, out of ``/proc/PID/status``: 0 is ours."""
    for line in status.splitlines():
        name, _, pids = line.partition(':')
        if name == 'NSpid':
            return len(pids.split()) - 1
    return 0


def parse_inner_pid(status: str) -> int:
    """A process's pid in its own PID namespace, out of its status."""
    for line in status.splitlines():
        name, _, pids = line.partition(':')
        if name == 'NSpid':
            return int(pids.split()[-1])
    return 0


def inner_pid(pid: int) -> int:
    """The pid that a process has for itself; 0 if it is gone."""
    try:
        return parse_inner_pid((PROC / str(pid) / 'status').read_text())
    except OSError:
        return 0


def depth(pid: int) -> int:
    """How many PID namespaces below ours a process is; 0 if gone."""
    try:
        return parse_depth((PROC / str(pid) / 'status').read_text())
    except OSError:
        return 0


def is_ours(pid: int) -> bool:
    """Whether a process is our own user's, in our user namespace."""
    folder = PROC / str(pid)
    try:
        owner = folder.stat().st_uid
        namespace = os.readlink(folder / 'ns' / 'user')
    except OSError:
        return False
    return owner == os.geteuid() and (
        namespace == os.readlink(PROC / 'self' / 'ns' / 'user')
    )


def kill(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def parse_listening(table: str) -> set[int]:
    """The ports that listen, out of a ``/proc/PID/net/tcp`` table."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {
        int(row[1].rpartition(':')[2], 16)
        for row in rows
        if len(row) > 3 and row[3] == '0A'
    }


def listening(pid: int) -> set[int]:
    """The TCP ports that listen in a process's network namespace."""
    ports: set[int] = set()
    for name in ('tcp', 'tcp6'):
        try:
            table = (PROC / str(pid) / 'net' / name).read_text()
        except OSError:
            continue
        ports |= parse_listening(table)
    return ports
