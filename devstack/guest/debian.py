# SPDX-License-Identifier: Apache-2.0
"""Build an image of Debian 12: ``python3 -m devstack.guest.debian``.

What users of a cloud boot: systemd, cloud-init, OpenSSH, from Debian's own
packages as they are. Leaves ``debian.qcow2`` in the output folder and,
beside it, ``stamp``: what it was built of. The image appears under its name
only when it is complete.
"""

import fcntl
import hashlib
import pathlib
import shutil
import sys
import tempfile

from devstack.guest import bootstrap, command, disk, packages

IMAGE = 'debian.qcow2'
USER = 'debian'
"""Whom cloud-init lets in."""

_PACKAGES = (
    packages.KERNEL,
    'cloud-guest-utils',
    'cloud-init',
    'dbus',
    'iproute2',
    'netplan.io',
    'openssh-server',
    'sudo',
    'systemd-resolved',
    'systemd-sysv',
    'udev',
)
_WITHOUT = ('doc', 'info', 'locale', 'man')
_SIZES = disk.Sizes(boot=48 * disk.MIB, root=1000 * disk.MIB)
_SYSLINUX = """\
DEFAULT debian
PROMPT 0
TIMEOUT 0
LABEL debian
 KERNEL vmlinuz
 INITRD initrd
 APPEND root=LABEL=root console=ttyS0
"""
_FSTAB = 'LABEL=root / ext4 defaults,errors=remount-ro 0 1\n'
# The only source there is, and a locale that need not be compiled.
_CLOUD_CFG = """\
datasource_list: [ConfigDrive, None]
locale: C.UTF-8
"""


def build(output: pathlib.Path) -> bool:
    """Bring the image up to date.

    :returns: whether there was anything to do
    :raises command.BuildError: an older image, if any, is left as it was
    """
    command.require(*bootstrap.TOOLS, *disk.TOOLS)
    output.mkdir(parents=True, exist_ok=True)
    with (output / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = _built_of()
        mark = output / 'stamp'
        if (
            mark.exists()
            and mark.read_text() == stamp
            and (output / IMAGE).exists()
        ):
            return False
        for left_over in output.glob('build-*'):  # a build that was killed
            shutil.rmtree(left_over)
        with tempfile.TemporaryDirectory(dir=output, prefix='build-') as name:
            image = _make(pathlib.Path(name))
            mark.unlink(missing_ok=True)
            image.replace(output / IMAGE)
        mark.write_text(stamp)
    return True


def _built_of() -> str:
    """What decides what the image is: our files and Debian's versions."""
    modules = (__file__, bootstrap.__file__, disk.__file__)
    lines = [
        f'{pathlib.Path(path).name} '
        f'{hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()}\n'
        for path in modules
    ]
    found = packages.candidates(_PACKAGES)
    return ''.join(lines) + ''.join(f'{p.name} {p.version}\n' for p in found)


def _make(work: pathlib.Path) -> pathlib.Path:
    tree = work / 'tree'
    bootstrap.make_tree(
        tree,
        _PACKAGES,
        *(f'--dpkgopt=path-exclude=/usr/share/{d}/*' for d in _WITHOUT),
    )
    _configure(tree)
    boot = work / 'boot'
    boot.mkdir()
    for name in ('vmlinuz', 'initrd'):
        found = sorted((tree / 'boot').glob(f'{name}*'))[-1]
        shutil.move(found, boot / name)
    (boot / 'syslinux.cfg').write_text(_SYSLINUX)
    disk.make_boot(boot, work / 'boot.fat', _SIZES)
    _make_root(tree, work / 'root.ext4')
    disk.assemble(
        work / 'boot.fat',
        work / 'root.ext4',
        work / IMAGE,
        _SIZES,
        compressed=True,
    )
    return work / IMAGE


def _configure(tree: pathlib.Path) -> None:
    """What an installer would write; the rest is cloud-init's."""
    (tree / 'etc' / 'fstab').write_text(_FSTAB)
    cloud = tree / 'etc' / 'cloud' / 'cloud.cfg.d' / '90-source.cfg'
    cloud.write_text(_CLOUD_CFG)


def _make_root(tree: pathlib.Path, image: pathlib.Path) -> None:
    """Make the root file system, owners as they are in the tree.

    It can grow: cloud-init makes it as large as the flavor's disk.
    """
    size = f'{_SIZES.root // 1024}k'
    command.run(
        ['mke2fs', '-q', '-F', '-t', 'ext4', '-L', 'root', '-d', tree,
         image, size]
    )  # fmt: skip


if __name__ == '__main__':
    sys.exit(command.main('Debian image', IMAGE, build))
