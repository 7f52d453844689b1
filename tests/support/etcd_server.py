# SPDX-License-Identifier: Apache-2.0
"""A real etcd of one member, on loopback ports of its own."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import socket
import subprocess
from collections.abc import Iterator

from p2pcs_nova import errors
from p2pcs_nova.etcd import Cluster, Etcd, Get, Put
from p2pcs_nova.terms.shared import era_key
from tests.support import waiting
from tests.support.etcd_papers import Papers

TIMEOUT_S = 1.5


class Server:
    """An etcd whose data stay when it is stopped.

    :param papers: by which it is known, and knows its clients; None: it
        talks to everybody, in clear
    """

    def __init__(
        self, folder: pathlib.Path, papers: Papers | None = None
    ) -> None:
        self._folder = folder
        self._data = folder / 'data'
        self._papers = papers
        folder.mkdir(exist_ok=True)
        client, peer = _free_ports(2)
        scheme = 'http' if papers is None else 'https'
        self.endpoint = f'{scheme}://127.0.0.1:{client}'
        self._peer = f'http://127.0.0.1:{peer}'
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def cluster(self) -> Cluster:
        """How it is reached."""
        papers = self._papers
        if papers is None:
            return Cluster((self.endpoint,), TIMEOUT_S)
        return Cluster(
            (self.endpoint,),
            TIMEOUT_S,
            str(papers.ca),
            str(papers.client_certificate),
            str(papers.client_key),
        )

    def connect(self) -> Etcd:
        """Ask it."""
        return Etcd(self.cluster)

    def begin_era(self, prefix: str, era: int = 2) -> None:
        """As a gateway does, by an admin's word."""
        put = Put(era_key(prefix), b'%d' % era)
        self.connect().transact((), [put])

    def start(self) -> None:
        """Back when it answers."""
        with (self._folder / 'log').open('ab') as log:
            self.process = subprocess.Popen(
                [
                    'etcd',
                    '--data-dir', str(self._data),
                    '--listen-client-urls', self.endpoint,
                    '--advertise-client-urls', self.endpoint,
                    '--listen-peer-urls', self._peer,
                    '--initial-advertise-peer-urls', self._peer,
                    '--initial-cluster', f'default={self._peer}',
                    '--log-level', 'error',
                    *([] if self._papers is None else self._papers.told()),
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

    def back_up(self, copy: pathlib.Path) -> None:
        """What it has now; it is not running meanwhile."""
        self.stop()
        shutil.copytree(self._data, copy)
        self.start()

    def restore(self, copy: pathlib.Path | None) -> None:
        """Have what it had then; None: nothing."""
        self.stop()
        shutil.rmtree(self._data)
        if copy is not None:
            shutil.copytree(copy, self._data)
        self.start()

    def stop(self) -> None:
        """End it, whatever state it is in; idempotent."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def running(
    folder: pathlib.Path, papers: Papers | None = None
) -> Iterator[Server]:
    """An etcd for the time of the context."""
    server = Server(folder, papers)
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
