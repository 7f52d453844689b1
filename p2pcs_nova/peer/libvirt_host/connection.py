# SPDX-License-Identifier: Apache-2.0
"""Connections to libvirt, and its event loop.

Everything here blocks or runs in libvirt's own thread; nothing here knows
trio.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import libvirt

from p2pcs_nova.peer.hypervisor import Happening

LOG = logging.getLogger(__name__)

Notify = Callable[[str, Happening | None], None]
"""Called from libvirt's thread: instance and what; None: link lost."""

_loop_lock = threading.Lock()
_loop_runs = threading.Event()


def _ensure_event_loop() -> None:
    """libvirt's own event loop, one thread for the whole process."""
    with _loop_lock:
        if _loop_runs.is_set():
            return
        # Errors are raised; without this they are also printed.
        libvirt.registerErrorHandler(lambda context, error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(
            target=_run_event_loop, name='libvirt-events', daemon=True
        ).start()
        _loop_runs.set()


def _run_event_loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            LOG.exception('the event loop of libvirt')
            time.sleep(1)


class Link:
    """A connection, and the calls that are under way on it.

    libvirt frees a connection when it is closed, whoever is still in a
    call on it.  So a link that is discarded is closed by the last of its
    calls, which returns when libvirtd answers after all or dies.

    There are no keepalives: a connection that they end while several
    calls wait on it brings the process down when libvirtd comes back
    (seen with libvirt 9.0).  The deadlines of calls do their work.

    :param connection: of ours from now on
    """

    def __init__(self, connection: libvirt.virConnect) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._calls = 0
        self._discarded = False

    @contextlib.contextmanager
    def call(self) -> Iterator[libvirt.virConnect]:
        """The connection, which is not closed while the body runs.

        :raises Discarded: it may be closed already
        """
        self._enter()
        try:
            yield self._connection
        finally:
            self._leave()

    def _enter(self) -> None:
        with self._lock:
            if self._discarded:
                raise Discarded('the connection was given up')
            self._calls += 1

    def _leave(self) -> None:
        with self._lock:
            self._calls -= 1
            last = self._discarded and not self._calls
        if last:
            _close(self._connection)

    @property
    def discarded(self) -> bool:
        """Whether it is given up."""
        return self._discarded

    def discard(self) -> None:
        """Begin no other call; does not block."""
        with self._lock:
            idle = not self._discarded and not self._calls
            self._discarded = True
        if idle:
            # Closing asks libvirtd, which may be silent.
            threading.Thread(
                target=_close,
                args=(self._connection,),
                name='libvirt-close',
                daemon=True,
            ).start()


class Discarded(Exception):
    """The link was given up before this call began; nothing was done."""


def connect(uri: str, notify: Notify, given_up: threading.Event) -> Link:
    """Open a connection that reports events.

    :param given_up: set if nobody waits any longer: it is then discarded
    """
    _ensure_event_loop()
    connection = libvirt.open(uri)
    link = Link(connection)

    def changed(_: Any, dom: Any, __: int, ___: int, ____: Any) -> None:
        notify(dom.UUIDString(), Happening.CHANGED)

    def rebooted(_: Any, dom: Any, __: Any) -> None:
        notify(dom.UUIDString(), Happening.REBOOTED)

    def closed(_: Any, __: int, ___: Any) -> None:
        if not link.discarded:
            notify('', None)

    connection.domainEventRegisterAny(
        None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, changed, None
    )
    connection.domainEventRegisterAny(
        None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, rebooted, None
    )
    connection.registerCloseCallback(closed, None)
    if given_up.is_set():
        link.discard()
    return link


def _close(connection: libvirt.virConnect) -> None:
    """Close it; blocks as long as libvirtd does not answer."""
    try:
        connection.unregisterCloseCallback()
        connection.close()
    except libvirt.libvirtError as error:
        LOG.debug('closing libvirt: %s', error)
