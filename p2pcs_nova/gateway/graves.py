# SPDX-License-Identifier: Apache-2.0
"""Deleted instances whose PCs have not yet obeyed: listed, waited for.

The reaper tells the PCs; here is what driver and operator see of that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import trio

from p2pcs_nova import errors, texts, wire
from p2pcs_nova.gateway import claims, store

LOG = logging.getLogger(__name__)


class Graves:
    """The tombstones of a gateway that wait for their PCs."""

    def __init__(self, tools: claims.Tools) -> None:
        self._tools = tools

    def listed(self, instance: str | None = None) -> wire.Graves:
        """All of them, or those of one instance."""
        graves = self._tools.book.graves
        return to_wire(
            graves.values()
            if instance is None
            else graves.of_instance(instance)
        )

    async def wait(self, slice_: str, instance: str) -> list[store.Grave]:
        """As long as a PC within reach may be about it, and not too long.

        :returns: epochs whose PCs have not obeyed by then, the latest first
        """
        with trio.move_on_after(self._tools.options.destroy_timeout_s):
            while any(map(self._is_asked, self._left(slice_, instance))):
                await self._tools.changed.wait()
        return self._left(slice_, instance)

    async def forget(self, instance: str, request_id: str) -> wire.Graves:
        """Wait no more for the PCs of a deleted instance.

        :raises NotFound: no tombstone of it waits
        :raises Unavailable: another gateway commands its slice, or nobody can
            say
        """
        given_up = [
            grave
            for grave in await self._tools.book.all_graves()
            if grave.instance == instance
        ]
        if not given_up:
            raise errors.NotFound(
                f'no PC is waited for to destroy instance {instance}'
            )
        for grave in given_up:
            await self._tools.book.forget(grave)
            LOG.warning(
                '[%s] instance %s: epoch %s on %s is given up',
                texts.or_dash(request_id),
                instance,
                grave.epoch,
                grave.peer_name,
            )
        self._tools.changed.notify()
        return to_wire(given_up)

    def _left(self, slice_: str, instance: str) -> list[store.Grave]:
        """Its epochs whose PCs have not yet obeyed, the latest first."""
        found = [
            grave
            for grave in self._tools.book.graves.of_instance(instance)
            if grave.slice == slice_
        ]
        return sorted(found, key=lambda grave: grave.epoch, reverse=True)

    def _is_asked(self, grave: store.Grave) -> bool:
        return self._tools.view.peer(grave.peer).reachable


def to_wire(graves: Iterable[store.Grave]) -> wire.Graves:
    """Tombstones, by instance and epoch."""
    return wire.Graves(
        tuple(
            wire.Grave(
                grave.instance,
                grave.epoch,
                grave.slice,
                grave.peer,
                grave.peer_name,
            )
            for grave in sorted(graves, key=lambda x: (x.instance, x.epoch))
        )
    )
