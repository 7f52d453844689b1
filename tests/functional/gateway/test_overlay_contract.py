# SPDX-License-Identifier: Apache-2.0
"""What the driver relies on, kept by gateway and PCs.

The same tests run on the fake overlay that stands in for these in Nova's
own test bases.  Only libvirt is played here.
"""

from __future__ import annotations

import pathlib
import queue
import threading
from collections.abc import Iterator

import pytest
import trio

from p2pcs_nova import wire
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.gateway import api
from p2pcs_nova.transport import application, listeners
from tests.support import overlay_contract, real_pcs

pytestmark = pytest.mark.libvirt

DEADLINE_S = 120.0
SUSPENDABLE = wire.Capacity(1, 16, 64)
"""With so little memory that a PC's disk has room for it."""


class Running:
    """Gateway and PCs on a thread of their own, with a UNIX socket."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._ready: queue.Queue[Exception | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.socket = str(folder / 'run' / 'p2pcs.sock')

    def start(self) -> None:
        self._thread.start()
        error = self._ready.get(timeout=DEADLINE_S)
        if error is not None:
            raise error

    def stop(self) -> None:
        trio.from_thread.run_sync(self._scope.cancel, trio_token=self._token)
        self._thread.join(DEADLINE_S)

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except Exception as error:
            self._ready.put(error)

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        office = real_pcs.Office(self._folder, 2)
        with trio.CancelScope() as self._scope:
            async with (
                real_pcs.working(self._folder, office) as service,
                trio.open_nursery() as nursery,
            ):
                app = application.make_application(api.local_routes(service))
                await nursery.start(listeners.serve_unix, app, self.socket)
                self._ready.put(None)
                await trio.sleep_forever()


class TestGatewayWithPcs(overlay_contract.OverlayContract):
    """The contract, on the real code."""

    @pytest.fixture
    def overlay(
        self, tmp_path: pathlib.Path
    ) -> Iterator[overlay_contract.Subject]:
        running = Running(tmp_path)
        running.start()
        try:
            with LocalClient(running.socket) as client:
                yield overlay_contract.Subject(
                    client=client,
                    slice='all',
                    image=real_pcs.IMAGE,
                    image_bytes=real_pcs.DATA,
                    need=SUSPENDABLE,
                )
        finally:
            running.stop()
