# SPDX-License-Identifier: Apache-2.0
"""An image's bytes are what was announced, or they are dropped.

Gateway and PC both take images from somebody else, and both look before
any tool of QEMU does: the size, the digest, and the header.  A header can
name files of the machine that opens it (a qcow2 backing file, an external
data file), so those are refused whatever their digest is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import IO

import trio
from oslo_utils.imageutils import format_inspector

from p2pcs_nova import bodies, errors, files, wire

COPY_TABLES = 64 * 2**20
"""Bytes of a copy beside the data of its disk, and a hundredth of that."""
INSPECT_CHUNK = 2**20
"""Bytes read at once while a header is looked at."""
RAW = frozenset({'raw', 'gpt'})
"""What the inspector may find in a raw image: nothing, or partitions."""


def image_path(folder: pathlib.Path, digest: str) -> pathlib.Path:
    """Where the image of this digest is, or would be, in ``folder``."""
    return folder / digest.replace(':', '-')


def free_bytes(folder: pathlib.Path) -> int:
    """What may be written to the file system of this folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def inspect(path: pathlib.Path, image: wire.Image) -> int:
    """Look at an image's header; the size that its guest will see.

    Blocks: call it in a thread.

    :returns: bytes of the virtual disk
    :raises ImageRefused: another format than announced, several at once,
        or a header that names other files; says which
    """
    try:
        found = _detect(path)
        kind = str(found)
        if kind not in (RAW if image.format == 'raw' else {image.format}):
            raise errors.ImageRefused(
                f'announced as {image.format}, but its header says {kind}'
            )
        _check(found)
        if image.format == 'raw':
            # The inspector has read no further than it had to.
            return path.stat().st_size
        return int(found.virtual_size)
    except format_inspector.ImageFormatError as error:
        raise errors.ImageRefused(f'unreadable header: {error}') from None


def _check(found: format_inspector.FileInspector) -> None:
    try:
        found.safety_check()
    except format_inspector.SafetyCheckFailed as error:
        reasons = '; '.join(str(why) for why in error.failures.values())
        raise errors.ImageRefused(f'unsafe header: {reasons}') from None


@contextlib.asynccontextmanager
async def inspected_copy(
    body: bodies.Body, root_mb: int
) -> AsyncIterator[bodies.Body]:
    """The same copy of a disk, once its size and its head are harmless.

    :param root_mb: size of the disk
    :raises ImageRefused: it is larger than its disk can be, no qcow2, or
        names other files
    """
    if body.size_bytes > COPY_TABLES + root_mb * 2**20 * 101 // 100:
        raise errors.ImageRefused(
            f'a copy of a disk of {root_mb} MiB has {body.size_bytes} bytes'
        )
    head = bytearray()
    async for chunk in body.chunks:
        head += chunk
        if len(head) >= INSPECT_CHUNK:
            break
    found = format_inspector.QcowInspector()
    found.eat_chunk(bytes(head))
    if not (found.complete and found.format_match):
        raise errors.ImageRefused('a copy of a disk is no qcow2 image')
    _check(found)
    async with contextlib.aclosing(
        _joined(bytes(head), body.chunks)
    ) as chunks:
        yield bodies.Body(body.size_bytes, chunks)


async def _joined(
    head: bytes, rest: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    yield head
    async for chunk in rest:
        yield chunk


def inspect_overlay(path: pathlib.Path) -> None:
    """Look at the header of an instance's disk. Blocks.

    It was ours, but a guest's QEMU has written to it since.  What is below
    the disk is nothing that the header decides: whoever opens it says so.

    :raises ImageRefused: it is no qcow2, or keeps its data elsewhere
    """
    try:
        found = format_inspector.QcowInspector.from_file(str(path))
        found.check_data_file()
        found.check_unknown_features()
    except format_inspector.SafetyViolation as error:
        raise errors.ImageRefused(
            f'unsafe header of a disk: {error}'
        ) from None
    except format_inspector.ImageFormatError as error:
        raise errors.ImageRefused(
            f'unreadable header of a disk: {error}'
        ) from None


def _detect(path: pathlib.Path) -> format_inspector.FileInspector:
    """The inspector of the one format that the bytes have."""
    with open(path, 'rb') as file:
        wrapper = format_inspector.InspectWrapper(file)
        while wrapper.format is None and wrapper.read(INSPECT_CHUNK):
            pass
        wrapper.close()
    found = wrapper.format
    if found is None:
        raise errors.ImageRefused('its format is not known')
    return found


async def keep(
    image: wire.Image, chunks: AsyncIterable[bytes], folder: pathlib.Path
) -> int:
    """Take an image's bytes into ``folder``, verified and durable.

    Nothing is left in the folder on any failure, a cancellation included.

    :param chunks: its bytes, in order; not read beyond the announced size
    :returns: bytes of the virtual disk
    :raises ImageRefused: size, digest or header are not as announced
    :raises NoSpace: the file system is full
    """
    with contextlib.ExitStack() as undo:
        part = await trio.to_thread.run_sync(_open_part, folder)
        undo.callback(pathlib.Path(part.name).unlink, missing_ok=True)
        undo.enter_context(part)
        try:
            await _write_verified(image, chunks, part)
            virtual = await trio.to_thread.run_sync(
                _finish, part, image, folder
            )
        except OSError as error:
            raise errors.NoSpace(
                f'the image cannot be kept in {folder}: {error.strerror}'
            ) from None
    return virtual


def _open_part(folder: pathlib.Path) -> IO[bytes]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tempfile.NamedTemporaryFile(
        dir=folder, prefix='.part-', delete=False
    )


async def _write_verified(
    image: wire.Image, chunks: AsyncIterable[bytes], part: IO[bytes]
) -> None:
    algorithm, _, expected = image.digest.partition(':')
    digest = hashlib.new(algorithm)
    size = 0

    def take(chunk: bytes) -> None:
        digest.update(chunk)
        part.write(chunk)

    async with _closing(chunks):
        async for chunk in chunks:
            size += len(chunk)
            if size > image.size_bytes:
                break
            await trio.to_thread.run_sync(take, chunk)
    if size != image.size_bytes:
        raise errors.ImageRefused(
            f'{"more" if size > image.size_bytes else "fewer"} bytes than '
            f'the {image.size_bytes} that were announced'
        )
    if digest.hexdigest() != expected:
        raise errors.ImageRefused(
            f'its {algorithm} is {digest.hexdigest()[:16]}…, not '
            f'{expected[:16]}…'
        )


@contextlib.asynccontextmanager
async def _closing(chunks: AsyncIterable[bytes]) -> AsyncIterator[None]:
    """Close the source at the end, if it is a generator."""
    try:
        yield
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def _finish(part: IO[bytes], image: wire.Image, folder: pathlib.Path) -> int:
    """Inspect, make durable, give it its name."""
    part.flush()
    virtual = inspect(pathlib.Path(part.name), image)
    os.fsync(part.fileno())
    os.replace(part.name, image_path(folder, image.digest))
    files.sync_folder(folder)
    return virtual


def drop_parts(folder: pathlib.Path) -> int:
    """Remove what an interrupted :func:`keep` left; how many files."""
    left = list(folder.glob('.part-*'))
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)
