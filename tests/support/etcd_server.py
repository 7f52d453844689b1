# SPDX-License-Identifier: Apache-2.0
"""A real etcd of one member, on loopback ports of its own."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import subprocess
from collections.abc import Iterator

from p2pcs_nova import errors
from p2pcs_nova.etcd import Cluster, Etcd, Get
from tests.support import waiting

TIMEOUT_S = 1.5


class Server:
    """An etcd whose data stay when it is stopped."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        client, peer = _free_ports(2)
        self.endpoint = f'http://127.0.0.1:{client}'
        self._peer = f'http://127.0.0.1:{peer}'
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def cluster(self) -> Cluster:
        """How it is reached."""
        return Cluster((self.endpoint,), TIMEOUT_S)

    def connect(self) -> Etcd:
        """Ask it."""
        return Etcd(self.cluster)

    def start(self) -> None:
        """Back when it answers."""
        with (self._folder / 'log').open('ab') as log:
            self.process = subprocess.Popen(
                [
                    'etcd',
                    '--data-dir', str(self._folder / 'data'),
                    '--listen-client-urls', self.endpoint,
                    '--advertise-client-urls', self.endpoint,
                    '--listen-peer-urls', self._peer,
                    '--initial-advertise-peer-urls', self._peer,
                    '--initial-cluster', f'default={self._peer}',
                    '--log-level', 'error',
                ],
                stdout=log,
                stderr=log,
            )  # fmt: skip
        waiting.until(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, 'etcd has ended'
        try:
            self.connect().read(Get('any'))
        except errors.Unavailable:
            return False
        return True

    def stop(self) -> None:
        """End it, whatever state it is in; idempotent."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def running(folder: pathlib.Path) -> Iterator[Server]:
    """An etcd for the time of the context."""
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.bind(('127.0.0.1', 0))
            ports.append(sock.getsockname()[1])
        return ports
