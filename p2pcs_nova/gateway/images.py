# SPDX-License-Identifier: Apache-2.0
"""The images that a gateway holds for its PCs, by digest.

Whoever may upload to Glance fills this folder, and the gateway's records
are on the same disk: some of it stays free, and images that no instance
uses go, the longest unused first.
"""

from __future__ import annotations

import logging
import math
import pathlib
from collections.abc import AsyncIterable, Callable, Iterable

import trio

from p2pcs_nova import errors, imaging, wire
from p2pcs_nova.gateway import book as books

LOG = logging.getLogger(__name__)

KEEP_FREE = 512 * 2**20
"""Bytes that an image leaves free on the file system."""
KEPT_S = 3600.0
"""An image that was asked for in this time is kept: a spawn may follow."""


class Images:
    """Takes images from the driver and gives them to PCs.

    :param verify: opens a run right, BadRunRight if nobody may sign so
    :param clock: seconds of CLOCK_BOOTTIME
    """

    def __init__(
        self,
        folder: pathlib.Path,
        book: books.Book,
        verify: Callable[[wire.Signed], wire.RunRight],
        clock: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._book = book
        self._verify = verify
        self._clock = clock
        self._asked_at: dict[str, float] = {}
        """When each was last wanted, by digest."""
        self._taking: dict[str, trio.Lock] = {}
        self._coming: dict[str, int] = {}
        """Bytes of each that is on its way."""

    async def clean(self) -> None:
        """Remove what a crash has left; once, at the start."""
        await trio.to_thread.run_sync(imaging.drop_parts, self._folder)

    def has(self, digest: str) -> bool:
        """Whether all its bytes are here, verified; they stay for a while."""
        self._asked_at[digest] = self._clock()
        return (
            digest in self._book.images
            and imaging.image_path(self._folder, digest).is_file()
        )

    async def put(
        self, image: wire.Image, chunks: AsyncIterable[bytes]
    ) -> None:
        """Take an image; one that is here already is kept.

        Two who bring the same image take turns.

        :raises ImageRefused: not the bytes announced, or an unsafe
            header; nothing is kept
        :raises NoSpace: the gateway's disk is full; nothing is kept
        """
        async with self._taking.setdefault(image.digest, trio.Lock()):
            if self.has(image.digest):
                async for _ in chunks:
                    continue
                return
            coming = sum(self._coming.values())
            self._coming[image.digest] = image.size_bytes
            try:
                await trio.to_thread.run_sync(
                    _make_room, self._folder, image, coming, self._unused()
                )
                await imaging.keep(image, chunks, self._folder)
            finally:
                del self._coming[image.digest]
            await self._book.add_image(image)
        LOG.info(
            'image %s: %d bytes of %s',
            image.digest[:23],
            image.size_bytes,
            image.format,
        )

    def _unused(self) -> list[str]:
        """Digests that no instance has and nobody wants, the oldest first."""
        now = self._clock()
        used = {row.spec.image.digest for row in self._book.rows.values()}
        ages = {
            digest: now - self._asked_at.get(digest, -math.inf)
            for digest in self._book.images.keys() - used
        }
        old = [digest for digest, age in ages.items() if age > KEPT_S]
        return sorted(old, key=lambda digest: -ages[digest])

    def find_for(
        self, caller: str, digest: str, signed: wire.Signed
    ) -> tuple[pathlib.Path, int]:
        """The file and the size of an image, for the PC that may run it.

        :param caller: the PC's id, proved by its certificate
        :raises BadRunRight: the right is not ours, another PC's or names
            another image; or its epoch is over
        :raises NotFound: the image is not here
        """
        right = self._verify(signed)
        if right.peer != caller:
            raise errors.BadRunRight("the run right is another PC's")
        if right.image != digest:
            raise errors.BadRunRight('the run right names another image')
        row = self._book.rows.get(right.instance)
        if row is None or row.epoch != right.epoch or row.peer != caller:
            raise errors.BadRunRight('the run right is over')
        if not self.has(digest):
            raise errors.NotFound(f'image {digest[:23]}… is not here')
        path = imaging.image_path(self._folder, digest)
        return path, self._book.images[digest].size_bytes


def _make_room(
    folder: pathlib.Path,
    image: wire.Image,
    coming: int,
    unused: Iterable[str],
) -> None:
    """Remove what is not used, as far as that is needed. Blocks.

    :param coming: bytes of other images that are on their way
    :raises NoSpace: that is not enough
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    needed = image.size_bytes + coming + KEEP_FREE
    for digest in unused:
        if imaging.free_bytes(folder) >= needed:
            return
        imaging.image_path(folder, digest).unlink(missing_ok=True)
        LOG.info('image %s was not used and made room', digest[:23])
    free = imaging.free_bytes(folder)
    if free < needed:
        raise errors.NoSpace(
            f'an image of {image.size_bytes >> 20} MiB does not fit on the '
            f'gateway: {free >> 20} MiB are free'
        )
