# SPDX-License-Identifier: Apache-2.0
"""Who may ask the daemon what, and where.

Three listeners: other daemons (mutual TLS), this machine (UNIX socket), and
PCs that want to join.  The role adds its routes to the daemon's own.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable

import trio
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gossip import errors as gossip_errors
from gossip.descriptor import Role as MemberRole
from p2pcs_nova import errors, names, wire
from p2pcs_nova.daemon import leaving, policy_door
from p2pcs_nova.daemon.role import Role
from p2pcs_nova.daemon.station import Station
from p2pcs_nova.endpoint import endpoint_to_text
from p2pcs_nova.identity import routes as joining
from p2pcs_nova.identity import tls
from p2pcs_nova.identity.issuing import Issuer
from p2pcs_nova.transport import handling, listeners
from p2pcs_nova.transport.application import make_application

SEEDS = 8
"""Addresses that a new peer is given to start from."""


@contextlib.asynccontextmanager
async def issuer_of(station: Station) -> AsyncIterator[Issuer | None]:
    """The issuer of a gateway; None on a PC."""
    if station.me.role != names.GATEWAY:
        yield None
        return
    issuer = await trio.to_thread.run_sync(
        functools.partial(
            Issuer,
            station.places.issuer,
            station.me,
            ring_keys=lambda: station.me.ring_keys,
            seeds=lambda: seeds_of(station, station.conf.port),
            join_seeds=lambda: seeds_of(station, station.conf.join_port),
            is_revoked=station.is_revoked,
        )
    )
    with contextlib.closing(issuer):
        yield issuer


def seeds_of(station: Station, port: int) -> tuple[str, ...]:
    """Members to start from: ourselves, other gateways, then PCs.

    :param port: that they are supposed to listen on, as we do
    """
    others = sorted(
        (m for m in station.net.alive() if m.peer != station.net.peer),
        key=lambda m: (m.role is not MemberRole.GATEWAY, m.peer),
    )
    hosts = [station.address.host, *(m.address.host for m in others)]
    return tuple(
        endpoint_to_text(host, port) for host in dict.fromkeys(hosts)
    )[:SEEDS]


async def open_all(
    station: Station, role: Role, issuer: Issuer | None, nursery: trio.Nursery
) -> None:
    """Listen everywhere; returns when all three listen.

    :raises OSError: a port or the socket is taken
    """
    conf, me, key = station.conf, station.me, station.store.key_path
    status = _status_route(station, role)
    policy = policy_door.member_route(station)
    relay = joining.make_relay(
        me,
        station.tls,
        functools.partial(_find, station),
        pool=station.pool,
    )
    remote = [status, policy, *role.remote_routes()]
    stop = nursery.cancel_scope.cancel
    local = [status, policy, _leave_route(station, role, stop)]
    local += role.local_routes()
    if issuer is not None:
        remote += joining.relay_routes(issuer)
        local += joining.token_routes(issuer)
        remote.append(_ring_route(station))
        local += [_revoke_route(station), _renew_route(station)]
        local += policy_door.operator_routes(station, role)
    await nursery.start(
        functools.partial(
            listeners.serve_mutual_tls,
            make_application(remote),
            tls.mutual_server(key, me.chain, me.root),
            conf.bind_address,
            conf.port,
            overlay=me.overlay,
            is_revoked=station.is_revoked,
            refusals=station.refusals,
            presence=station.presence,
        )
    )
    await nursery.start(
        functools.partial(
            listeners.serve_join,
            make_application(
                joining.join_routes(me, issuer=issuer, relay=relay)
            ),
            tls.join_server(key, me.chain),
            conf.bind_address,
            conf.join_port,
            refusals=station.refusals,
        )
    )
    await nursery.start(
        functools.partial(
            listeners.serve_unix,
            make_application(local),
            conf.socket,
            listeners.users_to_uids(conf.socket_users),
            refusals=station.refusals,
        )
    )


def _find(station: Station, peer: str) -> tuple[str, int] | None:
    return station.net.request_address(peer)


def _status_route(station: Station, role: Role) -> Route:
    async def status(request: Request) -> Response:
        return handling.answer(station.status(role.share()))

    return Route('/v1/status', status, methods=['GET'])


def _leave_route(
    station: Station, role: Role, stop: Callable[[], None]
) -> Route:
    async def leave(request: Request) -> Response:
        handling.require(request, 'local')
        body = await handling.decode(request, wire.LeaveRequest)
        left = await leaving.leave(station, role, body.force)
        response = handling.answer(left)

        async def end() -> None:
            stop()

        response.background = BackgroundTask(end)
        return response

    return Route('/v1/leave', leave, methods=['POST'])


def _revoke_route(station: Station) -> Route:
    """For the UNIX socket of a gateway: the operator's word."""

    async def revoke(request: Request) -> Response:
        handling.require_operator(request)
        peer = handling.path_part(request, 'peer', wire.PeerId)
        try:
            revocation = station.net.runtime.revoke(bytes.fromhex(peer))
        except gossip_errors.Misuse as error:
            raise errors.WrongState(
                f'{peer} cannot be put out: a gateway puts out peers only '
                f'({error})'
            ) from None
        await station.keep(revocation)
        await _renew_ring_key(station)
        return handling.answer(None)

    return Route('/v1/peers/{peer}/revoke', revoke, methods=['POST'])


def _ring_route(station: Station) -> Route:
    """For members: who has been put out does not come so far."""

    async def ring(request: Request) -> Response:
        handling.require(request, names.PEER, names.GATEWAY)
        keys = tuple(wire.RingKey(*key) for key in station.ring.keys)
        return handling.answer(wire.Ring(keys))

    return Route('/v1/ring', ring, methods=['GET'])


def _renew_route(station: Station) -> Route:
    """For the UNIX socket of a gateway: the operator's word."""

    async def renew(request: Request) -> Response:
        handling.require_operator(request)
        await _renew_ring_key(station)
        return handling.answer(None)

    return Route('/v1/ring', renew, methods=['POST'])


async def _renew_ring_key(station: Station) -> None:
    station.net.runtime.broadcast(await station.ring.renew())
