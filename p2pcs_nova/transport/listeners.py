# SPDX-License-Identifier: Apache-2.0
"""The three doors of a daemon.

* mutual TLS, for other daemons: who calls is in the certificate;
* a UNIX socket, for this machine: who calls is known to the kernel;
* TLS without client certificates, for PCs that want to join: who calls is
  not known.

Each function serves until it is cancelled; start it in a nursery.  One bad
connection ends itself, never the listener.
"""

from __future__ import annotations

import functools
import logging
import os
import pathlib
import pwd
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Collection

import trio
from cryptography import x509

from p2pcs_nova import errors, names
from p2pcs_nova.transport import handling, unix_socket
from p2pcs_nova.transport import refusals as refusing
from p2pcs_nova.transport.certificate import certificate_to_member
from p2pcs_nova.transport.connection import serve_connection
from p2pcs_nova.transport.gate import App
from p2pcs_nova.transport.handshake import handshake
from p2pcs_nova.transport.limits import (
    JOINING,
    LOCAL,
    REQUESTS,
    Admission,
    Limits,
)
from p2pcs_nova.transport.presence import Presence
from p2pcs_nova.transport.refusals import Refusals
from p2pcs_nova.wall import Wall, utc_now

LOG = logging.getLogger(__name__)

Address = tuple[str, int]
Serve = Callable[[trio.SocketStream], Awaitable[None]]

_BACKLOG = unix_socket.BACKLOG
_UCRED = struct.Struct('3i')


def nobody_is_revoked(peer_id: str) -> bool:
    """For an overlay that knows no revocations."""
    return False


async def serve_mutual_tls(
    app: App,
    tls: ssl.SSLContext,
    host: str,
    port: int,
    *,
    overlay: str,
    is_revoked: Callable[[str], bool] = nobody_is_revoked,
    refusals: Refusals | None = None,
    presence: Presence | None = None,
    limits: Limits = REQUESTS,
    wall: Wall = utc_now,
    task_status: trio.TaskStatus[tuple[Address, ...]] = (
        trio.TASK_STATUS_IGNORED
    ),
) -> None:
    """Answer other daemons; reports the bound addresses.

    :param app: an ASGI application; finds a
        :class:`~p2pcs_nova.transport.handling.Caller` in its scope
    :param tls: of :func:`p2pcs_nova.identity.tls.mutual_server`
    :param overlay: certificates of another one are refused
    :param is_revoked: asked with a peer's id before each of its requests;
        whom the root has signed, nobody puts out
    :param presence: of the members that are connected
    :param wall: a certificate that expires ends its connection
    """

    refusals = refusals or Refusals()
    presence = presence or Presence()

    async def serve(stream: trio.SocketStream) -> None:
        secure = await _shake_hands(stream, tls, limits, refusals)
        certificate = secure.getpeercert(binary_form=True)
        member = certificate_to_member(certificate)
        if member.overlay != overlay:
            refusals.count(refusing.UNKNOWN)
            raise ValueError(f'{member} is of another overlay')
        expiry = x509.load_der_x509_certificate(
            certificate
        ).not_valid_after_utc

        def gate() -> None:
            if member.role == names.PEER and is_revoked(member.peer_id):
                raise errors.Revoked(f'{member} has been revoked')
            if wall() > expiry:
                raise errors.Forbidden(f'the certificate of {member} expired')

        with presence.enter(member.peer_id, stream.socket):
            await serve_connection(
                app,
                secure,
                stream.socket,
                caller=handling.Caller(member.role, member.peer_id),
                gate=gate,
                limits=limits,
                refusals=refusals,
                encrypted=True,
            )

    await _serve_tcp(serve, host, port, limits, refusals, task_status)


async def serve_join(
    app: App,
    tls: ssl.SSLContext,
    host: str,
    port: int,
    *,
    refusals: Refusals | None = None,
    limits: Limits = JOINING,
    task_status: trio.TaskStatus[tuple[Address, ...]] = (
        trio.TASK_STATUS_IGNORED
    ),
) -> None:
    """Answer PCs that want to join; reports the bound addresses.

    :param tls: of :func:`p2pcs_nova.identity.tls.join_server`
    """

    refusals = refusals or Refusals()

    async def serve(stream: trio.SocketStream) -> None:
        secure = await _shake_hands(stream, tls, limits, refusals)
        await serve_connection(
            app,
            secure,
            stream.socket,
            caller=handling.Caller('stranger'),
            gate=lambda: None,
            limits=limits,
            refusals=refusals,
            encrypted=True,
        )

    await _serve_tcp(serve, host, port, limits, refusals, task_status)


