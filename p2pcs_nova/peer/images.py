# SPDX-License-Identifier: Apache-2.0
"""The images on this PC: each fetched once, kept while there is room.

Files are named by digest and read-only, for root and for the group that
guests' processes run as: whoever else uses this PC sees their names in the
list of processes.  An image that a run right names is never removed; of the
others the one least recently used goes first when room is needed.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import trio

from p2pcs_nova import errors, imaging, wire

Fetch = Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]]

STALL_S = 30.0
"""A sender that is silent this long is given up."""
KEEP_FREE = 256 * 2**20
"""Bytes that a download leaves free on the file system."""
PIECE = 2**20
"""Bytes gathered before a thread writes them."""


class Images:
    """The cache of one PC.

    :param in_use: the digests that run rights name
    :param spared: bytes that a download leaves free, measured in a thread
    """

    def __init__(
        self,
        folder: pathlib.Path,
        in_use: Callable[[], frozenset[str]],
        spared: Callable[[], int] = lambda: KEEP_FREE,
    ) -> None:
        self._folder = folder
        self._in_use = in_use
        self._spared = spared
        self._coming: dict[str, int] = {}
        """Bytes of the images that are on their way, by digest."""
        self._locks: dict[str, trio.Lock] = {}

    def open(self) -> None:
        """Make the folder; drop what interrupted downloads left. Blocks."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # QEMU may run as another user; the names cannot be listed.
        self._folder.chmod(0o711)
        imaging.drop_parts(self._folder)

    def has(self, digest: str) -> bool:
        """Whether it is here, complete."""
        return self.path(digest).exists()

    def path(self, digest: str) -> pathlib.Path:
        """Where it is, or would be."""
        return imaging.image_path(self._folder, digest)

    async def get(self, image: wire.Image, fetch: Fetch) -> int:
        """Have the image here; the size of its virtual disk in bytes.

        Whoever asks for one that is on its way waits for it.

        :raises ImageRefused: its bytes or header are not as announced
        :raises NoSpace: there is no room, even without unused images
        :raises Unreachable: the sender fell silent
        """
        lock = self._locks.setdefault(image.digest, trio.Lock())
        async with lock:
            if not self.has(image.digest):
                await self._download(image, fetch)
            # Looked at for each use: the format is this request's word.
            return await trio.to_thread.run_sync(self._use, image)

    async def _download(self, image: wire.Image, fetch: Fetch) -> None:
        others = sum(self._coming.values())
        self._coming[image.digest] = image.size_bytes
        try:
            in_use = self._in_use()
            await trio.to_thread.run_sync(
                self._make_room, image, others, in_use
            )
            async with fetch() as chunks:
                await imaging.keep(image, _pieces(chunks), self._folder)
        finally:
            del self._coming[image.digest]
        self.path(image.digest).chmod(0o400)

    def show(self, digest: str, group: int) -> None:
        """Let the processes of guests read it, and nobody else. Blocks."""
        os.chown(self.path(digest), -1, group)
        self.path(digest).chmod(0o440)

    def _use(self, image: wire.Image) -> int:
        path = self.path(image.digest)
        os.utime(path)
        return imaging.inspect(path, image)

    def _make_room(
        self, image: wire.Image, others: int, in_use: frozenset[str]
    ) -> None:
        needed = image.size_bytes + others + self._spared()
        kept_names = {self.path(d).name for d in in_use}
        unused = [
            path
            for path in self._folder.iterdir()
            if path.name not in kept_names and not path.name.startswith('.')
        ]
        unused.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        while imaging.free_bytes(self._folder) < needed:
            if not unused:
                free = imaging.free_bytes(self._folder)
                kept = needed - image.size_bytes
                raise errors.NoSpace(
                    f'an image of {image.size_bytes >> 20} MiB does not fit '
                    f'in {self._folder}: {free >> 20} MiB are free, and '
                    f'{kept >> 20} are kept for the owner, for instances '
                    'and for images on their way'
                )
            unused.pop().unlink(missing_ok=True)


async def _pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in larger pieces; no pause longer than STALL_S."""
    piece = bytearray()
    while True:
        chunk = None
        with trio.move_on_after(STALL_S) as scope:
            with contextlib.suppress(StopAsyncIteration):
                chunk = await anext(chunks)
        if scope.cancelled_caught:
            raise errors.Unreachable(
                f'the image stopped coming for {STALL_S:g} s'
            )
        if chunk is None:
            break
        piece += chunk
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
