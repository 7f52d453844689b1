# SPDX-License-Identifier: Apache-2.0
"""What is to be done in Nova so that its hosts are as the slices.  Pure.

Each slice has an aggregate of its own, which puts its host into its zone.
A slice that is drained is a host that is disabled; one that is closed is
disabled too, and taken away: its aggregate as soon as Nova lets it go, its
service when its nova-compute has been silent for as long as Nova takes to
believe it, for one that still ran would bring half of it back.  What others
have made or disabled is left alone: a nova-compute is ours by its node, and
by its host's name it may be anybody's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from p2pcs_nova import wire
from p2pcs_nova.hosts.node import node_id
from p2pcs_nova.policy.partition import Partition

PREFIX = 'p2pcs:'
"""Of the names of our aggregates."""
DRAINED = 'p2pcs: the slice is being drained'
"""Why we have disabled a service."""
ANOTHERS = (
    'is another nova-compute, and left alone: give the slice another name in '
    'the policy'
)
NO_NODE = (
    'its nova-compute has not told Nova of its node yet; one that never will '
    "may be anybody's: delete that compute service in Nova"
)


@dataclasses.dataclass(frozen=True)
class Service:
    """A nova-compute that Nova knows."""

    id: str
    host: str
    nodes: frozenset[str]
    """The ids of its compute nodes; none until it has told of the first."""
    disabled_reason: str | None = None
    """None: it is enabled."""
    is_up: bool = True
    """Whether it has reported lately."""

    @property
    def is_ours(self) -> bool:
        """Whether the driver of a slice has brought its node."""
        return self.nodes == {node_id(self.host)}

    @property
    def is_anothers(self) -> bool:
        """Whether any other has; false, too, while it has no node."""
        return bool(self.nodes) and not self.is_ours


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """A host aggregate that Nova knows."""

    id: int
    name: str
    zone: str
    hosts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class MakeAggregate:
    """Make a slice's aggregate, with its host in it."""

    name: str
    zone: str
    host: str


@dataclasses.dataclass(frozen=True)
class AddHost:
    """Put a host into its aggregate."""

    aggregate: int
    host: str


@dataclasses.dataclass(frozen=True)
class SetZone:
    """Give an aggregate whose host is empty another zone."""

    aggregate: int
    zone: str


@dataclasses.dataclass(frozen=True)
class DropAggregate:
    """Take an aggregate away, its hosts first."""

    aggregate: int
    hosts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Disable:
    """Have a service take nothing new."""

    service: str


@dataclasses.dataclass(frozen=True)
class Enable:
    """Take back what we have disabled."""

    service: str


@dataclasses.dataclass(frozen=True)
class DropService:
    """Take a host away for good: Nova refuses as long as it is occupied."""

    service: str


@dataclasses.dataclass(frozen=True)
class Wait:
    """Nothing can be done yet."""

    host: str
    why: str


Step = (
    MakeAggregate
    | AddHost
    | SetZone
    | DropAggregate
    | Disable
    | Enable
    | DropService
    | Wait
)


def steps(
    partition: Partition,
    services: Sequence[Service],
    aggregates: Sequence[Aggregate],
    occupied: Collection[str] = (),
) -> Iterator[tuple[Step, ...]]:
    """What is to be done for each slice, in order; () if all is right.

    What comes after a step that Nova refuses waits with it.

    :param occupied: the slices that are not open, and have servers
    """
    by_host = {one.host: one for one in services}
    by_name = {one.name: one for one in aggregates}
    for row in partition.rows:
        service = by_host.get(row.name)
        aggregate = by_name.get(f'{PREFIX}{row.name}')
        if row.state is wire.SliceState.CLOSED:
            is_occupied = row.name in occupied
            yield tuple(_retire(service, aggregate, is_occupied))
        else:
            yield tuple(_keep(partition, row, service, aggregate))


def gone(
    partition: Partition,
    services: Sequence[Service],
    aggregates: Sequence[Aggregate],
) -> Iterator[str]:
    """The closed slices of which Nova has nothing any more."""
    left = {f'{PREFIX}{one.host}' for one in services if not one.is_anothers}
    left |= {one.name for one in aggregates}
    for row in partition.rows:
        is_closed = row.state is wire.SliceState.CLOSED
        if is_closed and f'{PREFIX}{row.name}' not in left:
            yield row.name


def idle(
    partition: Partition,
    services: Sequence[Service],
    occupied: Collection[str],
) -> Iterator[str]:
    """The drained slices that have no server, and get none."""
    taking = {
        one.host
        for one in services
        if not one.is_anothers
        and (one.disabled_reason is None or not one.is_ours)
    }
    for row in partition.rows:
        is_drained = row.state is wire.SliceState.DRAINING
        if is_drained and row.name not in {*taking, *occupied}:
            yield row.name


def _retire(
    service: Service | None, aggregate: Aggregate | None, is_occupied: bool
) -> Iterator[Step]:
    is_ours = service is not None and service.is_ours
    if service is not None and is_ours and service.disabled_reason is None:
        yield Disable(service.id)
    if service is not None and is_occupied:
        yield Wait(service.host, 'Placement has a server there')
        return
    if aggregate is not None:
        yield DropAggregate(aggregate.id, aggregate.hosts)
    if service is None or service.is_anothers:
        return
    if not is_ours:
        yield Wait(service.host, NO_NODE)
    elif service.is_up:
        yield Wait(service.host, 'Nova has heard of its nova-compute lately')
    else:
        yield DropService(service.id)


def _keep(
    partition: Partition,
    row: wire.SliceRow,
    service: Service | None,
    aggregate: Aggregate | None,
) -> Iterator[Step]:
    is_open = row.state is wire.SliceState.OPEN
    if service is None:
        if is_open:
            yield Wait(row.name, 'Nova does not know its nova-compute yet')
    elif not service.is_ours:
        why = ANOTHERS if service.is_anothers else NO_NODE
        yield Wait(row.name, why)
    else:
        if is_open:
            options = partition.options(row.name)
            zone = options.zone if options else ''
            yield from _place(row.name, zone, aggregate)
        yield from _open(row.state, service)


def _place(
    host: str, zone: str, aggregate: Aggregate | None
) -> Iterator[Step]:
    if aggregate is not None and aggregate.zone and not zone:
        # Nova gives an aggregate another zone, but takes none away.
        yield DropAggregate(aggregate.id, aggregate.hosts)
        aggregate = None
    if aggregate is None:
        yield MakeAggregate(f'{PREFIX}{host}', zone, host)
        return
    if aggregate.zone != zone:
        yield SetZone(aggregate.id, zone)
    if host not in aggregate.hosts:
        yield AddHost(aggregate.id, host)


def _open(state: wire.SliceState, service: Service) -> Iterator[Step]:
    drained = state is wire.SliceState.DRAINING
    if drained and service.disabled_reason is None:
        yield Disable(service.id)
    if not drained and service.disabled_reason == DRAINED:
        yield Enable(service.id)
