# SPDX-License-Identifier: Apache-2.0
"""HTTP over the UNIX socket of a daemon: a connection for each call.

What becomes of a connection is told as an error of ours.
"""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections.abc import Iterable, Iterator
from http import client
from typing import Any, Protocol, TypeVar
from urllib import parse

import msgspec

from p2pcs_nova import errors, wire
from p2pcs_nova.client import answers
from p2pcs_nova.client.downloads import Download

T = TypeVar('T')


class _Line(socket.socket):
    """A UNIX socket that is waited for no longer than until its end."""

    end_s = math.inf
    """By the monotonic clock."""

    def recv_into(self, *arguments: Any) -> int:
        """The same; however slowly bytes drip, it raises at the end."""
        if self.end_s < math.inf:
            left_s = self.end_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self.settimeout(left_s)
        return super().recv_into(*arguments)


class Connection(client.HTTPConnection):
    """HTTP over one UNIX socket, for one request."""

    def __init__(self, path: str, silence_s: float) -> None:
        super().__init__('localhost', timeout=silence_s)
        self._path = path
        self._silence_s = silence_s
        self._line = _Line(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock = self._line

    def connect(self) -> None:
        """Connect.

        :raises Unavailable: nobody listens
        """
        self._line.settimeout(self._silence_s)
        try:
            self._line.connect(self._path)
        except OSError as error:
            raise errors.Unavailable(
                f'no daemon answers on {self._path} ({error}): start it '
                'with `p2pcs-peer run`, or name the right socket'
            ) from None

    def begin(
        self,
        method: str,
        path: str,
        content: Iterable[bytes] | bytes,
        headers: dict[str, str],
    ) -> client.HTTPResponse:
        """One request; its answer, whose body is still to be read.

        A refusal that comes before all is sent is heard too.  From then on
        the answer may take as long as a silence may, body and all.
        """
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.request(method, path, content, headers)
        self._line.end_s = time.monotonic() + self._silence_s
        return self.getresponse()

    def take_time(self, pause_s: float) -> None:
        """Let the rest of the answer take its time, without such a pause."""
        self._line.end_s = math.inf
        self._line.settimeout(pause_s)


class Authority(Protocol):
    """The term by which a slice's nova-compute asks."""

    def command(self) -> wire.Command:
        """Slice and term; need not return once the term is over."""

    def is_over(self, why: str) -> None:
        """The daemon, or a PC, has said so; need not return."""


class Caller:
    """Makes calls of one socket.

    :param socket: its path
    :param timeout_s: longest silence of a call that does not say its own
    :param authority: None: we ask by no term
    """

    def __init__(
        self,
        socket: str,
        timeout_s: float = 10.0,
        authority: Authority | None = None,
    ) -> None:
        self.socket = socket
        self.timeout_s = timeout_s
        self._authority = authority

    def _command(self) -> dict[str, str]:
        """The header that says by which term we ask."""
        if self._authority is None:
            return {}
        return command_to_header(self._authority.command())

    def _get(self, path: str, kind: type[T], request_id: str) -> T:
        return self._ask('GET', path, kind, request_id=request_id)

    def _ask(self, method: str, path: str, kind: type[T], **how: Any) -> T:
        return answers.body_to_value(self._call(method, path, **how), kind)

    def _call(
        self,
        method: str,
        path: str,
        *,
        value: msgspec.Struct | None = None,
        content: Iterable[bytes] | bytes = b'',
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float | None = None,
        request_id: str = '',
    ) -> bytes:
        headers = {
            'connection': 'close',
            **self._command(),
            **(headers or {}),
        }
        if request_id:
            headers[wire.REQUEST_ID_HEADER] = request_id
        if value is not None:
            content = msgspec.json.encode(value)
            headers['content-type'] = 'application/json'
        if query:
            path = f'{path}?{parse.urlencode(query)}'
        silence_s = self.timeout_s if timeout_s is None else timeout_s
        with contextlib.closing(Connection(self.socket, silence_s)) as line:
            line.connect()
            with self._broken_off(method, path, silence_s):
                answer = line.begin(method, path, content, headers)
                body = answer.read()
        if not 200 <= answer.status < 300:
            raise self._refusal(answer.status, body)
        return body

    def _refusal(self, status: int, body: bytes) -> errors.P2PcsError:
        error = answers.failure_to_error(status, body)
        if isinstance(error, errors.StaleTerm) and self._authority:
            self._authority.is_over(error.message)
        return error

    @contextlib.contextmanager
    def _download(
        self,
        path: str,
        value: msgspec.Struct,
        *,
        timeout_s: float,
        pause_s: float,
        request_id: str,
    ) -> Iterator[Download]:
        """A long answer, for the time of the context.

        :param timeout_s: longest silence before the answer begins
        :param pause_s: the same while its body comes
        """
        # Kept until we close it: the body is still on its way.
        headers = {
            'content-type': 'application/json',
            wire.REQUEST_ID_HEADER: request_id,
            **self._command(),
        }
        content = msgspec.json.encode(value)
        with contextlib.closing(Connection(self.socket, timeout_s)) as line:
            line.connect()
            with self._broken_off('POST', path, timeout_s):
                answer = line.begin('POST', path, content, headers)
                refused = not 200 <= answer.status < 300
                body = answer.read() if refused else b''
            if refused:
                raise self._refusal(answer.status, body)
            line.take_time(pause_s)
            yield Download(
                answers.length_to_size(answer.getheader('content-length', '')),
                answer,
            )

    @contextlib.contextmanager
    def _broken_off(
        self, method: str, path: str, silence_s: float
    ) -> Iterator[None]:
        """Tell what became of a connection as our error."""
        try:
            yield
        except TimeoutError:
            raise errors.Unreachable(
                f'the daemon on {self.socket} gave no whole answer in '
                f'{silence_s:g} s to {method} {path}'
            ) from None
        except (OSError, client.HTTPException) as error:
            raise errors.Unreachable(
                f'the daemon on {self.socket} broke off {method} '
                f'{path}: {str(error) or type(error).__name__}'
            ) from None


def command_to_header(command: wire.Command) -> dict[str, str]:
    """The header that says by which term a slice is commanded."""
    return {wire.COMMAND_HEADER: msgspec.json.encode(command).decode()}
