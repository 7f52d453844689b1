# SPDX-License-Identifier: Apache-2.0
"""What a daemon answers about joining, for its three listeners."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Awaitable, Callable

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from p2pcs_nova import errors, names, wire
from p2pcs_nova.client.pool import ConnectionPool
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.identity import dialback
from p2pcs_nova.identity.issuing import Issuer
from p2pcs_nova.identity.store import Membership
from p2pcs_nova.transport import handling, limits
from p2pcs_nova.wall import Wall, utc_now

DIAL_BACKS = limits.JOINING.connections
"""At once.  No fewer than connections: who shows no token of ours is
dialled back too, and must not make others wait."""
BODY_LIMIT = 16 * 1024
RELAY_TIMEOUT_S = 10.0

Relay = Callable[[wire.JoinRequest], Awaitable[wire.JoinAnswer]]
Find = Callable[[str], tuple[str, int] | None]
DialBack = Callable[[str, int, bytes], Awaitable[None]]


def join_routes(
    membership: Membership,
    *,
    issuer: Issuer | None,
    relay: Relay,
    wall: Wall = utc_now,
    dial_back: DialBack = dialback.dial_back,
) -> list[Route]:
    """For the join listener of every daemon.

    :param issuer: of a gateway; None on a PC
    :param relay: brings a request to another issuer: :func:`make_relay`
    """
    limiter = trio.CapacityLimiter(DIAL_BACKS)

    async def offer(request: Request) -> Response:
        return handling.answer(
            wire.JoinOffer(membership.root, wall().timestamp())
        )

    async def join(request: Request) -> Response:
        body = await handling.decode(request, wire.JoinRequest, BODY_LIMIT)
        if request.client is None:
            raise errors.Malformed('no address to dial back')
        ours = issuer if issuer and issuer.peer_id == body.issuer else None
        if ours is not None:
            await _in_thread(ours.check, body, wall())
        async with limiter:
            await dial_back(request.client.host, body.port, body.proof)
        if ours is not None:
            return handling.answer(await _in_thread(ours.issue, body, wall()))
        return handling.answer(await relay(body))

    return [
        Route('/v1/join', offer, methods=['GET']),
        Route('/v1/join', join, methods=['POST']),
    ]


def relay_routes(issuer: Issuer, *, wall: Wall = utc_now) -> list[Route]:
    """For the mutual TLS listener of a gateway.

    The daemon that relays has dialled back: it knows the PC's address.
    """

    async def relay(request: Request) -> Response:
        handling.require(request, names.PEER, names.GATEWAY)
        body = await handling.decode(request, wire.JoinRequest, BODY_LIMIT)
        if body.issuer != issuer.peer_id:
            raise errors.TokenRefused(
                f'the token is of gateway {body.issuer}, not of this one'
            )
        return handling.answer(await _in_thread(issuer.issue, body, wall()))

    return [Route('/v1/relay/join', relay, methods=['POST'])]


def token_routes(issuer: Issuer, *, wall: Wall = utc_now) -> list[Route]:
    """For the UNIX socket of a gateway."""

    async def create(request: Request) -> Response:
        handling.require_operator(request)
        body = await handling.decode(request, wire.TokenRequest, BODY_LIMIT)
        text = await trio.to_thread.run_sync(
            issuer.create_token, body.valid_s, wall()
        )
        return handling.answer(wire.TokenAnswer(text))

    return [Route('/v1/tokens', create, methods=['POST'])]


def make_relay(
    membership: Membership,
    tls: ssl.SSLContext,
    find: Find,
    *,
    pool: ConnectionPool | None = None,
) -> Relay:
    """Bring a PC's request to its issuer over mutual TLS.

    :param tls: of :func:`p2pcs_nova.identity.tls.mutual_client`
    :param find: where a member takes requests; None if it is not known
    """

    async def relay(request: wire.JoinRequest) -> wire.JoinAnswer:
        address = find(request.issuer)
        if request.issuer == membership.peer_id or address is None:
            raise errors.Unavailable(
                f'gateway {request.issuer}, which made the token, is not '
                'in the overlay now; the token is not used yet'
            )
        async with RemoteClient(
            address,
            request.issuer,
            names.GATEWAY,
            membership.overlay,
            tls,
            timeout_s=RELAY_TIMEOUT_S,
            pool=pool,
        ) as client:
            return await client.relay_join(request)

    return relay


async def _in_thread(
    what: Callable[..., wire.JoinAnswer | None], *arguments: object
) -> wire.JoinAnswer | None:
    """Do what touches the disk elsewhere; not abandoned half-way."""
    return await trio.to_thread.run_sync(functools.partial(what, *arguments))
