# SPDX-License-Identifier: Apache-2.0
"""Dialling back: can the overlay reach the port of a PC that joins?

The seed that the PC has asked sends 64 random bytes to the PC's UDP and TCP
port, and wants to see 64 bytes back that only this PC can compute: so
another service on the port is not taken for ours, and an answer is never
longer than its question.

    question:  p2pcs?01  nonce(56)
    answer:    p2pcs!01  HMAC-SHA256(key, transport, nonce)(32)  zeros(24)

The key is the proof in the PC's request: seed and PC both know it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import os
import socket

import trio

from p2pcs_nova import errors

QUESTION_BYTES = 64
TIMEOUT_S = 4.0
UDP_REPEAT_S = 0.5
ANSWERERS = 16
"""TCP connections that a joining PC answers at once."""

_QUESTION = b'p2pcs?01'
_ANSWER = b'p2pcs!01'


class PortTaken(errors.Unavailable):
    """A port is in use on this PC; nothing was asked of anybody."""


async def dial_back(
    host: str, port: int, key: bytes, timeout_s: float = TIMEOUT_S
) -> None:
    """Reach a PC on its UDP and its TCP port.

    :param host: the address that its request came from
    :param key: the proof in its request
    :raises PortBlocked: names every port that did not answer, and how
    """
    blocked: list[str] = []

    async def ask_udp() -> None:
        if not await _ask_udp(host, port, key, timeout_s):
            blocked.append(
                f'UDP port {port} (no answer within {timeout_s:g} s)'
            )

    async def ask_tcp() -> None:
        reason = await _ask_tcp(host, port, key, timeout_s)
        if reason:
            blocked.append(f'TCP port {port} ({reason})')

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_udp)
        nursery.start_soon(ask_tcp)
    if blocked:
        raise errors.PortBlocked(
            f'other machines do not reach this PC at {host}: '
            f'{" and ".join(sorted(blocked))}. Open the port in its '
            'firewall; a PC behind NAT cannot take part yet. The token is '
            'still good'
        )


async def answer_dial_backs(
    host: str,
    port: int,
    key: bytes,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Be what a seed wants to find; until cancelled. Reports the port.

    :param port: UDP and TCP; 0 takes any that is free for both
    :raises PortTaken: by something else on this PC
    """
    with contextlib.ExitStack() as stack:
        tcp, udp = await _bind(stack, host, port)
        task_status.started(tcp.getsockname()[1])
        free = trio.Semaphore(ANSWERERS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_answer_udp, udp, key)
            while True:
                await free.acquire()
                peer, _ = await tcp.accept()
                nursery.start_soon(_answer_tcp, peer, key, free)


# -- the seed's side ---------------------------------------------------------


async def _ask_udp(host: str, port: int, key: bytes, timeout_s: float) -> bool:
    question, expected = _exchange(key, b'udp')
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    with (
        trio.socket.socket(family, socket.SOCK_DGRAM) as sock,
        trio.move_on_after(timeout_s),
    ):
        await sock.bind(('::' if family == socket.AF_INET6 else '', 0))
        while True:
            with contextlib.suppress(OSError):
                await sock.sendto(question, (host, port))
            with trio.move_on_after(UDP_REPEAT_S):
                while True:
                    answer = await _receive_datagram(sock)
                    if hmac.compare_digest(answer, expected):
                        return True
    return False


async def _receive_datagram(sock: trio.socket.SocketType) -> bytes:
    try:
        answer, _ = await sock.recvfrom(QUESTION_BYTES + 1)
    except ConnectionError:
        return b''
    return bytes(answer)


async def _ask_tcp(host: str, port: int, key: bytes, timeout_s: float) -> str:
    """Why there is no right answer; '' if there is."""
    question, expected = _exchange(key, b'tcp')
    try:
        with trio.fail_after(timeout_s):
            stream = await trio.open_tcp_stream(host, port)
            async with stream:
                await stream.send_all(question)
                answer = await _receive_exactly(stream)
    except trio.TooSlowError:
        return f'no answer within {timeout_s:g} s'
    except (OSError, trio.BrokenResourceError) as error:
        return _reason(error)
    if not hmac.compare_digest(answer, expected):
        return 'another service answers there'
    return ''


def _reason(error: BaseException) -> str:
    while isinstance(error, OSError) and error.errno is None:
        inner = error.__cause__ or error.__context__
        if isinstance(inner, BaseExceptionGroup):
            inner = inner.exceptions[0]
        if inner is None:
            break
        error = inner
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


# -- the PC's side -----------------------------------------------------------


async def _bind(
    stack: contextlib.ExitStack, host: str, port: int
) -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    tcp = stack.enter_context(trio.socket.socket(family, socket.SOCK_STREAM))
    udp = stack.enter_context(trio.socket.socket(family, socket.SOCK_DGRAM))
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        await tcp.bind((host, port))
        tcp.listen(ANSWERERS)
        await udp.bind((host, tcp.getsockname()[1]))
    except OSError as error:
        hint = (
            '; is p2pcs-peer running already? Stop it before joining'
            if error.errno == errno.EADDRINUSE
            else ''
        )
        raise PortTaken(
            f'port {port} of {host} cannot be used on this PC: '
            f'{os.strerror(error.errno or 0).lower()}{hint}'
        ) from None
    return tcp, udp


async def _answer_udp(sock: trio.socket.SocketType, key: bytes) -> None:
    while True:
        try:
            question, sender = await sock.recvfrom(QUESTION_BYTES + 1)
        except ConnectionError:
            continue
        answer = _answer(key, b'udp', bytes(question))
        if answer is not None:
            with contextlib.suppress(OSError):
                await sock.sendto(answer, sender)


async def _answer_tcp(
    sock: trio.socket.SocketType, key: bytes, free: trio.Semaphore
) -> None:
    stream = trio.SocketStream(sock)
    try:
        with trio.move_on_after(TIMEOUT_S):
            async with stream:
                question = await _receive_exactly(stream)
                answer = _answer(key, b'tcp', question)
                if answer is not None:
                    await stream.send_all(answer)
    except trio.BrokenResourceError:
        return
    finally:
        sock.close()
        free.release()


# -- both --------------------------------------------------------------------


async def _receive_exactly(stream: trio.SocketStream) -> bytes:
    """Up to 64 bytes; fewer if the other side ends before."""
    data = b''
    while len(data) < QUESTION_BYTES:
        piece = await stream.receive_some(QUESTION_BYTES - len(data))
        if not piece:
            break
        data += piece
    return data


def _exchange(key: bytes, transport: bytes) -> tuple[bytes, bytes]:
    """A fresh question and the one right answer."""
    question = _QUESTION + os.urandom(QUESTION_BYTES - len(_QUESTION))
    answer = _answer(key, transport, question)
    assert answer is not None
    return question, answer


def _answer(key: bytes, transport: bytes, question: bytes) -> bytes | None:
    if len(question) != QUESTION_BYTES or not question.startswith(_QUESTION):
        return None
    digest = hmac.digest(key, transport + question, hashlib.sha256)
    return (_ANSWER + digest).ljust(QUESTION_BYTES, b'\0')
