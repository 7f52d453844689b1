# SPDX-License-Identifier: Apache-2.0
"""What is read of an instance: its console, its counters."""

from __future__ import annotations

import msgspec

from p2pcs_nova.wire.basics import (
    Uuid,
)
from p2pcs_nova.wire.instances import (
    InstanceState,
)

CONSOLE_LIMIT = 2**20
"""Bytes of a serial console that are ever given at once."""


class Console(msgspec.Struct, frozen=True):
    """The tail of the serial console."""

    instance: Uuid
    output: bytes


class NicDiagnostics(msgspec.Struct, frozen=True):
    """Counters of one tap since the domain started."""

    mac: str
    rx_octets: int = 0
    rx_errors: int = 0
    rx_drop: int = 0
    rx_packets: int = 0
    tx_octets: int = 0
    tx_errors: int = 0
    tx_drop: int = 0
    tx_packets: int = 0


class DiskDiagnostics(msgspec.Struct, frozen=True):
    """Counters of one disk since the domain started."""

    read_bytes: int = 0
    read_requests: int = 0
    write_bytes: int = 0
    write_requests: int = 0
    errors_count: int = 0


class Diagnostics(msgspec.Struct, frozen=True):
    """What Nova's diagnostics need of a running domain."""

    state: InstanceState
    uptime_s: int
    cpu_time_ns: tuple[int, ...]
    memory_mb: int
    memory_used_mb: int
    nics: tuple[NicDiagnostics, ...] = ()
    disks: tuple[DiskDiagnostics, ...] = ()
