# SPDX-License-Identifier: Apache-2.0
"""A virtual machine of QEMU's, without libvirt: for tests of the guest."""

import contextlib
import json
import pathlib
import re
import selectors
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Self

import pycdlib

Files = Mapping[str, bytes]


class Late(AssertionError):
    """What a test waited for did not come; the console is in the words."""


def write_config_drive(path: pathlib.Path, files: Files) -> None:
    """Write ``openstack/latest`` as OpenStack does: ISO 9660, config-2."""
    iso = pycdlib.PyCdlib()
    iso.new(
        interchange_level=3,
        joliet=3,
        rock_ridge='1.09',
        vol_ident='config-2',
    )
    folder, short = '', ''
    for name in ('openstack', 'latest'):
        folder, short = f'{folder}/{name}', f'{short}/{name.upper()}'
        iso.add_directory(short, rr_name=name, joliet_path=folder)
    source = path.with_suffix('.files')
    source.mkdir(exist_ok=True)
    for number, (name, content) in enumerate(sorted(files.items())):
        (source / name).write_bytes(content)
        iso.add_file(
            str(source / name),
            f'{short}/FILE{number}.;1',
            rr_name=name,
            joliet_path=f'{folder}/{name}',
        )
    iso.write(str(path))
    iso.close()


def free_port() -> int:
    """Find a TCP port of this machine that nobody listens on."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Machine:
    """QEMU under emulation, with devices as libvirt arranges them."""

    def __init__(
        self, folder: pathlib.Path, devices: Sequence[str], memory_mb: int
    ) -> None:
        self.console = ''
        self._control = folder / 'control'
        command = ['qemu-system-x86_64', '-accel', 'tcg', '-machine', 'pc']
        command += ['-m', str(memory_mb), '-smp', '1', '-display', 'none']
        command += ['-nodefaults', '-no-user-config', '-serial', 'stdio']
        command += ['-qmp', f'unix:{self._control},server=on,wait=off']
        self._begin = time.monotonic()
        self._process = subprocess.Popen(
            [*command, *devices],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def wait_console(
        self, pattern: str, timeout_s: float = 90.0
    ) -> re.Match[str]:
        """Wait until a pattern is on the console, since it was cleared.

        :raises Late: it did not come, or the machine went off
        """
        stdout = self._process.stdout
        assert stdout is not None
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while not (match := re.search(pattern, self.console)):
                left = deadline - time.monotonic()
                data = b''
                if left > 0 and selector.select(left):
                    data = stdout.read(65536)
                if not data:
                    raise Late(f'no {pattern!r} in {self.console!r}')
                self.console += data.decode(errors='replace')
        return match

    def clear_console(self) -> None:
        """Forget what the console has shown so far."""
        self.console = ''

    def up_s(self) -> float:
        """Count the seconds since power on."""
        return time.monotonic() - self._begin

    def type(self, words: str) -> None:
        """Type on the console."""
        assert self._process.stdin is not None
        self._process.stdin.write(words.encode())

    def wait_off(self, timeout_s: float = 60.0) -> int:
        """Wait until the machine is off; QEMU's exit status."""
        return self._process.wait(timeout_s)

    def command(self, name: str) -> None:
        """Give one command to QEMU: system_powerdown, system_reset, ..."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as control:
            control.settimeout(30)
            control.connect(str(self._control))
            lines = control.makefile('rw')
            lines.readline()
            for verb in ('qmp_capabilities', name):
                lines.write(json.dumps({'execute': verb}) + '\n')
                lines.flush()
                answer = json.loads(lines.readline())
                while 'event' in answer:
                    answer = json.loads(lines.readline())
                assert 'return' in answer, answer


def make_overlay(image: pathlib.Path, path: pathlib.Path) -> None:
    """Make a disk of 1 GiB over an image, as an instance has it."""
    formats = ['-f', 'qcow2', '-F', 'qcow2', '-b', str(image)]
    subprocess.run(
        ['qemu-img', 'create', '-q', *formats, str(path), '1G'],
        check=True,
        timeout=60,
    )
