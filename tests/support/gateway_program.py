# SPDX-License-Identifier: Apache-2.0
"""``p2pcs-gateway`` as a process, with a program in nova-compute's place.

The program does what the driver does about its term, with the driver's own
code, and nothing else: no OpenStack is needed.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

from devstack.lab import processes
from tests.support import waiting

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPUTE = f"""#!{sys.executable}
import configparser, pathlib, sys, threading
sys.path.insert(0, {str(ROOT)!r})
from p2pcs_nova.bootclock import boottime
from p2pcs_nova.virt.tenure import Tenure
told = configparser.ConfigParser(interpolation=None)
told.read(sys.argv[2::2])
path = pathlib.Path(told['p2pcs']['term_file'])
tenure = Tenure(path, told['p2pcs']['slice'], boottime)
tenure.start()
with open(path.with_name('acts'), 'a') as log:
    while True:
        print(tenure.command().term, file=log, flush=True)
        threading.Event().wait(0.02)
"""
"""Writes down by which term it acts, all the time."""


class Program:
    """The gateway program of one machine; nothing runs yet."""

    def __init__(self, folder: pathlib.Path, socket: str, **terms: str):
        self.folder = folder
        self.homes = folder / 'slices'
        folder.mkdir(exist_ok=True)
        compute = folder / 'nova-compute'
        compute.write_text(COMPUTE)
        compute.chmod(0o755)
        (folder / 'nova.conf').write_text('[DEFAULT]\nmy_ip = 127.0.0.1\n')
        conf = configparser.ConfigParser()
        conf['DEFAULT'] = {'socket': socket}
        conf['compute'] = {
            'program': str(compute),
            'config_files': str(folder / 'nova.conf'),
            'folder': str(self.homes),
            'log_folder': str(folder / 'log'),
        }
        conf['terms'] = terms
        with (folder / 'p2pcs.conf').open('w') as file:
            conf.write(file)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.folder / 'p2pcs-gateway.log').read_text()

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Begin."""
        program = (
            'import sys; from p2pcs_nova.supervisor.cli import main; '
            'sys.exit(main())'
        )
        with (self.folder / 'p2pcs-gateway.log').open('ab') as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, '-c', program,
                    '--config-file', str(self.folder / 'p2pcs.conf'),
                ],
                cwd=ROOT,
                stderr=log,
            )  # fmt: skip

    def send(self, number: signal.Signals) -> None:
        """A signal to the supervisor alone."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self._process is not None
        code = self._process.wait(waiting.GENEROUS_S)
        self._process = None
        return code

    def stop(self) -> None:
        """End it, whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def compute(self, slice_: str) -> int | None:
        """The process of a slice, if it runs."""
        own = str(self.homes / slice_ / 'nova.conf')
        found = [
            process.pid
            for process in processes.processes()
            if process.argv[-1:] == (own,) and 'setpriv' not in process.argv[0]
        ]
        assert len(found) <= 1, f'slice {slice_} has {found}'
        return found[0] if found else None

    def acts(self, slice_: str) -> list[str]:
        """By which terms its processes have acted, one after the other."""
        path = self.homes / slice_ / 'acts'
        lines = path.read_text().split('\n')[:-1] if path.exists() else []
        return list(dict.fromkeys(lines))


@contextlib.contextmanager
def running(
    folder: pathlib.Path, socket: str, **terms: str
) -> Iterator[Program]:
    """A gateway program, for the time of the context."""
    program = Program(folder, socket, **terms)
    program.start()
    try:
        yield program
    finally:
        program.stop()
