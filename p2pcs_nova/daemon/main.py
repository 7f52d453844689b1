# SPDX-License-Identifier: Apache-2.0
"""The daemon: overlay, listeners and the role put together.

Everything that waits lives in one nursery; a signal cancels it.  Guests
are not the daemon's children: they run on when it ends.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import random
import signal
import socket

import trio
from oslo_config import cfg

from gossip import events as news
from gossip.config import NodeConfig
from gossip.descriptor import Address, PeerId
from gossip.node import Node
from gossip.runtime import Runtime, boottime, open_socket, wall_time
from p2pcs_nova import names, notify
from p2pcs_nova.daemon import contest, doors, leaving
from p2pcs_nova.daemon.role import Role
from p2pcs_nova.daemon.station import Station
from p2pcs_nova.endpoint import endpoint_to_text
from p2pcs_nova.identity import credentials

LOG = logging.getLogger(__name__)

ADDRESS_S = 5.0
"""How often the machine's own address is looked at."""
STOP_S = 10.0
"""Longest time that an orderly end may take."""
REVOKED = (
    'it has been put out of the overlay by the operator; to come back it '
    'joins anew, with a new key: `p2pcs-peer leave --force`, '
    '`p2pcs-peer join TOKEN`'
)


async def serve(conf: cfg.ConfigOpts) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    :raises NotJoined: this machine is in no overlay
    :raises OSError: a port is taken, or the state cannot be written
    """
    station = Station(conf)
    boot = await trio.to_thread.run_sync(_next_boot, station)
    with (
        contextlib.closing(_open_socket(conf)) as sock,
        station.journal.kept(),
    ):
        runtime = Runtime(
            _make_node(station, boot), sock, deliver=station.net.deliver
        )
        station.net.attach(runtime)
        runtime.restore(station.store.revocations())
        role = _make_role(station)
        async with (
            doors.issuer_of(station) as issuer,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_stop_on_signal, nursery.cancel_scope)
            nursery.start_soon(runtime.run)
            nursery.start_soon(_follow, station, role)
            nursery.start_soon(_follow_address, station)
            station.ring.when_put_out = functools.partial(
                _tell_out, station, role, station.net.peer, 'revoked', REVOKED
            )
            nursery.start_soon(station.ring.run)
            nursery.start_soon(
                station.contests.watch,
                functools.partial(_tell_contest, station, role),
            )
            station.policies.on_change = role.on_policy
            station.policies.publish()
            role.on_policy(station.policies.in_force.partition)
            nursery.start_soon(station.policies.run)
            await nursery.start(role.run)
            await doors.open_all(station, role, issuer, nursery)
            runtime.join(
                [seed for seed in station.seeds if seed != station.address]
            )
            LOG.info(
                '%s %s of overlay %s serves at %s',
                station.me.role,
                station.me.peer_id,
                station.me.overlay,
                endpoint_to_text(*station.address),
            )
            notify.tell('READY=1')
            nursery.start_soon(notify.stay_alive)
        notify.tell('STOPPING=1')
        await _leave(station)
    if station.has_left:
        await trio.to_thread.run_sync(leaving.clear, station.places)


def _next_boot(station: Station) -> int:
    """Count this start, on a full disk in the ballast's place."""
    try:
        return station.store.next_boot()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        station.places.ballast.unlink(missing_ok=True)
        return station.store.next_boot()


async def _raise_boot(station: Station, boot: int) -> None:
    try:
        await trio.to_thread.run_sync(station.store.raise_boot, boot)
    except OSError as error:
        # The others remember it, and tell it after the next start.
        LOG.error('this start could not be counted: %s', error)


async def _leave(station: Station) -> None:
    station.net.runtime.leave()
    with trio.CancelScope(shield=True, deadline=trio.current_time() + STOP_S):
        await station.pool.aclose()
    LOG.info('stopped')


def _open_socket(conf: cfg.ConfigOpts) -> socket.socket:
    try:
        return open_socket(Address(conf.bind_address, conf.port))
    except OSError as error:
        raise OSError(
            error.errno,
            f'UDP port {conf.port} at {conf.bind_address}: {error.strerror}; '
            'does another p2pcs-peer run?',
        ) from None


def _make_node(station: Station, boot: int) -> Node:
    return Node(
        NodeConfig(),
        credentials.membership_to_identity(
            station.me, station.store.key(), station.conf.port
        ),
        station.trust,
        credentials.membership_to_ring(station.me),
        address=station.address,
        boot=boot,
        boot_id=station.boot_id,
        rng=random.Random(os.urandom(16)),  # noqa: S311
        now=boottime(),
        now_wall=wall_time(),
    )


def _make_role(station: Station) -> Role:
    """The role of our certificate; only its own modules are loaded."""
    if station.me.role == names.GATEWAY:
        from p2pcs_nova.daemon.gateway_role import GatewayRole

        return GatewayRole(station, random.Random(os.urandom(16)))  # noqa: S311
    from p2pcs_nova.daemon.peer_role import PeerRole

    return PeerRole(station)


async def _follow(station: Station, role: Role) -> None:
    """Hand on what happens in the overlay, in order."""
    async for event in station.net.changes:
        if isinstance(event, news.BootRaised) and not station.has_left:
            await _raise_boot(station, event.boot)
        elif isinstance(event, news.IdentityContested):
            if station.contests.note(event.peer):
                text = contest.contest_to_text(event.peer, event.places)
                _tell_contest(station, role, event.peer, text)
        elif isinstance(event, news.PeerRevoked):
            await _put_out(station, role, event)
        elif isinstance(event, news.RevocationVoid):
            _tell_out(station, role, event.peer, 'revoked', '')
        await station.gateways.on_event(event)
        station.ring.on_event(event)
        station.policies.on_event(event)
        try:
            role.on_event(event)
        except Exception:
            # What others publish must not end us, whatever we do with it.
            LOG.exception('not taken in: %r', event)


async def _follow_address(station: Station) -> None:
    """Tell the overlay when this machine is reached elsewhere: laptops."""
    while True:
        await trio.sleep(ADDRESS_S)
        found = station.find_address()
        if found is not None and found != station.address:
            LOG.info(
                'this machine is reached at %s now, not at %s',
                endpoint_to_text(*found),
                endpoint_to_text(*station.address),
            )
            station.address = found
            station.net.runtime.set_address(found)


def _tell_contest(
    station: Station, role: Role, peer: PeerId, text: str
) -> None:
    if text:
        LOG.error('%s', text)
    else:
        LOG.info('only one machine uses the identity %s now', peer.hex())
    _tell_out(station, role, peer, 'contested', text)


async def _put_out(
    station: Station, role: Role, event: news.PeerRevoked
) -> None:
    station.presence.turn_out(event.peer.hex())
    LOG.warning('%s has been put out of the overlay', event.peer.hex())
    _tell_out(station, role, event.peer, 'revoked', REVOKED)
    if station.has_left:
        return
    try:
        await station.keep(event.revocation)
    except OSError as error:
        # The others remember it, and tell it after the next start.
        LOG.error('this could not be stored: %s', error)


def _tell_out(
    station: Station, role: Role, peer: PeerId, why: str, text: str
) -> None:
    """Who is to take no part: for the role, and the owner if it is us."""
    if peer == station.net.peer:
        station.notes[why] = text
        if not text:
            del station.notes[why]
    role.on_out(peer, why, text)


async def _stop_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            LOG.info('stopping on %s', signal.Signals(number).name)
            scope.cancel()
            return
