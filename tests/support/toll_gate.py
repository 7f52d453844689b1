# SPDX-License-Identifier: Apache-2.0
"""Hand requests on to a UNIX socket, and hold those that a test names.

``toll_gate SOCKET TO_SOCKET FOLDER``: each file of the folder is a toll, of
two words: ``asked``, before the daemon hears of a request, or ``answered``,
when it has done what was asked, and the asker does not know; then the
request, ``METHOD PATTERN``.  The first one that a toll fits is held until
its file is removed, and is written to the file's name with ``.held``; one
instance pays one toll.  What the daemon answers to one that was held before
it heard of it is written to the file's name with ``.answer``: its status.
"""

from __future__ import annotations

import fnmatch
import functools
import pathlib
import re
import socket
import sys

import trio

PIECE = 65536
LOOK_S = 0.05
END_OF_HEAD = b'\r\n\r\n'
HELD, ANSWER = '.held', '.answer'
INSTANCE = re.compile(r'/instances/([^/? ]+)')


class Gate:
    """Who is held, and who has been."""

    def __init__(self, to_path: str, folder: pathlib.Path) -> None:
        self._to_path = to_path
        self._folder = folder
        self._taken: set[str] = set()
        self._paid: set[str] = set()

    async def hand_on(self, caller: trio.SocketStream) -> None:
        """One connection with one request, to its end.

        The daemon hears of what was asked even if the asker is gone.
        """
        head = b''
        while END_OF_HEAD not in head:
            piece = await caller.receive_some(PIECE)
            if not piece:
                return
            head += piece
        request = ' '.join(head.decode('latin-1').split(' ', 2)[:2])
        toll = await self._pay('asked', request)
        try:
            await self._relay(head, request, caller, toll)
        except* (OSError, trio.BrokenResourceError):
            pass  # One side is gone; the other hears so.

    async def _relay(
        self,
        head: bytes,
        request: str,
        caller: trio.SocketStream,
        toll: pathlib.Path | None,
    ) -> None:
        async with (
            await trio.open_unix_socket(self._to_path) as daemon,
            trio.open_nursery() as nursery,
        ):
            await daemon.send_all(head)
            nursery.start_soon(self._send_rest, caller, daemon)
            answer = await daemon.receive_some(PIECE)
            if toll is not None:
                status = answer.split(b' ', 2)[1]
                toll.with_suffix(ANSWER).write_bytes(status)
            await self._pay('answered', request)
            while answer:
                await caller.send_all(answer)
                answer = await daemon.receive_some(PIECE)
            nursery.cancel_scope.cancel()

    @staticmethod
    async def _send_rest(
        caller: trio.SocketStream, daemon: trio.SocketStream
    ) -> None:
        async for piece in caller:
            await daemon.send_all(piece)

    async def _pay(self, when: str, request: str) -> pathlib.Path | None:
        toll = self._due(when, request)
        if toll is None:
            return None
        held = toll.with_suffix(HELD)
        held.write_text(request)
        while toll.exists():  # noqa: ASYNC110
            await trio.sleep(LOOK_S)
        self._taken.discard(toll.name)
        held.unlink()
        return toll

    def _due(self, when: str, request: str) -> pathlib.Path | None:
        found = INSTANCE.search(request)
        payer = found.group(1) if found else ''
        if payer and payer in self._paid:
            return None
        for toll in sorted(self._folder.iterdir()):
            if toll.suffix or toll.name in self._taken:
                continue
            wanted, pattern = toll.read_text().split(' ', 1)
            if wanted == when and fnmatch.fnmatchcase(request, pattern):
                self._taken.add(toll.name)
                self._paid.add(payer)
                return toll
        return None


async def main(path: str, to_path: str, folder: str) -> None:
    """Until killed."""
    listening = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    await listening.bind(path)
    listening.listen()
    gate = Gate(to_path, pathlib.Path(folder))
    await trio.serve_listeners(gate.hand_on, [trio.SocketListener(listening)])


if __name__ == '__main__':
    trio.run(functools.partial(main, *sys.argv[1:]))
