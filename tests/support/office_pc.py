# SPDX-License-Identifier: Apache-2.0
"""A PC of an office: a whole Debian 12, booted by systemd in a container.

Nothing is on it that its owner has not put there.  It has no way out but
the office LAN; what apt and pip ask for, they find on its disk: fetched
beforehand, by this machine's own apt and pip, for the words of README.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType

from devstack.guest import bootstrap
from devstack.lab import machines, network, packages, processes, venvs
from devstack.lab.layout import LAN, SWITCH, Layout
from devstack.lab.machines import Machine
from devstack.lab.shell import CLEAN_ENVIRONMENT, run
from tests.support.lab import Lab
from tests.support.readme import Command
from tests.support.waiting import until

NAME = 'desk'
ADDRESS = '198.18.1.101'
SOURCE = '/root/p2pcs-nova'
BRIDGE = 'br0'
_CARD = 'host0'
_WHEELS = '/opt/wheels'
_PACKAGES = ('ca-certificates', 'dbus', 'systemd-sysv', 'udev')
_BUILD_TOOLS = ('pbr', 'setuptools', 'wheel')
"""What pip fetches to build what comes as source."""
_NOT_SOURCE = ('.venvs', '.lab', '.cache', '*.egg-info', '__pycache__')
PREPARE_S = 1800.0
COMMAND_S = 900.0
BOOT_S = 300.0
_ENVIRONMENT = {**CLEAN_ENVIRONMENT, 'DEBIAN_FRONTEND': 'noninteractive'}
_FILES = {
    'etc/hostname': f'{NAME}\n',
    'etc/hosts': f'127.0.0.1 localhost\n{ADDRESS} {NAME}\n',
    # the owner says yes
    'etc/apt/apt.conf.d/90yes': 'APT::Get::Assume-Yes "true";\n',
    'etc/pip.conf': f'[global]\nno-index = true\nfind-links = {_WHEELS}\n',
    # the bridge that he has made
    f'etc/systemd/network/10-{BRIDGE}.netdev': (
        f'[NetDev]\nName={BRIDGE}\nKind=bridge\n'
    ),
    'etc/systemd/network/20-card.network': (
        f'[Match]\nName={_CARD}\n[Network]\nBridge={BRIDGE}\n'
    ),
    f'etc/systemd/network/30-{BRIDGE}.network': (
        f'[Match]\nName={BRIDGE}\n'
        f'[Network]\nAddress={ADDRESS}/{LAN.prefixlen}\n'
    ),
}
CONTROL_GROUPS = pathlib.Path('/sys/fs/cgroup')
QEMU_CONF = 'etc/libvirt/qemu.conf'
#: The container may not write the controllers of this machine.
_NO_CONTROLLERS = 'cgroup_controllers = [ ]\n'


@dataclasses.dataclass(frozen=True)
class Store:
    """What is costly to fetch, and stays."""

    folder: pathlib.Path

    @property
    def tree(self) -> pathlib.Path:
        """A fresh Debian; in apt's cache what README has installed."""
        return self.folder / 'tree'

    @property
    def wheels(self) -> pathlib.Path:
        """What README has pip install."""
        return self.folder / 'wheels'


def prepare(layout: Layout, install: Sequence[Command]) -> Store:
    """Have everything that README's commands will ask for.

    :param install: those commands
    """
    store = Store(layout.cache / 'office-pc')
    lines = [shlex.split(command.line) for command in install]
    (apt,) = (words[2:] for words in lines if words[:2] == ['apt', 'install'])
    pip = [
        word
        for words in lines
        if words[0].endswith('/pip')
        for word in words[2:]
        if not word.startswith('-')
    ]
    recipe = pathlib.Path(bootstrap.__file__).read_text()
    with _made(store.tree, repr((_PACKAGES, apt)) + recipe) as tree:
        if tree is not None:
            packages.fetch_lists(layout)
            fetch = shlex.join(
                ['apt-get', 'install', '-y', '--download-only', *apt]
            )
            bootstrap.make_tree(
                tree,
                _PACKAGES,
                '--skip=cleanup/apt',
                f'--customize-hook=chroot "$1" {fetch}',
            )
    setup = venvs.installed_part((layout.root / 'setup.cfg').read_text())
    with _made(store.wheels, repr((pip, setup))) as wheels:
        if wheels is not None:
            run(
                [
                    sys.executable, '-m', 'pip', 'download', '--quiet',
                    '--dest', str(wheels), *_BUILD_TOOLS, *pip,
                ],
                timeout_s=PREPARE_S,
                cwd=layout.root,
            )  # fmt: skip
    return store


