# SPDX-License-Identifier: Apache-2.0
"""The entries of a gateway's book: rows and graves, and where to find them.

A gateway has those of all its slices; a request is about one of these, or
about some PCs, and what it costs is not to grow with the others.
"""

from __future__ import annotations

from p2pcs_nova import wire
from p2pcs_nova.gateway import holdings, indexed, store


class Rows(indexed.Indexed[str, store.InstanceRow]):
    """By instance."""

    def __init__(self) -> None:
        shelves = indexed.Shelves[str, store.InstanceRow]
        self._by_slice = shelves(lambda row: row.slice)
        self._by_peer = shelves(lambda row: row.peer)
        self._by_group = shelves(_group_of)
        self.holdings = holdings.Holdings()
        """What the PCs hold by them."""
        super().__init__(self._by_slice, self._by_peer, self._by_group)

    def __setitem__(self, instance: str, row: store.InstanceRow) -> None:
        super().__setitem__(instance, row)
        self._sum_up(row.peer)

    def __delitem__(self, instance: str) -> None:
        peer = self[instance].peer
        super().__delitem__(instance)
        self._sum_up(peer)

    def _sum_up(self, peer: str) -> None:
        if held := self.on(peer):
            self.holdings[peer] = holdings.sum_up(held)
        else:
            del self.holdings[peer]

    def of_slice(self, name: str) -> list[store.InstanceRow]:
        """Those of a slice, in no order."""
        return self._by_slice.values(name)

    def of_group(
        self, group: wire.ServerGroup | None
    ) -> list[store.InstanceRow]:
        """Those of a server group, likewise; none of none."""
        return [] if group is None else self._by_group.values(group.id)

    def on(self, peer: str) -> list[store.InstanceRow]:
        """Those of a PC, likewise."""
        return self._by_peer.values(peer)


class Graves(indexed.Indexed[tuple[str, wire.Counter], store.Grave]):
    """By (instance, epoch)."""

    def __init__(self) -> None:
        shelves = indexed.Shelves[tuple[str, wire.Counter], store.Grave]
        self._by_slice = shelves(lambda grave: grave.slice)
        self._by_peer = shelves(lambda grave: grave.peer)
        self._by_instance = shelves(lambda grave: grave.instance)
        super().__init__(self._by_slice, self._by_peer, self._by_instance)

    def of_slice(self, name: str) -> list[store.Grave]:
        """Those of a slice, in no order."""
        return self._by_slice.values(name)

    def of_instance(self, instance: str) -> list[store.Grave]:
        """Those of an instance, likewise."""
        return self._by_instance.values(instance)

    def on(self, peer: str) -> list[store.Grave]:
        """Those of a PC, likewise."""
        return self._by_peer.values(peer)

    def peers(self) -> list[str]:
        """The PCs that have any."""
        return self._by_peer.labels()


def _group_of(row: store.InstanceRow) -> str:
    return '' if row.spec.group is None else row.spec.group.id
