# SPDX-License-Identifier: Apache-2.0
"""A libvirtd of a test's own: real, in namespaces that end with it.

Its sockets, configuration, network and processes are seen by nobody else.
The test's process stays outside: it reaches the UNIX socket through
``/proc/PID/root``, the network by ``nsenter``.
"""

import contextlib
import functools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from p2pcs_nova.peer import filters

NO_SECURITY = """\
security_driver = "none"
cgroup_controllers = []
namespaces = []
"""
"""What a machine without systemd needs; else as distributions ship it."""
AS_ROOT = f"""\
{NO_SECURITY}
user = "root"
group = "root"
dynamic_ownership = 0
"""
# $1: a folder of our own on the real file system.
SET_UP = """\
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
for place in /etc/libvirt /var/lib/libvirt /var/cache/libvirt \
        /var/log/libvirt; do
    mkdir -p "$1$place" $place
    mount --bind "$1$place" $place
done
cp "$1/qemu.conf" /etc/libvirt/qemu.conf
: > /etc/libvirt/libvirtd.conf
: > /etc/libvirt/virtlogd.conf
mkdir -p /run/libvirt
ip link set lo up
ip link add br0 type bridge
ip link set br0 up
virtlogd -d
libvirtd -d
: > "$1/ready"
# The shell must stay: it reaps what QEMU and libvirt leave to it.
sleep infinity &
wait
"""
READY_S = 30.0


class PrivateLibvirtd:
    """One running libvirtd.

    :param folder: short enough that a socket's name fits
    :param qemu_conf: its qemu.conf
    """

    def __init__(self, folder: pathlib.Path, qemu_conf: str) -> None:
        self.folder = folder
        (folder / 'qemu.conf').write_text(qemu_conf)
        command = [
            'unshare',
            '--mount',
            '--net',
            '--pid',
            '--fork',
            '--kill-child',
            'sh',
            '-c',
        ]
        with (folder / 'log').open('wb') as log:
            self._init = subprocess.Popen(
                [*command, SET_UP, 'sh', str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.pid = self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_ready(self) -> int:
        ready = self.folder / 'ready'
        limit = time.monotonic() + READY_S
        while not ready.exists():
            if self._init.poll() is not None or time.monotonic() > limit:
                raise RuntimeError((self.folder / 'log').read_text())
            time.sleep(0.05)
        children = pathlib.Path(
            f'/proc/{self._init.pid}/task/{self._init.pid}/children'
        )
        return int(children.read_text().split()[0])

    @property
    def root(self) -> pathlib.Path:
        """The file system as libvirtd sees it."""
        return pathlib.Path(f'/proc/{self.pid}/root')

    @property
    def uri(self) -> str:
        """Where to connect."""
        return f'qemu:///system?socket={self.root}/run/libvirt/libvirt-sock'

    @property
    def sysfs(self) -> pathlib.Path:
        """Its network interfaces."""
        return self.root / 'sys/class/net'

    @property
    def enter(self) -> tuple[str, ...]:
        """What goes before a command to run it in there."""
        return ('nsenter', '-t', str(self.pid), '-m', '-n', '-p', '--')

    @property
    def apply_filters(self) -> filters.Apply:
        """nftables of its network."""
        return functools.partial(filters.apply, nft=(*self.enter, 'nft'))

    def run(self, *command: str, given: str = '') -> str:
        """Run a command in there, with this input; its output."""
        return subprocess.run(
            [*self.enter, *command],
            check=True,
            input=given,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout

    def daemon_pid(self) -> int:
        """libvirtd's process, as numbered in there."""
        text = (self.root / 'run/libvirtd.pid').read_text()
        return int(text)

    def signal_daemon(self, number: int) -> None:
        """Send a signal to libvirtd."""
        self.run('kill', f'-{number}', str(self.daemon_pid()))

    def start_daemon(self) -> None:
        """Start it again after it was killed."""
        self.run('libvirtd', '-d')

    def stop(self) -> None:
        """End everything that runs in there."""
        # The first process of the namespace takes all others with it.
        os.kill(self.pid, signal.SIGKILL)
        self._init.wait(timeout=30)


@contextlib.contextmanager
def private_libvirtd(
    folder: pathlib.Path, qemu_conf: str = AS_ROOT
) -> Iterator[PrivateLibvirtd]:
    """A libvirtd for the time of the context."""
    daemon = PrivateLibvirtd(folder, qemu_conf)
    try:
        yield daemon
    finally:
        daemon.stop()


def missing() -> str:
    """What this machine lacks to run one; '' if nothing."""
    if sys.platform != 'linux' or os.geteuid() != 0:
        return 'needs root on Linux'
    for tool in ('libvirtd', 'virtlogd', 'qemu-system-x86_64', 'nft', 'ip'):
        if shutil.which(tool) is None:
            return f'{tool} is not installed'
    return ''