@contextlib.contextmanager
def _made(folder: pathlib.Path, inputs: str) -> Iterator[pathlib.Path | None]:
    """Where to make it anew, or None; complete or not there."""
    stamp = folder.with_suffix('.stamp')
    wanted = hashlib.sha256(inputs.encode()).hexdigest()
    if folder.exists() and stamp.exists() and stamp.read_text() == wanted:
        yield None
        return
    new = folder.with_suffix('.new')
    for path in (new, folder):
        if path.exists():
            shutil.rmtree(path)
    new.parent.mkdir(parents=True, exist_ok=True)
    yield new
    new.rename(folder)
    stamp.write_text(wanted)


def _remove_control_groups() -> None:
    """Take away those that nspawn has left; others' are in use."""
    for top in CONTROL_GROUPS.glob('*/payload'):
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        with contextlib.suppress(OSError):
            top.with_name('supervisor').rmdir()


class OfficePc:
    """One PC; leaving it takes it away, its disk included.

    :param lab: whose LAN it is on
    """

    def __init__(self, lab: Lab, store: Store) -> None:
        self._lab = lab
        self._store = store
        self.disk = store.folder / 'disk'
        self._container: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> OfficePc:
        self._remove()
        run(
            [
                'cp', '-a', '--reflink=auto',
                str(self._store.tree), str(self.disk),
            ],
            timeout_s=COMMAND_S,
        )  # fmt: skip
        for name, text in _FILES.items():
            (self.disk / name).write_text(text)
        run(
            ['systemctl', f'--root={self.disk}', 'enable', 'systemd-networkd'],
            timeout_s=COMMAND_S,
        )
        shutil.copytree(
            self._lab.layout.root,
            self.disk / SOURCE.lstrip('/'),
            symlinks=True,
            ignore=shutil.ignore_patterns(*_NOT_SOURCE),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.power_off()
        _remove_control_groups()
        self._remove()

    def _remove(self) -> None:
        if self.disk.exists():
            shutil.rmtree(self.disk)

    @property
    def machine(self) -> Machine:
        """The PC, which is on."""
        assert self._container is not None
        (init,) = processes.children(self._container.pid)
        return Machine(NAME, init, self._lab.layout.lab)

    def boot(self) -> None:
        """Switch it on; returns when all that it starts has started.

        :raises LabError: some of that failed
        """
        switch = machines.get(self._lab.layout, SWITCH)
        command = switch.enter(
            'systemd-nspawn', '--quiet', '--boot', '--register=no',
            '--keep-unit', '--console=pipe', f'--machine={NAME}',
            f'--directory={self.disk}',
            f'--bind-ro={self._store.wheels}:{_WHEELS}',
            f'--network-bridge={network.BRIDGE}',
            '--capability=all', '--bind=/dev/net/tun',
            only_network=True,
        )  # fmt: skip
        log = self._lab.layout.log(NAME, 'console')
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open('ab') as stream:
            self._container = subprocess.Popen(
                command,
                env=dict(CLEAN_ENVIRONMENT),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        until(self._runs_systemd, BOOT_S)
        self._wait_until_started()

    def _runs_systemd(self) -> bool:
        assert self._container is not None
        assert self._container.poll() is None, 'the container has ended'
        inits = processes.children(self._container.pid)
        return (
            len(inits) == 1
            and (
                processes.PROC / f'{inits[0]}/root/run/systemd/private'
            ).exists()
        )

    def _wait_until_started(self) -> None:
        said = self.run(
            'systemctl is-system-running --wait || '
            'systemctl --failed --no-legend'
        )
        assert said == 'running\n', said

    def run(self, line: str, timeout_s: float = COMMAND_S) -> str:
        """Type a command as root, in the folder of the source.

        :returns: its standard output
        :raises LabError: it failed
        """
        return run(
            self.machine.enter('sh', '-c', f'cd {SOURCE} && {line}'),
            timeout_s=timeout_s,
            env=_ENVIRONMENT,
        )

    def do_without_controllers(self) -> None:
        """Have its libvirt manage where the container lets it."""
        with (self.disk / QEMU_CONF).open('a') as stream:
            stream.write(_NO_CONTROLLERS)
        self.run('systemctl restart libvirtd')

    def reboot(self) -> None:
        """Reboot it as its owner does; returns as ``boot`` does."""
        self.run('systemctl --no-block reboot')
        self._wait_until_off()
        self.boot()

    def power_off(self) -> None:
        """Cut its power, if it is on."""
        if self._container is not None and self._container.poll() is None:
            # its process 1: if nspawn went alone, the rest would live on
            inits = processes.children(self._container.pid)
            for pid in inits or [self._container.pid]:
                processes.kill(pid, signal.SIGKILL)
        self._wait_until_off()

    def _wait_until_off(self) -> None:
        if self._container is not None:
            self._container.wait(BOOT_S)
            self._container = None
