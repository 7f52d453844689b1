# SPDX-License-Identifier: Apache-2.0
"""Gateways that share the slices through a real etcd."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import trio

from p2pcs_nova import wire
from p2pcs_nova.bootclock import boottime
from p2pcs_nova.gateway.etcd_ledger import EtcdLedger
from p2pcs_nova.terms.shared import OneOfSeveral
from tests.support import etcd_server, fake_pcs, gateways

SLICE = 'all'
DEADLINE_S = 60.0


class Gateway:
    """One of several, which takes a slice when it is told to."""

    def __init__(
        self,
        folder: pathlib.Path,
        name: str,
        pcs: fake_pcs.Office,
        server: etcd_server.Server,
        **how: Any,
    ) -> None:
        prefix = str(folder)
        self.pcs = pcs
        self.terms = OneOfSeveral(name, prefix, server.connect, boottime)
        self.service = gateways.make_service(
            folder / name,
            pcs,
            clock=boottime,
            ledger=EtcdLedger(server.connect(), prefix),
            **how,
        )
        self.command = wire.Command(SLICE, wire.Counter(0, 0))

    async def take(
        self, seconds: float = DEADLINE_S, slice_: str = SLICE
    ) -> None:
        """Command a slice, which nobody has."""
        await self.service.settle_era()
        self.terms.renew()
        term = self.terms.take(slice_)
        assert term is not None
        self.command = wire.Command(slice_, term)
        await self.service.take_term(
            slice_, wire.TermRequest(boottime() + seconds, term)
        )

    def lose(self) -> None:
        """The slice is free; this gateway does not know so."""
        self.terms.give_back(self.command)

    def placed(self) -> list[wire.Placed]:
        """What it knows of the slice."""
        return list(self.service.placements(self.command.slice).instances)


@contextlib.asynccontextmanager
async def running(
    folder: pathlib.Path,
    pcs: fake_pcs.Office,
    server: etcd_server.Server,
    **how: Any,
) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two that have heard of every PC, and have no slice yet."""
    server.begin_era(str(folder))
    one, two = (Gateway(folder, name, pcs, server, **how) for name in 'ab')
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            for gateway in (one, two):
                await nursery.start(gateway.service.run)
                pcs.tell(gateway.service)
            yield one, two
            nursery.cancel_scope.cancel()
