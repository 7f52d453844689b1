# SPDX-License-Identifier: Apache-2.0
"""What every request handler does: who calls, what he sends, what we say.

The listeners put a :class:`Caller` into the connection's scope; handlers
never look at certificates or sockets themselves.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import logging
import os
from typing import Any, TypeVar, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from p2pcs_nova import errors, texts, wire
from p2pcs_nova.transport.refusals import Refusals

LOG = logging.getLogger(__name__)

CALLER_SCOPE = 'p2pcs.caller'
REFUSALS_SCOPE = 'p2pcs.refusals'
BODY_LIMIT = 2 * 2**20
"""Bytes; the largest body is a build request with its config drive."""

T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Caller:
    """Who is at the other end, as the listener has verified it."""

    role: str
    """peer, gateway or admin (from the certificate), or local."""
    peer_id: str = ''
    uid: int = -1
    """User id of a local caller (SO_PEERCRED), else -1."""


def caller(request: Request) -> Caller:
    """The verified caller of this request."""
    return cast(Caller, request.scope[CALLER_SCOPE])


def count_refusal(request: Request, code: str) -> None:
    """Note that the request is not granted."""
    cast(Refusals, request.scope[REFUSALS_SCOPE]).count(code)


def require(request: Request, *roles: str) -> Caller:
    """The caller, if he has one of these roles.

    :raises Forbidden: he has not
    """
    who = caller(request)
    if who.role not in roles:
        raise errors.Forbidden(
            f'role {who.role} may not do this; it takes {" or ".join(roles)}'
        )
    return who


def require_operator(request: Request) -> Caller:
    """The caller, if he is root of this machine, or runs the daemon.

    Who else may use the socket commands a slice.  He does not decide who
    belongs to the overlay, or what is waited for.

    :raises Forbidden: he is not
    """
    who = require(request, 'local')
    if who.uid not in (0, os.geteuid()):
        raise errors.Forbidden(
            f'uid {who.uid} may not do this; it takes root of this machine'
        )
    return who


async def decode(
    request: Request, kind: type[T], limit: int = BODY_LIMIT
) -> T:
    """The body as a value of this type.

    :raises TooLarge: more than ``limit`` bytes; the rest is not read
    :raises Malformed: not JSON, or not of this type; says where
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise errors.TooLarge(f'a body has at most {limit} bytes')
    return decode_json(bytes(body), kind)


def decode_json(body: bytes, kind: type[T]) -> T:
    """JSON bytes as a value of this type.

    :raises Malformed: not JSON, or not of this type; says where
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except wire.UNDECODABLE as error:
        raise errors.Malformed(str(error)) from None


def path_part(request: Request, name: str, kind: Any) -> str:
    """A part of the path that has the form of a type of the wire.

    :raises Malformed: it has not; says which part
    """
    return str(convert(request.path_params[name], kind, name))


def uuid(request: Request) -> str:
    """The part of the path that names an instance or a reservation.

    :raises Malformed: it is no uuid
    """
    return path_part(request, 'uuid', wire.Uuid)


def query(request: Request, name: str, kind: type[T], default: T) -> T:
    """A parameter of the query as a number of this type.

    :raises Malformed: it is none; says which parameter
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    return cast(T, convert(text, kind, name, strict=False))


def convert(value: Any, kind: Any, name: str, *, strict: bool = True) -> Any:
    """A value from outside a body as a type of the wire.

    :param name: of the value, for the message
    :param strict: False: a text may stand for a number
    :raises Malformed: it does not have the form of the type
    """
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise errors.Malformed(f'{name}: {error}') from None


def request_id(request: Request) -> str:
    """OpenStack's id of the request that this one serves; '' for none."""
    return texts.printable(request.headers.get(wire.REQUEST_ID_HEADER, ''))


def command(request: Request) -> wire.Command:
    """By which authority the gateway speaks.

    :raises Malformed: the header is missing or not a command
    """
    text = request.headers.get(wire.COMMAND_HEADER)
    if text is None:
        raise errors.Malformed(f'header {wire.COMMAND_HEADER} is missing')
    return decode_json(text.encode(), wire.Command)


def run_right(request: Request) -> wire.Signed:
    """The run right that a PC shows to fetch an image.

    :raises Malformed: the header is missing or not a signed value
    """
    text = request.headers.get(wire.RUN_RIGHT_HEADER)
    if text is None:
        raise errors.Malformed(f'header {wire.RUN_RIGHT_HEADER} is missing')
    try:
        body = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise errors.Malformed('the run right is not base64') from None
    return decode_json(body, wire.Signed)


def answer(value: msgspec.Struct | None, status: int = 200) -> Response:
    """A value as JSON; None as 204."""
    if value is None:
        return Response(status_code=204)
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type='application/json',
    )


async def problem(request: Request, error: Exception) -> Response:
    """The answer to a failed request; starlette's exception handler."""
    served = request_id(request)
    path = texts.printable(request.url.path)
    if isinstance(error, errors.P2PcsError):
        if error.status < 500:
            count_refusal(request, error.code)
        LOG.info(
            '[%s] %s %s: %s: %s',
            texts.or_dash(served),
            request.method,
            path,
            error.code,
            error.message,
        )
        body = wire.Problem(error.code, error.message, served)
        return answer(body, error.status)
    LOG.exception(
        '[%s] %s %s failed',
        texts.or_dash(served),
        request.method,
        path,
        exc_info=error,
    )
    return answer(
        wire.Problem('internal', 'the daemon failed; see its log', served),
        500,
    )
