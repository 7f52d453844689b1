# SPDX-License-Identifier: Apache-2.0
"""Who may ask the daemon what, and where.

Three listeners: other daemons (mutual TLS), this machine (UNIX socket), and
PCs that want to join.  The role adds its routes to the daemon's own.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gossip.descriptor import Role as MemberRole
from p2pcs_nova import names
from p2pcs_nova.daemon import addresses
from p2pcs_nova.identity import routes as joining
from p2pcs_nova.identity import tls
from p2pcs_nova.identity.issuing import Issuer
from p2pcs_nova.transport import handling, listeners
from p2pcs_nova.transport.application import make_application

if TYPE_CHECKING:
    from p2pcs_nova.daemon.main import Daemon
    from p2pcs_nova.daemon.role import Role

SEEDS = 8
"""Addresses that a new peer is given to start from."""


@contextlib.asynccontextmanager
async def issuer_of(daemon: Daemon) -> AsyncIterator[Issuer | None]:
    """The issuer of a gateway; None on a PC."""
    if daemon.me.role != names.GATEWAY:
        yield None
        return
    issuer = await trio.to_thread.run_sync(
        functools.partial(
            Issuer,
            daemon.places.issuer,
            daemon.me,
            ring_keys=lambda: daemon.me.ring_keys,
            seeds=lambda: seeds_of(daemon, daemon.conf.port),
            join_seeds=lambda: seeds_of(daemon, daemon.conf.join_port),
        )
    )
    with contextlib.closing(issuer):
        yield issuer


def seeds_of(daemon: Daemon, port: int) -> tuple[str, ...]:
    """Members to start from: ourselves, other gateways, then PCs.

    :param port: that they are supposed to listen on, as we do
    """
    others = sorted(
        (m for m in daemon.net.alive() if m.peer != daemon.net.peer),
        key=lambda m: (m.role is not MemberRole.GATEWAY, m.peer),
    )
    hosts = [daemon.address.host, *(m.address.host for m in others)]
    return tuple(
        addresses.to_text(host, port) for host in dict.fromkeys(hosts)
    )[:SEEDS]


async def open_all(
    daemon: Daemon, role: Role, issuer: Issuer | None, nursery: trio.Nursery
) -> None:
    """Listen everywhere; returns when all three listen.

    :raises OSError: a port or the socket is taken
    """
    conf, me, key = daemon.conf, daemon.me, daemon.store.key_path
    status = _status_route(daemon, role)
    relay = joining.make_relay(
        me,
        daemon.tls,
        functools.partial(_find, daemon),
        pool=daemon.pool,
    )
    remote = [status, *role.remote_routes()]
    local = [status, *role.local_routes()]
    if issuer is not None:
        remote += joining.relay_routes(issuer)
        local += joining.token_routes(issuer)
    await nursery.start(
        functools.partial(
            listeners.serve_mutual_tls,
            make_application(remote),
            tls.mutual_server(key, me.chain, me.root),
            conf.bind_address,
            conf.port,
            overlay=me.overlay,
            is_revoked=daemon.is_revoked,
        )
    )
    await nursery.start(
        listeners.serve_join,
        make_application(joining.join_routes(me, issuer=issuer, relay=relay)),
        tls.join_server(key, me.chain),
        conf.bind_address,
        conf.join_port,
    )
    await nursery.start(
        listeners.serve_unix,
        make_application(local),
        conf.socket,
        listeners.users_to_uids(conf.socket_users),
    )


def _find(daemon: Daemon, peer: str) -> tuple[str, int] | None:
    return daemon.net.request_address(peer)


def _status_route(daemon: Daemon, role: Role) -> Route:
    async def status(request: Request) -> Response:
        return handling.answer(daemon.status(role))

    return Route('/v1/status', status, methods=['GET'])
