# SPDX-License-Identifier: Apache-2.0
"""The images that a gateway holds for its PCs, by digest."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import AsyncIterable, Callable

import trio

from p2pcs_nova import errors, imaging, wire
from p2pcs_nova.gateway import book as books

LOG = logging.getLogger(__name__)


class Images:
    """Takes images from the driver and gives them to PCs.

    :param verify: opens a run right, BadRunRight if nobody may sign so
    """

    def __init__(
        self,
        folder: pathlib.Path,
        book: books.Book,
        verify: Callable[[wire.Signed], wire.RunRight],
    ) -> None:
        self._folder = folder
        self._book = book
        self._verify = verify
        self._taking: dict[str, trio.Lock] = {}

    async def clean(self) -> None:
        """Remove what a crash has left; once, at the start."""
        await trio.to_thread.run_sync(imaging.drop_parts, self._folder)

    def has(self, digest: str) -> bool:
        """Whether all its bytes are here, verified."""
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
            await imaging.keep(image, chunks, self._folder)
            await self._book.add_image(image)
        LOG.info(
            'image %s: %d bytes of %s',
            image.digest[:23],
            image.size_bytes,
            image.format,
        )

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
