# SPDX-License-Identifier: Apache-2.0
"""A small application behind the real listeners."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from p2pcs_nova import wire
from p2pcs_nova.transport import handling, listeners
from p2pcs_nova.transport.application import make_application
from p2pcs_nova.transport.limits import REQUESTS, Limits
from p2pcs_nova.transport.presence import Presence
from p2pcs_nova.transport.refusals import Refusals
from tests.support.members import Place

DEADLINE_S = 30.0
"""Generous: no test comes near."""


async def whoami(request: Request) -> Response:
    """Say who calls."""
    who = handling.caller(request)
    return handling.answer(
        wire.Problem(who.role, who.peer_id, str(who.uid)), 200
    )


async def count_body(request: Request) -> Response:
    """Say how many bytes came."""
    count = 0
    async for piece in request.stream():
        count += len(piece)
    return handling.answer(wire.Problem('counted', str(count)), 200)


WHOAMI = Route('/v1/whoami', whoami, methods=['GET', 'POST'])
COUNT = Route('/v1/count', count_body, methods=['PUT'])


@contextlib.asynccontextmanager
async def serving(
    place: Place,
    routes: Sequence[Route] = (WHOAMI, COUNT),
    *,
    revoked: set[str] | None = None,
    refusals: Refusals | None = None,
    presence: Presence | None = None,
    limits: Limits = REQUESTS,
) -> AsyncIterator[tuple[str, int]]:
    """A member's mutual TLS listener on a loopback port."""
    barred = revoked if revoked is not None else set()

    async def serve(
        task_status: trio.TaskStatus[tuple[listeners.Address, ...]],
    ) -> None:
        await listeners.serve_mutual_tls(
            make_application(routes),
            place.server_tls(),
            '127.0.0.1',
            0,
            overlay=place.membership.overlay,
            is_revoked=barred.__contains__,
            refusals=refusals,
            presence=presence,
            limits=limits,
            task_status=task_status,
        )

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            (address,) = await nursery.start(serve)
            yield address
            nursery.cancel_scope.cancel()