async def serve_unix(
    app: App,
    path: str,
    allowed_uids: Collection[int] = (),
    *,
    refusals: Refusals | None = None,
    limits: Limits = LOCAL,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer this machine; reports the path.

    Everybody may connect; who is not root, not the daemon's own user and
    not allowed is told so with a 403 to each request.

    :param allowed_uids: see :func:`users_to_uids`
    :raises OSError: another daemon answers there, or the path is taken by
        something that is not a socket
    """
    allowed = {0, os.geteuid(), *allowed_uids}
    refusals = refusals or Refusals()

    async def serve(stream: trio.SocketStream) -> None:
        uid = _uid(stream)

        def gate() -> None:
            if uid not in allowed:
                raise errors.Forbidden(
                    f'{_user(uid)} may not use {path}: ask root to add it '
                    'to socket_users in p2pcs.conf and to restart p2pcs-peer'
                )

        await serve_connection(
            app,
            stream,
            stream.socket,
            caller=handling.Caller('local', uid=uid),
            gate=gate,
            limits=limits,
            refusals=refusals,
            encrypted=False,
        )

    with unix_socket.bound(pathlib.Path(path)) as sock:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        task_status.started(path)
        await _serve(serve, [listener], limits, refusals)


class UnknownUser(ValueError):
    """A user is named that this machine does not have."""


def users_to_uids(users: Collection[str]) -> frozenset[int]:
    """User ids of names or numbers.

    :raises UnknownUser: a name that this machine does not know
    """
    uids = set()
    for user in users:
        if user.isdecimal():
            uids.add(int(user))
            continue
        try:
            uids.add(pwd.getpwnam(user).pw_uid)
        except KeyError:
            raise UnknownUser(f'no user {user!r} on this machine') from None
    return frozenset(uids)


# -- how ---------------------------------------------------------------------


async def _serve_tcp(
    serve: Serve,
    host: str,
    port: int,
    limits: Limits,
    refusals: Refusals,
    task_status: trio.TaskStatus[tuple[Address, ...]],
) -> None:
    listeners = await trio.open_tcp_listeners(
        port, host=host, backlog=_BACKLOG
    )
    addresses = tuple(
        (str(name[0]), int(name[1]))
        for name in (listener.socket.getsockname() for listener in listeners)
    )
    task_status.started(addresses)
    await _serve(serve, listeners, limits, refusals)


async def _shake_hands(
    stream: trio.SocketStream,
    tls: ssl.SSLContext,
    limits: Limits,
    refusals: Refusals,
) -> trio.SSLStream[trio.SocketStream]:
    try:
        return await handshake(stream, tls, limits.handshake_s)
    except (trio.BrokenResourceError, trio.TooSlowError) as error:
        refusals.count(refusing.handshake_to_reason(error))
        raise


async def _serve(
    serve: Serve,
    listeners: list[trio.SocketListener],
    limits: Limits,
    refusals: Refusals,
) -> None:
    handler = functools.partial(_guard, serve, Admission(limits), refusals)
    await trio.serve_listeners(handler, listeners)


async def _guard(
    serve: Serve,
    admission: Admission,
    refusals: Refusals,
    stream: trio.SocketStream,
) -> None:
    """Serve one connection; whatever happens in it ends here."""
    address = _address(stream)
    with admission.admit(address) as admitted:
        try:
            if admitted:
                await serve(stream)
            else:
                refusals.count(refusing.TURNED_AWAY)
                LOG.warning('too many connections: %s turned away', address)
        except (
            OSError,
            ValueError,
            trio.BrokenResourceError,
            trio.ClosedResourceError,
            trio.TooSlowError,
        ) as error:
            LOG.info('connection of %s ended: %s', address, _reason(error))
        except Exception:
            LOG.exception('connection of %s failed', address)
        finally:
            stream.socket.close()


def _address(stream: trio.SocketStream) -> str:
    try:
        name = stream.socket.getpeername()
    except OSError:
        return 'gone'
    return str(name[0]) if isinstance(name, tuple) else f'uid {_uid(stream)}'


def _uid(stream: trio.SocketStream) -> int:
    """The user at the other end of a UNIX socket, as the kernel knows him."""
    credentials = stream.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size
    )
    return int(_UCRED.unpack(credentials)[1])


def _reason(error: BaseException) -> str:
    return str(error) or str(error.__cause__ or type(error).__name__)


def _user(uid: int) -> str:
    try:
        return f'user {pwd.getpwuid(uid).pw_name} (uid {uid})'
    except KeyError:
        return f'uid {uid}'
