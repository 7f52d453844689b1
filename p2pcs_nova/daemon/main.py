# SPDX-License-Identifier: Apache-2.0
"""The daemon: overlay, listeners and the role put together.

Everything that waits lives in one nursery; a signal cancels it.  Guests
are not the daemon's children: they run on when it ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import random
import signal
import socket
import time

import trio
from oslo_config import cfg

from gossip import events as news
from gossip.config import NodeConfig
from gossip.descriptor import Address, Status
from gossip.node import Node
from gossip.runtime import Runtime, boottime, open_socket
from p2pcs_nova import errors, layout, names, version, wire
from p2pcs_nova.client.pool import ConnectionPool
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.daemon import addresses, doors, overlay
from p2pcs_nova.daemon.role import Role
from p2pcs_nova.identity import credentials, tls
from p2pcs_nova.identity.store import IdentityStore, Membership

LOG = logging.getLogger(__name__)

STOP_S = 10.0
"""Longest time that an orderly end may take."""


class Daemon:
    """One run of the daemon.

    :raises NotJoined: this machine is in no overlay
    :raises OSError: a port is taken, or the state cannot be written
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.conf = conf
        self.places = layout.Layout(pathlib.Path(conf.state_dir))
        self.store = IdentityStore(self.places.identity)
        self.me: Membership = self.store.load()
        self.boot_id = os.urandom(8)
        self.trust = credentials.membership_to_trust(self.me)
        self.net = overlay.Overlay()
        self.notes: dict[str, str] = {}
        self.tls = tls.mutual_client(
            self.store.key_path, self.me.chain, self.me.root
        )
        self.pool = ConnectionPool(self.tls)
        self.seeds = addresses.parse_seeds(self.me.seeds)
        self.address = addresses.own_address(
            conf.advertise_address, conf.bind_address, conf.port, self.seeds
        )

    # -- for the roles ------------------------------------------------------

    def connect(
        self,
        peer: str,
        role: str,
        command: wire.Command | None,
        timeout_s: float,
        request_id: str = '',
    ) -> RemoteClient:
        """Requests to another daemon, wherever it is now.

        :raises Unreachable: the overlay does not know it
        """
        where = self.net.request_address(peer)
        if where is None:
            raise errors.Unreachable(f'{peer} is not in the overlay')
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

    def status(self, role: Role) -> wire.DaemonStatus:
        """What ``p2pcs-peer status`` shows."""
        share = role.share()
        members = self.net.members()
        failed = sum(m.status is Status.DEAD for m in members)
        return wire.DaemonStatus(
            peer=self.me.peer_id,
            name=self.conf.name,
            role=self.me.role,
            overlay=self.me.overlay,
            address=addresses.to_text(*self.address),
            members_alive=len(members) - failed,
            members_failed=failed,
            offer=share.offer,
            attributes=share.attributes,
            used=share.used,
            slice=share.slice,
            draining=share.draining,
            instances=share.instances,
            reasons=(*share.reasons, *self.notes.values()),
            release=version.release(),
        )

    def is_revoked(self, peer: str) -> bool:
        """Whether the overlay has put this member out."""
        return self.trust.is_revoked(bytes.fromhex(peer))

    # -- running ------------------------------------------------------------

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        boot = await trio.to_thread.run_sync(self.store.next_boot)
        with contextlib.closing(self._open_socket()) as sock:
            runtime = Runtime(self._node(boot), sock, deliver=self.net.deliver)
            self.net.attach(runtime)
            role = self._role()
            async with (
                doors.issuer_of(self) as issuer,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(self._stop_on_signal, nursery.cancel_scope)
                nursery.start_soon(runtime.run)
                nursery.start_soon(self._follow, role)
                await nursery.start(role.run)
                await doors.open_all(self, role, issuer, nursery)
                runtime.join(
                    [seed for seed in self.seeds if seed != self.address]
                )
                LOG.info(
                    '%s %s of overlay %s serves at %s',
                    self.me.role,
                    self.me.peer_id,
                    self.me.overlay,
                    addresses.to_text(*self.address),
                )
            await self._leave(runtime)

    async def _leave(self, runtime: Runtime) -> None:
        runtime.leave()
        with trio.CancelScope(
            shield=True, deadline=trio.current_time() + STOP_S
        ):
            await self.pool.aclose()
        LOG.info('stopped')

    def _open_socket(self) -> socket.socket:
        where = Address(self.conf.bind_address, self.conf.port)
        try:
            return open_socket(where)
        except OSError as error:
            raise OSError(
                error.errno,
                f'UDP port {where.port} at {where.host}: {error.strerror}; '
                'does another p2pcs-peer run?',
            ) from None

    def _node(self, boot: int) -> Node:
        return Node(
            NodeConfig(),
            credentials.membership_to_identity(
                self.me, self.store.key(), self.conf.port
            ),
            self.trust,
            credentials.membership_to_ring(self.me),
            address=self.address,
            boot=boot,
            boot_id=self.boot_id,
            rng=random.Random(os.urandom(16)),  # noqa: S311
            now=boottime(),
            now_wall=time.time(),  # noqa: TID251
        )

    def _role(self) -> Role:
        if self.me.role == names.GATEWAY:
            from p2pcs_nova.daemon.gateway_role import GatewayRole

            return GatewayRole(
                self.conf,
                self.places,
                self.net,
                self.connect,
                peer_id=self.me.peer_id,
                key=self.store.key(),
                rng=random.Random(os.urandom(16)),  # noqa: S311
            )
        from p2pcs_nova.daemon.peer_role import PeerRole

        return PeerRole(
            self.conf,
            self.places,
            self.net,
            self.connect,
            peer_id=self.me.peer_id,
            boot_id=self.boot_id.hex(),
            release=version.release(),
        )

    async def _follow(self, role: Role) -> None:
        """Hand on what happens in the overlay, in order."""
        async for event in self.net.changes:
            if isinstance(event, news.BootRaised):
                await trio.to_thread.run_sync(
                    self.store.raise_boot, event.boot
                )
            elif isinstance(event, news.IdentityContested):
                self._contested(event)
            role.on_event(event)

    def _contested(self, event: news.IdentityContested) -> None:
        text = (
            f'Two machines use the identity {event.peer.hex()}: a disk was '
            'cloned.  Let one of them join anew.'
        )
        if self.notes.get('contested') != text:
            LOG.error('%s', text)
        self.notes['contested'] = text

    async def _stop_on_signal(self, scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(
            signal.SIGTERM, signal.SIGINT
        ) as signals:
            async for number in signals:
                LOG.info('stopping on %s', signal.Signals(number).name)
                scope.cancel()
                return


async def serve(conf: cfg.ConfigOpts) -> None:
    """Run the daemon until a signal ends it."""
    await Daemon(conf).run()
