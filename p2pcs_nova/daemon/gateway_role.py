# SPDX-License-Identifier: Apache-2.0
"""What speaks for slices: the gateway's service, fed by the overlay."""

from __future__ import annotations

import random

import trio
from oslo_config import cfg
from starlette.routing import Route

from gossip import events as news
from gossip.descriptor import Member, Status
from gossip.descriptor import Role as MemberRole
from gossip.runtime import boottime
from p2pcs_nova import errors, etcd, names, run_right, wire
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.daemon import map_writer, overlay, policy_door
from p2pcs_nova.daemon.share import Share
from p2pcs_nova.daemon.station import Station
from p2pcs_nova.gateway import api, etcd_ledger, options, service, view
from p2pcs_nova.policy.partition import Partition
from p2pcs_nova.terms import shared

_LIVENESS = {
    Status.ALIVE: view.Liveness.ALIVE,
    Status.SUSPECT: view.Liveness.SUSPECT,
    Status.DEAD: view.Liveness.FAILED,
    Status.LEFT: view.Liveness.LEFT,
}


_BARS = {
    'revoked': view.Liveness.REVOKED,
    'contested': view.Liveness.CONTESTED,
}


class GatewayRole:
    """The role of a gateway; see :class:`p2pcs_nova.daemon.role.Role`."""

    def __init__(self, station: Station, rng: random.Random) -> None:
        conf, me = station.conf.gateway, station.me.peer_id
        key = station.store.key()
        self._net = station.net
        self._writer = map_writer.MapWriter(
            station.policies,
            me,
            key,
            elected=self._is_first,
            records=lambda: list(self._net.peer_records().values()),
            needed=lambda: self._service.needed(),
        )
        self._connect = station.connect
        self._out: dict[str, dict[str, str]] = {}
        """Why members are to take no part, by peer and cause."""
        shared_with, former = _ledgers(station.conf)
        self._service = service.GatewayService(
            layout=station.places,
            partition=station.policies.in_force.partition,
            peer=me,
            name=station.conf.name,
            sign=lambda right: run_right.sign_run_right(right, key, me),
            verify=self._verify,
            connect=self._connect_peer,
            clock=boottime,
            journal=station.journal,
            rng=rng,
            options=options.Options(
                claim_width=conf.claim_width,
                claim_timeout_s=conf.claim_timeout_s,
                build_timeout_s=conf.build_timeout_s,
            ),
            ledger=shared_with,
            former=former,
            era=lambda: station.policies.in_force.era,
        )

    def remote_routes(self) -> list[Route]:
        """Images, for PCs that hold a run right."""
        return api.peer_routes(self._service)

    def local_routes(self) -> list[Route]:
        """Slices and instances: for the driver and the operator."""
        return [
            policy_door.hosts_route(self._writer.hear),
            *api.local_routes(self._service),
        ]

    def on_event(self, event: news.Event) -> None:
        """Feed the service what the overlay says of others."""
        if isinstance(event, news.RecordChanged):
            if event.peer.hex() not in self._out:
                self._on_record(event.peer, event.part, event.payload)
        elif isinstance(event, news.PeerLeft):
            self._service.peer_gone(event.peer.hex())
        elif isinstance(
            event,
            news.PeerJoined
            | news.PeerSuspected
            | news.PeerRecovered
            | news.PeerChanged
            | news.PeerFailed,
        ):
            self._service.peer_changed(member_to_seen(event.member))

    def on_policy(self, partition: Partition) -> None:
        """Speak for these slices."""
        self._service.set_partition(partition)

    def _is_first(self) -> bool:
        """Whether no gateway is alive with a lower id."""
        return self._net.peer == min(
            (
                member.peer
                for member in self._net.alive()
                if member.role is MemberRole.GATEWAY
            ),
            default=self._net.peer,
        )

    def on_out(self, peer: bytes, why: str, reason: str) -> None:
        """Let a PC take no part, or take part again."""
        name = peer.hex()
        if reason:
            self._out.setdefault(name, {})[why] = reason
        else:
            self._out[name].pop(why)
        bars = [
            view.Bar(state, self._out[name][why])
            for why, state in _BARS.items()
            if why in self._out[name]
        ]
        self._service.peer_barred(name, bars[0] if bars else None)
        if not bars:
            del self._out[name]
            for record in self._net.records(peer):
                self._on_record(record.peer, record.part, record.payload)

    async def let_go(self, force: bool) -> None:
        """A gateway does not leave: its slices would have nobody."""
        raise errors.Forbidden('a gateway does not leave')

    async def occupied(self) -> frozenset[str]:
        """The slices of all gateways' instances."""
        return await self._service.occupied()

    def share(self) -> Share:
        """A gateway offers nothing."""
        spoken = ', '.join(self._service.slice_names)
        if not spoken:
            spoken = 'no slice: there is no policy yet'
        return Share(
            reasons=(f'A gateway offers nothing; it speaks for {spoken}.',)
        )

    async def run(
        self,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve, knowing all members from the start."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._service.run)
            for member in self._net.members():
                self._service.peer_changed(member_to_seen(member))
            nursery.start_soon(self._writer.run)
            task_status.started()

    def _on_record(self, peer: bytes, part: str, payload: bytes) -> None:
        name = peer.hex()
        if part in (overlay.ATTRIBUTES_PART, overlay.CAPACITY_PART):
            self._service.peer_record(name, self._net.peer_record(peer))
        elif part.startswith(overlay.INSTANCES_PART):
            self._service.instances_record(
                name, part, self._net.read(payload, wire.InstancesRecord)
            )

    def _connect_peer(
        self,
        peer: str,
        command: wire.Command,
        timeout_s: float,
        request_id: str,
    ) -> RemoteClient:
        return self._connect(peer, names.PEER, command, timeout_s, request_id)

    def _verify(self, signed: wire.Signed) -> wire.RunRight:
        """A run right of any gateway of the overlay.

        :raises BadRunRight: not by a gateway that we know
        """
        key = self._net.gateway_key(signed.signer)
        if key is None:
            raise errors.BadRunRight(f'{signed.signer} is not a gateway')
        return run_right.open_run_right(signed, key)


def _ledgers(
    conf: cfg.ConfigOpts,
) -> tuple[etcd_ledger.EtcdLedger | None, etcd_ledger.EtcdLedger | None]:
    """What we share with other gateways, and what we shared before."""
    cluster = shared.conf_to_cluster(conf)
    if cluster is None:
        return None, None
    found = etcd_ledger.EtcdLedger(etcd.Etcd(cluster), conf.terms.etcd_prefix)
    return (None, found) if conf.terms.alone else (found, None)


def member_to_seen(member: Member) -> view.PeerSeen:
    """A member of the overlay as the gateway's service wants it."""
    return view.PeerSeen(
        peer=member.peer.hex(),
        role=member.role.name.lower(),
        host=member.address.host,
        port=member.request_port,
        liveness=_LIVENESS[member.status],
        boot=member.boot_id.hex(),
    )
