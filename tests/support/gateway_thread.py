# SPDX-License-Identifier: Apache-2.0
"""A gateway's daemon on a thread of its own, without an overlay.

It has a UNIX socket and the machine's own clock; its PCs are in memory.
"""

from __future__ import annotations

import pathlib
import queue
import threading

import trio

from p2pcs_nova.bootclock import boottime
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.gateway import api
from p2pcs_nova.gateway import book as books
from p2pcs_nova.transport import application, listeners
from tests.support import fake_pcs, gateways

DEADLINE_S = 30.0


class GatewayThread:
    """Started by the context, ended with it."""

    def __init__(
        self,
        folder: pathlib.Path,
        office: fake_pcs.Office,
        policy: str,
        ledger: books.SharedLedger | None = None,
    ) -> None:
        self._folder = folder
        self._office = office
        self._policy = policy
        self._ledger = ledger
        self._ready: queue.Queue[BaseException | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.socket = str(folder / 'p2pcs.sock')
        self.client = LocalClient(self.socket, DEADLINE_S)

    def __enter__(self) -> GatewayThread:
        self._thread.start()
        error = self._ready.get(timeout=DEADLINE_S)
        if error is not None:
            raise error
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the daemon; idempotent."""
        if self._thread.is_alive():
            trio.from_thread.run_sync(
                self._scope.cancel, trio_token=self._token
            )
            self._thread.join(DEADLINE_S)

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:
            self._ready.put(error)

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        service = gateways.make_service(
            self._folder,
            self._office,
            policy=self._policy,
            clock=boottime,
            ledger=self._ledger,
            run_blocking=trio.to_thread.run_sync,
        )
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(service.run)
                self._office.tell(service)
                await nursery.start(
                    listeners.serve_unix,
                    application.make_application(api.local_routes(service)),
                    self.socket,
                )
                self._ready.put(None)
                await trio.sleep_forever()
