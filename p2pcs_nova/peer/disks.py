# SPDX-License-Identifier: Apache-2.0
"""An instance's disk: a qcow2 overlay on its image.

Every tool of QEMU is told the format of every file: it guesses none.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Collection

import trio

from p2pcs_nova import errors, imaging, wire

TIMEOUT_S = 60.0
MEMORY_LIMIT = f'--as={2**30}'
"""Bytes that a tool may use which reads an image's header."""
CPU_LIMIT = '--cpu=30'
"""Seconds for one that reads no more than that."""


def allocated_bytes(
    folder: pathlib.Path, without: Collection[str] = ()
) -> int:
    """What the files in a folder take of the disk now. Blocks.

    :param without: names that do not count
    """
    found = 0
    for above, _, names in os.walk(folder):
        for name in names:
            if name in without:
                continue
            try:
                found += os.lstat(os.path.join(above, name)).st_blocks * 512
            except FileNotFoundError:
                # A download or an instance that has ended meanwhile.
                continue
    return found


def check_size(image: wire.Image, virtual_bytes: int, root_mb: int) -> None:
    """Whether the image fits into the disk that the flavor gives.

    :raises ImageRefused: it does not
    """
    if virtual_bytes > root_mb * 2**20:
        raise errors.ImageRefused(
            f'image {image.name or image.digest[:19]} has a disk of '
            f'{-(-virtual_bytes // 2**20)} MiB, the instance one of '
            f'{root_mb} MiB'
        )


async def make_overlay(
    disk: pathlib.Path, base: pathlib.Path, base_format: str, root_mb: int
) -> None:
    """Make an empty disk on top of ``base``.

    :raises NoSpace: the file system is full
    :raises HypervisorFailed: qemu-img is missing, slow or refused
    """
    command = [
        'prlimit',
        CPU_LIMIT,
        MEMORY_LIMIT,
        'qemu-img',
        'create',
        '-q',
        '-f',
        'qcow2',
        '-F',
        base_format,
        '-b',
        str(base),
        str(disk),
        f'{root_mb}M',
    ]
    try:
        with trio.fail_after(TIMEOUT_S):
            await _run(command)
    except trio.TooSlowError:
        raise errors.HypervisorFailed('qemu-img did not end') from None
    await trio.to_thread.run_sync(disk.chmod, 0o600)


async def flatten(
    disk: pathlib.Path,
    base: pathlib.Path,
    base_format: str,
    copy: pathlib.Path,
) -> None:
    """Copy a disk that no guest uses, with what is below it, as qcow2.

    :param copy: a new file; on failure it is left, for the caller to remove
    :raises ImageRefused: the disk's header is not as we made it
    :raises NoSpace: the file system is full
    :raises HypervisorFailed: qemu-img is missing or refused
    """
    await trio.to_thread.run_sync(imaging.inspect_overlay, disk)
    await trio.to_thread.run_sync(copy.touch, 0o600)
    source = {
        **_file('qcow2', disk),
        # In place of what the header says is below.
        'backing': _file(base_format, base),
    }
    await _run(
        [
            'prlimit',
            MEMORY_LIMIT,
            'qemu-img',
            'convert',
            '-q',
            '-O',
            'qcow2',
            f'json:{json.dumps(source)}',
            str(copy),
        ]
    )


def _file(driver: str, path: pathlib.Path) -> dict[str, object]:
    return {
        'driver': driver,
        'file': {'driver': 'file', 'filename': str(path)},
    }


async def _run(command: list[str]) -> None:
    try:
        done = await trio.run_process(
            command,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        raise errors.HypervisorFailed(f'qemu-img: {error}') from None
    if done.returncode:
        said = done.stdout.decode(errors='replace').strip()
        if 'No space left' in said:
            raise errors.NoSpace(f'the disk of this PC is full: {said}')
        raise errors.HypervisorFailed(f'qemu-img: {said}')
