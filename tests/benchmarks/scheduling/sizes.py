# SPDX-License-Identifier: Apache-2.0
"""What both sides of the scheduler's benchmark have in common."""

from __future__ import annotations

from p2pcs_nova import wire

PCS_PER_SLICE = 100
OFFER = wire.Capacity(vcpus=8, memory_mb=16384, disk_mb=100 * 1024)
"""Of each PC."""
SERVERS = 2
"""On each PC, for the gateway: Nova's hosts are empty, to its advantage."""
SERVER = wire.Capacity(vcpus=1, memory_mb=2048, disk_mb=10 * 1024)
"""What each of them has."""
NETWORK = 'office'
SOCKET = 'p2pcs.sock'
"""In the overlay's folder."""


def slices(pcs: int) -> int:
    """How many there are for so many PCs."""
    return max(1, pcs // PCS_PER_SLICE)


def slice_name(number: int) -> str:
    """Of the slices, in order."""
    return f'slice-{number}'
