# SPDX-License-Identifier: Apache-2.0
"""What goes into the two trees: the initramfs and the root file system."""

import pathlib
import re
import shutil

from devstack.guest import command, modules

FILES = pathlib.Path(__file__).parent

# In the initramfs: what reaches a root disk on virtio, and else on IDE or
# virtio-scsi.
_DISK_MODULES = (
    'virtio_pci',
    'virtio_blk',
    'virtio_scsi',
    'ata_piix',
    'sd_mod',
)
_OTHER_MODULES = (
    'virtio_net',
    'virtio_balloon',
    'virtio_rng',
    'button',
    'evdev',
    'sr_mod',
    'isofs',
    'nls_utf8',
)
_DROPBEAR = ('usr/sbin/dropbear', 'usr/bin/dropbearkey')
_FOLDERS = (
    'data',
    'dev',
    'etc/dropbear',
    'home/debian',
    'proc',
    'root',
    'run',
    'sys',
    'tmp',
    'var/lib/guest',
)


def make_initramfs(
    unpacked: pathlib.Path, tree: pathlib.Path, release: str
) -> None:
    """Lay out the initramfs: busybox, disk modules, one script."""
    _busybox(unpacked, tree, ['bin'])
    for folder in ('proc', 'sys', 'dev', 'root'):
        (tree / folder).mkdir()
    known = modules.catalogue(unpacked / 'lib/modules' / release)
    modules.install(_DISK_MODULES, known, release, tree)
    shutil.copy(FILES / 'initramfs' / 'init', tree / 'init')


def make_root(
    unpacked: pathlib.Path, tree: pathlib.Path, release: str
) -> None:
    """Lay out the root file system: busybox, dropbear, our files."""
    shutil.copytree(FILES / 'rootfs', tree, symlinks=True)
    for folder in _FOLDERS:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    for path in tree.rglob('*'):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
    for folder in ('data', 'tmp'):
        (tree / folder).chmod(0o1777)
    (tree / 'root').chmod(0o700)
    (tree / 'etc' / 'shadow').chmod(0o600)
    _busybox(unpacked, tree, ['bin', 'sbin', 'usr/bin', 'usr/sbin'])
    known = modules.catalogue(unpacked / 'lib/modules' / release)
    modules.install((*_DISK_MODULES, *_OTHER_MODULES), known, release, tree)
    _dropbear(unpacked, tree)


def _busybox(
    unpacked: pathlib.Path, tree: pathlib.Path, folders: list[str]
) -> None:
    """Install busybox, and a link for each of its commands."""
    for folder in folders:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    target = tree / 'bin' / 'busybox'
    shutil.copy(unpacked / 'bin' / 'busybox', target)
    target.chmod(0o755)
    for path in command.run([target, '--list-full']).split():
        link = tree / (path if len(folders) > 1 else f'bin/{_name(path)}')
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to('/bin/busybox')


def _name(path: str) -> str:
    return path.rpartition('/')[2]


def _dropbear(unpacked: pathlib.Path, tree: pathlib.Path) -> None:
    """Install dropbear with the libraries its own loader says it needs."""
    lib = tree / 'lib/x86_64-linux-gnu'
    lib.mkdir(parents=True)
    loader = (unpacked / 'lib64/ld-linux-x86-64.so.2').resolve()
    (tree / 'lib64').mkdir()
    shutil.copy(loader, tree / 'lib64/ld-linux-x86-64.so.2')
    search = ':'.join(
        str(unpacked / folder / 'x86_64-linux-gnu')
        for folder in ('lib', 'usr/lib')
    )
    for program in _DROPBEAR:
        shutil.copy(unpacked / program, tree / program)
        listing = command.run(
            [loader, '--library-path', search, '--list', unpacked / program]
        )
        for name, path in re.findall(
            r'^\s+([^/\s]+) => (\S+) \(', listing, re.MULTILINE
        ):
            if not path.startswith(str(unpacked)):
                raise command.BuildError(f'no package brought {name}')
            shutil.copy(path, lib / name)
