# SPDX-License-Identifier: Apache-2.0
"""Images that would open other files: refused on the gateway and on a PC.

Both look at the header by themselves, before any tool of QEMU does; and
every tool of QEMU is told what each file is.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import disks, images
from tests.support import disk_images, fake_pcs, gateways, one_peer

pytestmark = pytest.mark.trio

HOSTILE = {
    'backing-file': (
        disk_images.qcow2(backing='/etc/shadow'), 'qcow2', 'backing file'
    ),
    'json-backing-file': (
        disk_images.qcow2(backing='json:{"driver":"nbd","host":"x"}'),
        'qcow2',
        'backing file',
    ),
    'data-file': (
        disk_images.qcow2(features=disk_images.DATA_FILE),
        'qcow2',
        'data_file',
    ),
    'unknown-feature': (
        disk_images.qcow2(features=1 << 17), 'qcow2', 'Unknown QCOW2 features'
    ),
    'old-version': (
        disk_images.qcow2(version=1), 'qcow2', 'Unsupported qcow2 version'
    ),
    'vmdk-as-raw': (disk_images.vmdk(), 'raw', 'header says vmdk'),
    'vmdk-as-qcow2': (disk_images.vmdk(), 'qcow2', 'header says vmdk'),
    'vdi-as-raw': (disk_images.vdi(), 'raw', 'header says vdi'),
    'qcow2-as-raw': (disk_images.qcow2(), 'raw', 'header says qcow2'),
    'backing-file-as-raw': (
        disk_images.qcow2(backing='/etc/shadow'), 'raw', 'header says qcow2'
    ),
    'raw-as-qcow2': (bytes(2**17), 'qcow2', 'header says raw'),
    'qed': (b'QED\0' + bytes(2**17), 'raw', 'header says qed'),
}  # fmt: skip
Take = Callable[[pathlib.Path, wire.Image, bytes], Awaitable[None]]


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    # So small that a header is split.
    for start in range(0, len(content), 500):
        yield content[start : start + 500]


async def gateway(
    folder: pathlib.Path, image: wire.Image, content: bytes
) -> None:
    refused: list[errors.P2PcsError] = []
    async with gateways.running(folder, fake_pcs.Office()) as service:
        try:
            await service.images.put(image, pieces(content))
        except errors.ImageRefused as error:
            refused.append(error)
        assert not service.images.has(image.digest)
    [reason] = refused
    raise reason


async def pc(folder: pathlib.Path, image: wire.Image, content: bytes) -> None:
    @contextlib.asynccontextmanager
    async def send() -> AsyncIterator[AsyncIterator[bytes]]:
        yield pieces(content)

    cache = images.Images(folder / 'images', frozenset)
    cache.open()
    try:
        await cache.get(image, send)
    finally:
        assert not cache.has(image.digest)


@pytest.mark.parametrize('take', [gateway, pc], ids=['gateway', 'pc'])
@pytest.mark.parametrize(
    ('content', 'announced', 'reason'), HOSTILE.values(), ids=HOSTILE.keys()
)
async def test_image_is_refused_with_the_reason_and_not_kept(
    tmp_path: pathlib.Path,
    take: Take,
    content: bytes,
    announced: str,
    reason: str,
) -> None:
    image = one_peer.image_of(content, announced)
    with pytest.raises(errors.ImageRefused, match=reason):
        await take(tmp_path, image, content)
    assert list((tmp_path / 'images').iterdir()) == []


async def test_image_that_another_format_is_said_of_later_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    content = bytes(2**17)
    cache = images.Images(tmp_path / 'images', frozenset)
    cache.open()

    @contextlib.asynccontextmanager
    async def send() -> AsyncIterator[AsyncIterator[bytes]]:
        yield pieces(content)

    await cache.get(one_peer.image_of(content), send)
    with pytest.raises(errors.ImageRefused, match='header says raw'):
        await cache.get(one_peer.image_of(content, 'qcow2'), send)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run."""
    noted: list[list[str]] = []
    run = trio.run_process

    async def note(command: list[str], **how: Any) -> Any:
        noted.append(command)
        return await run(['true'], **how)

    monkeypatch.setattr(trio, 'run_process', note)
    return noted


async def test_qemu_img_is_told_the_format_of_every_file(
    tmp_path: pathlib.Path, commands: list[list[str]]
) -> None:
    disk, base = tmp_path / 'disk', tmp_path / 'base'
    disk.write_bytes(disk_images.qcow2())
    await disks.make_overlay(disk, base, 'raw', 10)
    await disks.flatten(disk, base, 'raw', tmp_path / 'copy')
    create, convert = commands
    assert create[create.index('-f') + 1] == 'qcow2'
    assert create[create.index('-F') + 1] == 'raw'
    assert convert[convert.index('-O') + 1] == 'qcow2'
    [source] = [a for a in convert if a.startswith('json:')]
    opened = json.loads(source.removeprefix('json:'))
    assert opened['driver'] == 'qcow2'
    assert opened['file'] == {'driver': 'file', 'filename': str(disk)}
    assert opened['backing'] == {
        'driver': 'raw',
        'file': {'driver': 'file', 'filename': str(base)},
    }


async def test_no_tool_opens_a_disk_whose_header_is_not_ours(
    tmp_path: pathlib.Path, commands: list[list[str]]
) -> None:
    disk = tmp_path / 'disk'
    for content in (
        disk_images.qcow2(features=disk_images.DATA_FILE),
        disk_images.vmdk(),
        b'short',
    ):
        disk.write_bytes(content)
        with pytest.raises(errors.ImageRefused):
            await disks.flatten(
                disk, tmp_path / 'base', 'raw', tmp_path / 'copy'
            )
    assert commands == []
