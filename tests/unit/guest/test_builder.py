# SPDX-License-Identifier: Apache-2.0
"""The parts of the guest's builder that need no package."""

import os
import pathlib
import shutil
import struct
import subprocess

import pytest

from devstack.guest import archive, bootstrap, command, disk, modules


def module(path: pathlib.Path, needs: str, signature: bytes = b'') -> None:
    """Write what the builder looks at in a kernel module."""
    content = b'\x7fELF\0license=GPL\0depends=' + needs.encode() + b'\0'
    if signature:
        content += signature + struct.pack('>8xI', len(signature))
        content += b'~Module signature appended~\n'
    path.write_bytes(content)


def test_modules_come_after_what_they_need(tmp_path: pathlib.Path) -> None:
    module(tmp_path / 'virtio-rng.ko', 'virtio')
    module(tmp_path / 'virtio.ko', '')
    module(tmp_path / 'virtio_net.ko', 'net_failover,virtio')
    module(tmp_path / 'net_failover.ko', 'failover')
    module(tmp_path / 'failover.ko', '')
    known = modules.catalogue(tmp_path)
    assert modules.in_order(['virtio_rng', 'virtio_net'], known) == (
        'virtio',
        'virtio_rng',
        'failover',
        'net_failover',
        'virtio_net',
    )
    modules.install(['virtio_net'], known, '6.1', tmp_path / 'root')
    index = (tmp_path / 'root/lib/modules/6.1/modules.dep').read_text()
    assert index.splitlines()[-1] == (
        'virtio_net.ko: virtio.ko net_failover.ko failover.ko'
    )


def test_module_that_the_kernel_lacks_is_named(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(command.BuildError, match='no module ahci'):
        modules.in_order(['ahci'], modules.catalogue(tmp_path))


def test_signature_is_taken_off_and_nothing_else(
    tmp_path: pathlib.Path,
) -> None:
    module(tmp_path / 'plain.ko', '')
    module(tmp_path / 'signed.ko', '', b'PKCS7' * 20)
    plain = (tmp_path / 'plain.ko').read_bytes()
    assert modules.unsigned((tmp_path / 'signed.ko').read_bytes()) == plain
    assert modules.unsigned(plain) == plain


@pytest.mark.skipif(
    not shutil.which('busybox'), reason='busybox is not installed'
)
def test_archive_is_read_by_cpio_and_does_not_depend_on_times(
    tmp_path: pathlib.Path,
) -> None:
    tree = tmp_path / 'tree'
    (tree / 'bin').mkdir(parents=True)
    (tree / 'init').write_text('#!/bin/sh\n')
    (tree / 'init').chmod(0o700)
    (tree / 'bin' / 'odd').write_text('12345')
    (tree / 'bin' / 'sh').symlink_to('/bin/busybox')
    first = archive.newc(tree)
    os.utime(tree / 'init', (1, 1))
    assert archive.newc(tree) == first

    (tmp_path / 'out').mkdir()
    subprocess.run(
        ['busybox', 'cpio', '-i'],
        input=first,
        cwd=tmp_path / 'out',
        check=True,
        capture_output=True,
        timeout=30,
    )
    assert (tmp_path / 'out/init').stat().st_mode & 0o777 == 0o755
    assert (tmp_path / 'out/bin/odd').read_text() == '12345'
    assert (tmp_path / 'out/bin/sh').readlink() == pathlib.Path('/bin/busybox')


def test_partitions_follow_each_other_and_fill_the_disk(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'mbr').write_bytes(b'\xeb' * 440)
    monkeypatch.setattr(disk, '_MBR', tmp_path / 'mbr')
    sector = disk.partition_table(disk.TINY)
    assert len(sector) == 512
    assert sector[510:] == b'\x55\xaa'
    parts = [
        struct.unpack('<B3xB3xII', sector[at : at + 16]) for at in (446, 462)
    ]
    assert [part[:2] for part in parts] == [(0x80, 0x0E), (0, 0x83)]
    (_, _, start, size), (_, _, second, second_size) = parts
    assert start + size == second
    assert (second + second_size) * 512 == disk.TINY.disk


def test_missing_tools_are_named_all_at_once() -> None:
    with pytest.raises(command.BuildError, match='no-such-a, no-such-b'):
        command.require('sh', 'no-such-a', 'no-such-b')


def test_tool_that_fails_is_quoted() -> None:
    with pytest.raises(command.BuildError, match='ended with 3: why'):
        command.run(['sh', '-c', 'echo why >&2; exit 3'])


def test_a_debian_fetches_as_apt_here_does_and_has_lists_of_its_own() -> None:
    dump = (
        'APT::Architecture "amd64";\n'
        'Acquire "";\n'
        'Acquire::Check-Date "false";\n'
        'Acquire::http::Proxy "http://proxy.office:3128";\n'
        'Acquire::IndexTargets::deb::Packages::Optional "0";\n'
        'Acquire::cdrom "";\n'
    )
    assert bootstrap.parse_settings(dump) == [
        'Acquire::Check-Date "false";',
        'Acquire::http::Proxy "http://proxy.office:3128";',
    ]
