# SPDX-License-Identifier: Apache-2.0
"""Routes put together to an application that answers with problems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from p2pcs_nova import errors, wire
from p2pcs_nova.transport import handling


def make_application(routes: Sequence[Route]) -> Starlette:
    """An ASGI application over these routes.

    Whatever fails is answered with a :class:`p2pcs_nova.wire.Problem`.
    """
    return Starlette(
        routes=list(routes),
        exception_handlers={
            errors.P2PcsError: handling.problem,
            HTTPException: _no_route,
            Exception: handling.problem,
        },
    )


async def _no_route(request: Request, error: Exception) -> Response:
    status = cast(HTTPException, error).status_code
    code = 'not-found' if status == 404 else 'malformed'
    handling.count_refusal(request, code)
    return handling.answer(
        wire.Problem(
            code,
            f'{request.method} {request.url.path}: nothing of the kind here',
            handling.request_id(request),
        ),
        status,
    )
