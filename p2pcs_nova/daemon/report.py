# SPDX-License-Identifier: Apache-2.0
"""The daemon's status in words, for the owner of the PC."""

from __future__ import annotations

from collections.abc import Iterator

from p2pcs_nova import attributes, wire

_STATES = {
    wire.InstanceState.BUILDING: 'being built',
    wire.InstanceState.PLUGGED: 'built, about to start',
    wire.InstanceState.RUNNING: 'running',
    wire.InstanceState.PAUSED: 'paused',
    wire.InstanceState.SUSPENDED: 'suspended',
    wire.InstanceState.STOPPED: 'stopped',
    wire.InstanceState.CRASHED: 'crashed',
    wire.InstanceState.FAILED: 'failed to build',
    wire.InstanceState.WAITING: 'off, waiting for its gateway',
    wire.InstanceState.QUARANTINED: 'in quarantine: its gateway '
    'does not know it',
    wire.InstanceState.UNKNOWN: 'in an unknown state',
}


def status_to_text(status: wire.DaemonStatus) -> str:
    """Some lines that a person can read; ends with a newline."""
    return '\n'.join(_lines(status)) + '\n'


def _lines(status: wire.DaemonStatus) -> Iterator[str]:
    yield (
        f'{status.name} is a {status.role} of overlay {status.overlay} at '
        f'{status.address} (id {status.peer}, release {status.release}).'
    )
    others = max(status.members_alive - 1, 0)
    failed = (
        f' and {status.members_failed} failed' if status.members_failed else ''
    )
    yield f'It sees {_count(others, "other member")} alive{failed}.'
    if status.offer is not None:
        yield from _offer(status, status.offer)
        yield from _instances(status)
    known = '' if status.offer is None else status.offer.reason
    for reason in status.reasons:
        if reason not in known:
            yield f'Note: {reason}'


def _offer(status: wire.DaemonStatus, offer: wire.Offer) -> Iterator[str]:
    yield (
        f'It offers {_capacity(offer.total)} under '
        f'{offer.accelerator.value.upper()}, on '
        + (
            f'network {", ".join(offer.networks)}.'
            if offer.networks
            else 'no network.'
        )
    )
    yield f'In use: {_capacity(status.used)}.'
    if status.attributes:
        words = ', '.join(
            f'{key}={attributes.write(value)}'
            for key, value in sorted(status.attributes.items())
        )
        yield f'It says of itself: {words}.'
    if status.slice:
        yield f'It works for slice {status.slice}.'
    if status.draining:
        yield 'It takes nothing new: it is draining.'
    if offer.reason:
        yield f'Note: {offer.reason}'


def _instances(status: wire.DaemonStatus) -> Iterator[str]:
    if not status.instances:
        yield 'No instance is on it.'
        return
    yield f'{_count(len(status.instances), "instance")}:'
    for row in status.instances:
        detail = f' ({row.detail})' if row.detail else ''
        yield (
            f'  {row.instance}  {_STATES[row.state]}{detail}, '
            f'{_capacity(row.need)}'
        )


def _capacity(amount: wire.Capacity) -> str:
    return (
        f'{_count(amount.vcpus, "CPU")}, {amount.memory_mb} MiB of memory, '
        f'{amount.disk_mb / 1024:.1f} GiB of disk'
    )


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}{"" if number == 1 else "s"}'
