# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import pathlib
import subprocess
from collections.abc import AsyncIterator

import pytest

from p2pcs_nova import errors, imaging, wire

pytestmark = pytest.mark.trio


def names(folder: pathlib.Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def image_of(data: bytes, form: str, algorithm: str = 'sha512') -> wire.Image:
    digest = hashlib.new(algorithm, data).hexdigest()
    return wire.Image(f'{algorithm}:{digest}', form, len(data))


async def stream(data: bytes, step: int = 70_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), step):
        yield data[start : start + step]


def qcow2(folder: pathlib.Path, *more: str) -> bytes:
    path = folder / 'disk.qcow2'
    subprocess.run(
        ['qemu-img', 'create', '-q', '-f', 'qcow2', *more, str(path), '8M'],
        check=True,
        timeout=60,
    )
    return path.read_bytes()


@pytest.mark.parametrize('algorithm', ['sha256', 'sha512'])
async def test_raw_image_is_kept_under_its_digest(
    tmp_path: pathlib.Path, algorithm: str
) -> None:
    data = bytes(200_000)
    image = image_of(data, 'raw', algorithm)
    assert await imaging.keep(image, stream(data), tmp_path) == len(data)
    path = imaging.image_path(tmp_path, image.digest)
    assert path.read_bytes() == data
    assert names(tmp_path) == [path.name]


@pytest.mark.libvirt
async def test_qcow2_image_is_kept_and_its_virtual_size_is_known(
    tmp_path: pathlib.Path,
) -> None:
    data = qcow2(tmp_path)
    image = image_of(data, 'qcow2')
    size = await imaging.keep(image, stream(data), tmp_path / 'images')
    assert size == 8 * 2**20


@pytest.mark.libvirt
async def test_qcow2_with_a_backing_file_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    data = qcow2(tmp_path, '-u', '-F', 'raw', '-b', '/etc/shadow')
    with pytest.raises(errors.ImageRefused, match='backing'):
        await imaging.keep(
            image_of(data, 'qcow2'), stream(data), tmp_path / 'images'
        )
    assert names(tmp_path / 'images') == []


@pytest.mark.libvirt
async def test_qcow2_with_a_data_file_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    data = qcow2(tmp_path, '-o', f'data_file={tmp_path}/outside')
    with pytest.raises(errors.ImageRefused, match='unsafe'):
        await imaging.keep(
            image_of(data, 'qcow2'), stream(data), tmp_path / 'images'
        )


@pytest.mark.libvirt
async def test_qcow2_announced_as_raw_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    data = qcow2(tmp_path)
    with pytest.raises(errors.ImageRefused, match='header says qcow2'):
        await imaging.keep(
            image_of(data, 'raw'), stream(data), tmp_path / 'images'
        )


async def test_raw_bytes_announced_as_qcow2_are_refused(
    tmp_path: pathlib.Path,
) -> None:
    data = b'no header' * 1000
    with pytest.raises(errors.ImageRefused, match='header says raw'):
        await imaging.keep(image_of(data, 'qcow2'), stream(data), tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ('sent', 'reason'),
    [
        (bytes(999), 'fewer bytes'),
        (bytes(1001), 'more bytes'),
        (b'x' + bytes(999), 'its sha512 is'),
    ],
)
async def test_other_bytes_than_announced_leave_nothing(
    tmp_path: pathlib.Path, sent: bytes, reason: str
) -> None:
    with pytest.raises(errors.ImageRefused, match=reason):
        await imaging.keep(
            image_of(bytes(1000), 'raw'), stream(sent), tmp_path
        )
    assert names(tmp_path) == []


async def test_what_an_interrupted_transfer_left_is_dropped(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / '.part-old').write_bytes(b'half')
    data = bytes(1000)
    await imaging.keep(image_of(data, 'raw'), stream(data), tmp_path)
    assert imaging.drop_parts(tmp_path) == 1
    assert len(names(tmp_path)) == 1
