# SPDX-License-Identifier: Apache-2.0
"""The disk: a boot partition (FAT, syslinux) and a root file system (ext4).

Everything is made inside ordinary files: no root, no loop device. Times,
serial numbers and UUIDs are fixed, so that equal inputs give equal disks.
"""

import dataclasses
import pathlib
import shutil
import struct

from devstack.guest import command

SECTOR = 512
MIB = 1 << 20
CONVERT_TIMEOUT_S = 900.0
BOOT_START = MIB


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large the partitions are, in bytes: whole MiB."""

    boot: int
    root: int

    @property
    def root_start(self) -> int:
        """Where the root file system begins on the disk."""
        return BOOT_START + self.boot

    @property
    def disk(self) -> int:
        """The size of the whole disk."""
        return self.root_start + self.root


TINY = Sizes(boot=20 * MIB, root=107 * MIB)
"""Those of the tiny guest."""

# 2020-01-01: any fixed time; FAT knows none before 1980.
_FAKE_TIME = 1577836800
_SERIAL = '50325043'
_ROOT_UUID = '50325043-0000-4000-8000-000000000001'
_MBR = pathlib.Path('/usr/lib/SYSLINUX/mbr.bin')
_FAT16_LBA, _LINUX = 0x0E, 0x83

TOOLS = ('mformat', 'mcopy', 'syslinux', 'mke2fs', 'debugfs', 'qemu-img')


def partition_table(sizes: Sizes) -> bytes:
    """Make the first sector: syslinux's loader and the two partitions."""
    loader = _MBR.read_bytes()
    if len(loader) > 440:
        raise command.BuildError(f'{_MBR} is too long for a boot sector')
    entries = _partition(0x80, _FAT16_LBA, BOOT_START, sizes.boot)
    entries += _partition(0, _LINUX, sizes.root_start, sizes.root)
    signature = bytes.fromhex(_SERIAL) + b'\0\0'
    sector = loader.ljust(440, b'\0') + signature + entries.ljust(64, b'\0')
    return sector + b'\x55\xaa'


def _partition(flag: int, kind: int, start: int, size: int) -> bytes:
    beyond = b'\xfe\xff\xff'  # cylinder, head, sector: use LBA instead
    return struct.pack(
        '<B3sB3sII',
        flag,
        beyond,
        kind,
        beyond,
        start // SECTOR,
        size // SECTOR,
    )


def make_boot(folder: pathlib.Path, image: pathlib.Path, sizes: Sizes) -> None:
    """Make the boot partition of the files in a folder, with syslinux."""
    with image.open('wb') as file:
        file.truncate(sizes.boot)
    size = str(sizes.boot // SECTOR)
    hidden = str(BOOT_START // SECTOR)
    geometry = ['-T', size, '-h', '255', '-s', '63', '-H', hidden]
    # Long runs of sectors: each read through the BIOS has its cost.
    geometry += ['-c', '32', '-N', _SERIAL, '-v', 'BOOT']
    command.run(
        ['mformat', '-i', image, *geometry, '::'], fake_time=_FAKE_TIME
    )
    files = sorted(folder.iterdir())
    command.run(['mcopy', '-i', image, *files, '::'], fake_time=_FAKE_TIME)
    command.run(['syslinux', '--install', image], fake_time=_FAKE_TIME)


def make_root(tree: pathlib.Path, image: pathlib.Path, sizes: Sizes) -> None:
    """Make the root file system of a small tree; all is root's."""
    image.unlink(missing_ok=True)
    extended = f'root_owner=0:0,hash_seed={_ROOT_UUID},lazy_itable_init=0'
    options = ['-t', 'ext4', '-b', '1024', '-m', '0', '-L', 'root']
    options += ['-O', '^resize_inode,^64bit', '-J', 'size=4', '-I', '256']
    options += [
        '-N',
        '8192',
        '-U',
        _ROOT_UUID,
        '-E',
        extended,
        '-d',
        str(tree),
    ]
    command.run(
        ['mke2fs', '-q', '-F', *options, image, f'{sizes.root // 1024}k'],
        fake_time=_FAKE_TIME,
    )
    _settle(tree, image)


def _settle(tree: pathlib.Path, image: pathlib.Path) -> None:
    """Give all files to root, and take this machine's times off them."""
    paths = ['/'] + [f'/{p.relative_to(tree)}' for p in tree.rglob('*')]
    fields = {'uid': '0', 'gid': '0'}
    fields |= dict.fromkeys(
        ('atime', 'mtime', 'ctime', 'crtime'), f'@{_FAKE_TIME}'
    )
    script = [
        f'set_inode_field "{path}" {field} {value}'
        for path in sorted(paths)
        for field, value in fields.items()
    ]
    command.run(
        ['debugfs', '-w', '-f', '-', image],
        stdin='\n'.join(script) + '\n',
        fake_time=_FAKE_TIME,
    )


def assemble(
    boot: pathlib.Path,
    root: pathlib.Path,
    image: pathlib.Path,
    sizes: Sizes,
    *,
    compressed: bool = False,
) -> None:
    """Put the partitions together as a qcow2 image."""
    raw = image.with_suffix('.raw')
    with raw.open('wb') as file:
        file.write(partition_table(sizes))
        for start, part in ((BOOT_START, boot), (sizes.root_start, root)):
            file.seek(start)
            with part.open('rb') as source:
                shutil.copyfileobj(source, file, MIB)
        file.truncate(sizes.disk)
    formats = ['-f', 'raw', '-O', 'qcow2', '-o', 'compat=1.1']
    formats += ['-c'] if compressed else []
    command.run(
        ['qemu-img', 'convert', *formats, raw, image],
        timeout_s=CONVERT_TIMEOUT_S,
    )
    raw.unlink()
