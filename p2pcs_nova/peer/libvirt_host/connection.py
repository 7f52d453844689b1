# SPDX-License-Identifier: Apache-2.0
"""Connections to libvirt, and its event loop.

Everything here blocks or runs in libvirt's own thread; nothing here knows
trio.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import libvirt

from p2pcs_nova.peer.hypervisor import Happening

LOG = logging.getLogger(__name__)

KEEPALIVE_S = 5
KEEPALIVE_MISSES = 3
"""A libvirtd that is silent this many times ends the connection."""

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


def connect(
    uri: str, notify: Notify, given_up: threading.Event
) -> libvirt.virConnect | None:
    """Open a connection that reports events.

    :returns: None if ``given_up`` was set while we waited
    """
    _ensure_event_loop()
    connection = libvirt.open(uri)

    def changed(_: Any, dom: Any, __: int, ___: int, ____: Any) -> None:
        notify(dom.UUIDString(), Happening.CHANGED)

    def rebooted(_: Any, dom: Any, __: Any) -> None:
        notify(dom.UUIDString(), Happening.REBOOTED)

    def closed(_: Any, __: int, ___: Any) -> None:
        notify('', None)

    connection.domainEventRegisterAny(
        None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, changed, None
    )
    connection.domainEventRegisterAny(
        None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, rebooted, None
    )
    connection.registerCloseCallback(closed, None)
    connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_MISSES)
    if given_up.is_set():
        close(connection)
        return None
    return connection


def close(connection: libvirt.virConnect) -> None:
    """Close it; blocks as long as libvirtd does not answer."""
    try:
        connection.unregisterCloseCallback()
        connection.close()
    except libvirt.libvirtError as error:
        LOG.debug('closing libvirt: %s', error)
