# SPDX-License-Identifier: Apache-2.0
"""A PC: its service, its records, and whom it believes."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import trio
from oslo_config import cfg
from starlette.routing import Route

from gossip import events as news
from gossip.runtime import boottime
from p2pcs_nova import attributes, errors, names, version, wall, wire
from p2pcs_nova.daemon import choosing, overlay
from p2pcs_nova.daemon.share import Share
from p2pcs_nova.daemon.station import Station
from p2pcs_nova.peer import api, capacity, kvm_probe, measuring, service
from p2pcs_nova.peer.libvirt_host import LibvirtHost
from p2pcs_nova.peer.surroundings import Surroundings
from p2pcs_nova.policy.document import Ratios
from p2pcs_nova.policy.partition import Partition

LOG = logging.getLogger(__name__)

CLONE_S = 4.0
"""In which the overlay finds out that our disk is a clone's: what the other
one runs must not be started here too."""
FETCH_SILENCE_S = 30.0
"""Longest silence of a gateway that sends an image."""


class PeerRole:
    """The role of a PC; see :class:`p2pcs_nova.daemon.role.Role`."""

    def __init__(self, station: Station) -> None:
        conf = station.conf
        self._net = station.net
        self._connect = station.connect
        self._changed = trio.Event()
        self._too_large = ''
        self._measuring = measuring.Measuring(
            station.places.root,
            station.places.measured,
            wall.utc_now,
            self._on_change,
        )
        self._choosing = choosing.Choosing(
            station.me.peer_id,
            records=self._net.peer_records,
            bound=lambda: self._service.standing.bound,
            choose=self._choose,
        )
        self._service = service.PeerService(
            station.places,
            owner_rules(conf),
            LibvirtHost(
                conf.hypervisor.uri,
                call_timeout_s=conf.hypervisor.call_timeout_s,
            ),
            Surroundings(
                peer_id=station.me.peer_id,
                name=conf.name,
                boot_id=station.boot_id.hex(),
                release=version.release(),
                clock=boottime,
                gateway_key=self._net.gateway_key,
                fetch_image=self._fetch_image,
                journal=station.journal,
                on_change=self._on_change,
                probe=_probe(conf),
                measured=self._measuring.said,
            ),
            emulator=conf.hypervisor.emulator,
            restore_after_s=CLONE_S,
        )

    def remote_routes(self) -> list[Route]:
        """Reservations, instances: for gateways."""
        return api.routes(self._service.orders)

    def local_routes(self) -> list[Route]:
        """The owner's word."""
        return api.local_routes(self._service.standing)

    def on_event(self, event: news.Event) -> None:
        """What others are decides which slice we are in."""
        if isinstance(event, news.PeerChanged | news.PeerRecovered):
            return
        self._choosing.look_again()

    def on_policy(self, partition: Partition) -> None:
        """Choose our slice by this."""
        self._choosing.follow(partition)

    def on_out(self, peer: bytes, why: str, reason: str) -> None:
        """Offer nothing and start nothing while we are to take no part."""
        if peer == self._net.peer:
            self._service.put_out(why, reason)

    async def let_go(self, force: bool) -> None:
        """Destroy what is here, by the owner's word."""
        await self._service.let_go(force)

    async def occupied(self) -> frozenset[str]:
        """The slice of what is here."""
        return frozenset({self._service.standing.bound} - {''})

    def share(self) -> Share:
        """What this PC offers, runs, and why."""
        reasons = self._service.reasons()
        if self._too_large:
            reasons = (*reasons, self._too_large)
        return Share(
            offer=self._service.offer(),
            attributes=self._service.attributes(),
            used=self._service.used(),
            slice=self._service.standing.slice,
            bound=self._service.standing.bound,
            draining=self._service.standing.draining,
            instances=self._service.statuses(),
            reasons=reasons,
        )

    async def run(
        self,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve, and tell the overlay of every change."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._service.run)
            nursery.start_soon(self._measuring.run)
            self._publish()
            nursery.start_soon(self._choosing.run)
            task_status.started()
            while True:
                await self._changed.wait()
                self._changed = trio.Event()
                self._publish()

    async def _choose(
        self, name: str, drained: frozenset[str], ratios: Ratios
    ) -> None:
        await self._service.choose(name, drained, ratios)

    def _on_change(self) -> None:
        self._changed.set()
        self._choosing.look_again()

    def _publish(self) -> None:
        problem = ''
        try:
            self._net.publish_peer(self._service.record())
        except overlay.RecordTooLarge as error:
            problem = str(error)
        try:
            self._net.publish_instances(self._service.statuses())
        except overlay.RecordTooLarge as error:
            problem = str(error)
        if problem and problem != self._too_large:
            LOG.error('%s', problem)
        self._too_large = problem

    @contextlib.asynccontextmanager
    async def _fetch_image(
        self, digest: str, right: wire.Signed
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        if self._net.gateway_key(right.signer) is None:
            raise errors.Unreachable(
                f'gateway {right.signer} is not in the overlay'
            )
        async with (
            self._connect(
                right.signer, names.GATEWAY, None, FETCH_SILENCE_S
            ) as client,
            contextlib.aclosing(client.fetch_image(digest, right)) as chunks,
        ):
            yield chunks


def owner_rules(conf: cfg.ConfigOpts) -> capacity.OwnerRules:
    """Section ``[owner]`` as the PC's rules."""
    owner = conf.owner
    return capacity.OwnerRules(
        vcpus=owner.vcpus,
        memory_mb=owner.memory_mb,
        disk_mb=owner.disk_mb,
        keep_vcpus=owner.keep_vcpus,
        keep_memory_mb=owner.keep_memory_mb,
        keep_disk_mb=owner.keep_disk_mb,
        attributes=attributes.read(owner.attributes),
        bridge_mappings=dict(owner.bridge_mappings),
    )


def _probe(
    conf: cfg.ConfigOpts,
) -> Callable[[], Awaitable[kvm_probe.KvmVerdict]] | None:
    if not conf.hypervisor.probe_kvm:
        return None
    return functools.partial(
        kvm_probe.kvm_works,
        conf.hypervisor.emulator,
        conf.hypervisor.probe_timeout_s,
    )
