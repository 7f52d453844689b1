# SPDX-License-Identifier: Apache-2.0
"""What a daemon has whatever its role: identity, overlay, connections."""

from __future__ import annotations

import logging
import os
import pathlib
import random

import msgspec
import trio
from oslo_config import cfg

from gossip.descriptor import Address, Member, Status
from gossip.runtime import boottime, wall_time
from p2pcs_nova import errors, files, journal, layout, names, version, wire
from p2pcs_nova.client.pool import ConnectionPool
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.daemon import (
    addresses,
    contest,
    gateways,
    overlay,
    policies,
    ring,
)
from p2pcs_nova.daemon.share import Share
from p2pcs_nova.endpoint import endpoint_to_text
from p2pcs_nova.identity import credentials, tls
from p2pcs_nova.identity.store import (
    IdentityStore,
    KnownGateway,
    Membership,
)
from p2pcs_nova.policy.in_force import InForce
from p2pcs_nova.transport.presence import Presence
from p2pcs_nova.transport.refusals import Refusals

LOG = logging.getLogger(__name__)

NOWHERE = '127.0.0.1'
"""The address of a machine without a network: a PC may boot without."""


class Station:
    """One run of the daemon on this machine.

    :raises NotJoined: this machine is in no overlay
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.conf = conf
        self.places = layout.Layout(pathlib.Path(conf.state_dir))
        self.store = IdentityStore(self.places.identity)
        self.me: Membership = self.store.load()
        self.journal = journal.Journal(
            self.places.journal, conf.name, wall_time
        )
        self.boot_id = os.urandom(8)
        self.trust = credentials.membership_to_trust(self.me)
        self.net = overlay.Overlay()
        self.contests = contest.Contests(boottime)
        self.refusals = Refusals()
        self.presence = Presence()
        self.has_left = False
        """The identity is removed, and the daemon is to end."""
        self._keeping = trio.Lock()
        self.notes: dict[str, str] = {}
        """What the owner should know beside what the role says."""
        self.tls = tls.mutual_client(
            self.store.key_path, self.me.chain, self.me.root
        )
        self.pool = ConnectionPool(self.tls)
        self.gateways = gateways.Gateways(
            self.me.gateways, self.me.peer_id, self._keep_gateways
        )
        self.seeds = addresses.parse_seeds(
            dict.fromkeys(
                (*self.me.seeds, *(one.address for one in self.me.gateways))
            )
        )
        self.ring = ring.Ring(
            self.me.ring_keys,
            keep=self._keep_ring,
            seal=lambda keys: self.net.runtime.set_ring_keys(keys),
            ask=self._ask_for_ring,
            gateways=self.gateways.listed,
            me=self.me.peer_id,
            is_gateway=self.me.role == names.GATEWAY,
            rng=random.Random(self.boot_id),  # noqa: S311
        )
        self.policies = policies.Policies(
            self._stored_policy(),
            self.me.root_key,
            keep=self._keep_policy,
            publish=self.net.publish_policy,
            ask=self._ask_for_policy,
            others=self.net.policy_news,
            gateway_key=self.net.gateway_key,
            rng=random.Random(self.boot_id),  # noqa: S311
        )
        self.address = self.find_address() or Address(NOWHERE, conf.port)

    def find_address(self) -> Address | None:
        """Where others reach us now; None while nothing says it."""
        conf = self.conf
        self.notes.pop('address', None)
        try:
            return addresses.own_address(
                conf.advertise_address or '',
                conf.bind_address,
                conf.port,
                self.seeds,
            )
        except addresses.NoAddress as error:
            self.notes['address'] = f'Nobody reaches this machine: {error}.'
            return None

    def connect(
        self,
        peer: str,
        role: str,
        command: wire.Command | None,
        timeout_s: float,
        request_id: str = '',
    ) -> RemoteClient:
        """Requests to another daemon, wherever it is now.

        :param timeout_s: deadline of calls that do not say their own
        :raises Unreachable: the overlay does not know it
        """
        where = self.net.request_address(peer)
        if where is None:
            raise errors.Unreachable(f'{peer} is not in the overlay')
        return self._client(where, peer, role, command, timeout_s, request_id)

    def _client(
        self,
        where: Address,
        peer: str,
        role: str,
        command: wire.Command | None,
        timeout_s: float,
        request_id: str,
    ) -> RemoteClient:
        return RemoteClient(
            where,
            peer,
            role,
            self.me.overlay,
            self.tls,
            command,
            timeout_s,
            pool=self.pool,
            request_id=request_id,
        )

    def is_revoked(self, peer: str) -> bool:
        """Whether the overlay has put this member out."""
        return self.trust.is_revoked(bytes.fromhex(peer))

    async def keep(self, revocation: bytes) -> None:
        """Store a revocation; durable at return, idempotent."""
        async with self._keeping:
            await trio.to_thread.run_sync(
                self.store.add_revocation, revocation
            )

    async def _keep_ring(self, keys: ring.Keys) -> None:
        await self._keep_of_me(ring_keys=keys)

    async def _keep_gateways(self, known: tuple[KnownGateway, ...]) -> None:
        await self._keep_of_me(gateways=known)

    async def _keep_of_me(self, **changed: object) -> None:
        """Store what has changed of our membership."""
        async with self._keeping:
            me = msgspec.structs.replace(self.me, **changed)
            if not self.has_left:
                await trio.to_thread.run_sync(self.store.save, me)
            self.me = me

    async def _ask_for_ring(self, gateway: KnownGateway) -> wire.Ring:
        """Where it is now, or where it was last seen."""
        here = self.net.request_address(gateway.peer_id)
        places = [here] if here else addresses.parse_seeds([gateway.address])
        if not places:
            raise errors.Unreachable(f'{gateway.address} is no address')
        async with self._client(
            places[0],
            gateway.peer_id,
            names.GATEWAY,
            None,
            ring.ASK_TIMEOUT_S,
            '',
        ) as client:
            return await client.ring()

    def _stored_policy(self) -> InForce:
        """What was in force; what cannot be read is fetched anew."""
        try:
            data = self.places.policy.read_bytes()
            bundle = msgspec.json.decode(data, type=wire.PolicyBundle)
            return InForce.restore(bundle, self.me.root_key)
        except FileNotFoundError:
            return InForce()
        except (errors.BadPolicy, *wire.UNDECODABLE) as error:
            LOG.warning('%s is not used: %s', self.places.policy, error)
            return InForce()

    async def _keep_policy(self, bundle: wire.PolicyBundle) -> None:
        if not self.has_left:
            await trio.to_thread.run_sync(
                files.replace,
                self.places.policy,
                msgspec.json.encode(bundle),
            )

    async def _ask_for_policy(self, member: Member) -> wire.PolicyBundle:
        async with self.connect(
            member.peer.hex(),
            member.role.name.lower(),
            None,
            policies.ASK_TIMEOUT_S,
        ) as client:
            return await client.policy()

    def status(self, share: Share) -> wire.DaemonStatus:
        """What ``p2pcs-peer status`` shows.

        :param share: what the role adds
        """
        members = self.net.members()
        failed = sum(m.status is Status.DEAD for m in members)
        return wire.DaemonStatus(
            peer=self.me.peer_id,
            name=self.conf.name,
            role=self.me.role,
            overlay=self.me.overlay,
            address=endpoint_to_text(*self.address),
            members_alive=len(members) - failed,
            members_failed=failed,
            offer=share.offer,
            attributes=share.attributes,
            used=share.used,
            slice=share.slice,
            bound=share.bound,
            draining=share.draining,
            instances=share.instances,
            reasons=(*share.reasons, *self.notes.values()),
            release=version.release(),
            dropped=self.net.dropped(),
            refused=self.refusals.listed(),
            revoked=self.net.revoked(),
            ring_key=self.ring.number,
        )
