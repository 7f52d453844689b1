# SPDX-License-Identifier: Apache-2.0
"""Power machines on and off, and enter them.

A machine is found in the process table by its init's command line; there
is no other record of it.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence

from devstack.lab import boot, processes
from devstack.lab.errors import LabError
from devstack.lab.layout import CONTROL, GATEWAY, SWITCH, Layout
from devstack.lab.shell import CLEAN_ENVIRONMENT, tail
from devstack.lab.waiting import wait_until

INTERPRETER = '/usr/bin/python3'
KILL_TIMEOUT_S = 20.0


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine that is on.

    :param init: pid of its process 1, seen from outside
    :param lab: the lab folder that it belongs to
    """

    name: str
    init: int
    lab: pathlib.Path

    def enter(
        self, *argv: str, only_network: bool = False, folder: str = ''
    ) -> list[str]:
        """The command line that runs a command inside.

        :param folder: of this machine, that it runs in: names of files are
            those of our own, even where the machine has a ``/tmp`` of its own
        """
        kinds = ['--net'] if only_network else [
            '--mount', '--net', '--pid', '--ipc', '--uts',
        ]  # fmt: skip
        if folder:
            kinds.append(f'--wd={folder}')
        return ['nsenter', f'--target={self.init}', *kinds, '--', *argv]

    def path(self, inside: str) -> pathlib.Path:
        """A path inside, as it is reached from outside."""
        return pathlib.Path(f'/proc/{self.init}/root{inside}')


def parse_init(process: processes.Process) -> Machine | None:
    """The machine whose process 1 this is, if it is one."""
    match process.argv:
        case (interpreter, '-m', boot.MODULE, lab, name, *_) if (
            interpreter == INTERPRETER
        ):
            return Machine(name, process.pid, pathlib.Path(lab))
        case _:
            return None


def all_machines() -> Iterator[Machine]:
    """The machines that are on, those of other labs too.

    What runs inside a container of this machine is the container's own
    affair: its machines are deeper below us.  And anybody can give a
    process of his the arguments of a machine: only root's are entered.
    """
    for process in processes.processes():
        machine = parse_init(process)
        if (
            machine is not None
            and processes.depth(process.pid) == 1
            and processes.is_ours(process.pid)
        ):
            yield machine


def find(layout: Layout, name: str) -> Machine | None:
    """The machine of this lab that has the name, if it is on."""
    for machine in all_machines():
        if machine.lab == layout.lab and machine.name == name:
            return machine
    return None


def get(layout: Layout, name: str) -> Machine:
    """The machine of this lab that has the name.

    :raises LabError: it is off
    """
    machine = find(layout, name)
    if machine is None:
        number = name.removeprefix('pc')
        how = f'make pc-on PC={number}' if number != name else 'make cloud'
        raise LabError(f'{name} is off; {how} brings it up')
    return machine


def power_on(layout: Layout, name: str) -> Machine:
    """Boot a machine, unless it is on."""
    machine = find(layout, name)
    if machine is not None:
        return machine
    disk = boot.NO_DISK
    hidden: list[str] = []
    if name != SWITCH:
        _make_disk(layout.disk(name), name)
        disk = str(layout.disk(name))
    if name not in (SWITCH, CONTROL, GATEWAY):
        layout.cache.mkdir(exist_ok=True)
        hidden = [str(layout.lab), str(layout.cache)]
    _boot(layout, name, disk, hidden)
    return get(layout, name)


def _boot(layout: Layout, name: str, disk: str, hidden: Sequence[str]) -> None:
    argv = [
        'unshare', '--mount', '--net', '--pid', '--ipc', '--uts',
        '--fork', '--kill-child', '--propagation', 'private', '--',
        INTERPRETER, '-m', boot.MODULE, str(layout.lab), name, disk, *hidden,
    ]  # fmt: skip
    log = layout.log(name, 'boot')
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('wb') as errors:
        outer = subprocess.Popen(
            argv,
            cwd=layout.root,
            env={**CLEAN_ENVIRONMENT, 'PYTHONDONTWRITEBYTECODE': '1'},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert outer.stdout is not None
    with outer.stdout:
        if outer.stdout.readline() != b'ready\n':
            outer.kill()
            outer.wait()
            raise LabError(f'{name} did not boot:\n{tail(log.read_text())}')
    outer.returncode = 0  # it outlives us: nothing to wait for


def power_off(layout: Layout, name: str) -> bool:
    """Cut the power: everything in the machine is killed at once.

    :returns: whether it was on
    """
    machine = find(layout, name)
    if machine is None:
        return False
    processes.kill(machine.init, signal.SIGKILL)
    wait_until(
        lambda: (
            not pathlib.Path(f'/proc/{machine.init}/ns/net').exists()
            or _is_dead(machine.init)
        ),
        f'{name}: the end of its processes',
        KILL_TIMEOUT_S,
    )
    return True


def _is_dead(pid: int) -> bool:
    try:
        text = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return True
    return processes.parse_stat(text)[0] in 'ZX'


def _make_disk(disk: pathlib.Path, name: str) -> None:
    """What the machine finds in /etc and /var at its first boot."""
    if disk.is_dir():
        return
    new = disk.with_name(f'.{name}.new')
    shutil.rmtree(new, ignore_errors=True)
    for folder in ('cache', 'lib', 'log', 'spool', 'tmp'):
        (new / 'var' / folder).mkdir(parents=True)
    (new / 'var' / 'tmp').chmod(0o1777)
    (new / 'var' / 'run').symlink_to('/run')
    (new / 'var' / 'lock').symlink_to('/run/lock')
    subprocess.run(['cp', '-a', '/etc', str(new)], check=True)
    (new / 'etc' / 'hostname').write_text(f'{name}\n')
    (new / 'etc' / 'hosts').unlink(missing_ok=True)
    (new / 'etc' / 'hosts').write_text(f'127.0.0.1 localhost {name}\n')
    for own in ('etc/p2pcs', 'var/lib/p2pcs'):
        shutil.rmtree(new / own, ignore_errors=True)
        (new / own).mkdir(mode=0o700)
    os.rename(new, disk)
