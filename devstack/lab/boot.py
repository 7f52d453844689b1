# SPDX-License-Identifier: Apache-2.0
"""Process 1 of a lab machine: make it a machine of its own, then reap.

Runs inside fresh namespaces, as ``boot LAB NAME DISK HIDDEN...``. A
machine with a disk gets that disk's ``etc`` and ``var`` in place of the
user's, empty ``/run`` and ``/tmp``, and sees nothing of the hidden
folders. Says ``ready`` on its standard output, then lives until it is
killed: which kills everything in its PID namespace, as a power cut does.
"""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys

MODULE = 'devstack.lab.boot'
NO_DISK = '-'
STAGING = pathlib.Path('/run/p2pcs-project')


def mount(*arguments: str) -> None:
    """Run mount; a failure ends the machine."""
    subprocess.run(['mount', *arguments], check=True)


def mount_disk(disk: pathlib.Path, root: pathlib.Path) -> None:
    """Put the machine's own folders in place of the user's.

    The project itself stays visible, wherever it is: the machine runs
    programs from its virtual environments.
    """
    mount('-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', '/run')
    for folder in ('lock', STAGING.name):
        (STAGING.parent / folder).mkdir()
    mount('--rbind', str(root), str(STAGING))
    mount('--bind', str(disk / 'etc'), '/etc')
    mount('--bind', str(disk / 'var'), '/var')
    mount('-t', 'tmpfs', '-o', 'mode=1777', 'tmpfs', '/tmp')
    if not root.is_dir():
        root.mkdir(parents=True)
        mount('--move', str(STAGING), str(root))
    else:
        subprocess.run(['umount', '-R', str(STAGING)], check=True)
    STAGING.rmdir()


def hide(folder: pathlib.Path) -> None:
    """Show an empty folder in its place."""
    folder.mkdir(exist_ok=True)
    mount('-t', 'tmpfs', '-o', 'mode=755,ro', 'tmpfs', str(folder))


def reap_for_ever() -> None:
    """Collect the orphans that process 1 inherits."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        signal.sigwait({signal.SIGCHLD})
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            continue


def main(arguments: list[str]) -> None:
    """Become the machine."""
    lab, name, disk, *hidden = arguments
    socket.sethostname(name)
    mount('-t', 'proc', 'proc', '/proc')
    mount('-t', 'sysfs', 'sysfs', '/sys')
    if disk != NO_DISK:
        mount_disk(pathlib.Path(disk), pathlib.Path(lab).parent)
    for folder in hidden:
        hide(pathlib.Path(folder))
    os.chdir('/')
    print('ready', flush=True)
    with open(os.devnull, 'r+b', buffering=0) as null:
        for descriptor in range(3):
            os.dup2(null.fileno(), descriptor)
    reap_for_ever()


if __name__ == '__main__':
    main(sys.argv[1:])
