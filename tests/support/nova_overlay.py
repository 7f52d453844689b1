# SPDX-License-Identifier: Apache-2.0
"""An overlay in which every compute host of Nova's tests is a slice.

Each is a slice of one PC, which has what the host's record in Nova's
database says.  The gateway's own code answers; only the socket is left
out.  So Nova's tests of its scheduler try ours where it does all it does.
"""

from __future__ import annotations

import uuid
from typing import Any

import trio
from nova import context as nova_context
from nova import objects

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import entries, fitting
from p2pcs_nova.gateway import view as views
from p2pcs_nova.policy.document import Policy, Site, Slice
from p2pcs_nova.policy.partition import Partition

ASKED: list[wire.FitRequest] = []
"""What was asked in this process."""


class HostsAsSlices:
    """``LocalClient`` as the scheduler uses it."""

    def __init__(self, socket: str, timeout_s: float = 10.0) -> None:
        self.socket = socket

    def fits(
        self, request: wire.FitRequest, *, request_id: str = ''
    ) -> wire.Fits:
        """What the hosts can take, as the database has them now."""
        ASKED.append(request)
        nodes = list(_nodes())
        names = tuple(dict.fromkeys(node.host for node in nodes))
        view = views.View(
            Partition(
                Policy(tuple(Site(name, (), (Slice(name),)) for name in names))
            )
        )
        for node in nodes:
            peer = uuid.UUID(node.uuid).hex
            view.see(
                views.PeerSeen(peer, 'peer', '::1', 7400, views.Liveness.ALIVE)
            )
            view.take_record(peer, _record(node))
        fits = fitting.Fitting(view)
        return trio.run(fits.answer, request, entries.Rows())


class NoOverlay(HostsAsSlices):
    """The daemon is out of reach."""

    def fits(
        self, request: wire.FitRequest, *, request_id: str = ''
    ) -> wire.Fits:
        """Nothing."""
        ASKED.append(request)
        raise errors.Unavailable('no daemon answers')


def _nodes() -> Any:
    context = nova_context.get_admin_context()
    for cell in objects.CellMappingList.get_all(context):
        if not cell.is_cell0():
            with nova_context.target_cell(context, cell) as inside:
                yield from objects.ComputeNodeList.get_all(inside)


def _record(node: Any) -> wire.PeerRecord:
    total = wire.Capacity(
        node.vcpus, node.memory_mb, max(node.local_gb, 0) * 1024
    )
    used = wire.Capacity(
        node.vcpus_used, node.memory_mb_used, max(node.local_gb_used, 0) * 1024
    )
    return wire.PeerRecord(
        name=node.host,
        offer=wire.Offer(total),
        attributes={'host': node.host},
        used=used,
        slice=node.host,
    )
