# SPDX-License-Identifier: Apache-2.0
"""Nova's own view of the slices, read and changed over its API."""

from __future__ import annotations

import collections
import dataclasses
import logging
import pathlib
from typing import Any

from keystoneauth1 import exceptions as auth_exceptions
from keystoneauth1 import loading
from novaclient import client
from novaclient import exceptions as nova_exceptions
from oslo_config import cfg

from p2pcs_nova import errors
from p2pcs_nova.hosts import plan
from p2pcs_nova.hosts.node import node_id
from p2pcs_nova.policy.partition import Partition

LOG = logging.getLogger(__name__)

MICROVERSION = '2.53'
"""The first that names services and nodes by UUIDs."""
GROUP = 'service_user'
"""The section of nova.conf with the user to act as."""
PLACEMENT = 'placement'
"""Its section there, and the type of the service."""
TIMEOUT_S = 30
FAILURES = (
    auth_exceptions.ClientException,
    nova_exceptions.ClientException,
)
NOT_READY = (
    nova_exceptions.BadRequest,
    nova_exceptions.Conflict,
    nova_exceptions.NotFound,
)
"""A host that is not yet mapped to a cell, or not yet empty."""


class NoUser(cfg.Error):  # type: ignore[misc]
    """The nova.conf does not say as whom to ask Nova."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What has become of Nova's hosts."""

    done: tuple[plan.Step, ...]
    waiting: tuple[str, ...]
    """What Nova is not ready for yet, in words."""
    gone: tuple[str, ...] = ()
    """The closed slices that Nova had nothing of any more."""
    idle: tuple[str, ...] = ()
    """The drained slices that had no server, and got none."""
    busy: tuple[str, ...] = ()
    """The closed slices that had one, or got one, all the same."""


@dataclasses.dataclass(frozen=True)
class Apis:
    """Nova's, and Placement's."""

    nova: Any
    placement: Any
    """What has ``get``: an adapter of keystoneauth."""

    def is_occupied(self, host: str) -> bool:
        """Whether Placement has a server on the host of a slice.

        From the moment on that it is sent there, which Nova tells late.
        """
        path = f'/resource_providers/{node_id(host)}/allocations'
        try:
            answer = self.placement.get(path)
        except auth_exceptions.NotFound:
            return False
        return bool(answer.json()['allocations'])


def connect(*nova_conf: pathlib.Path) -> Apis:
    """Both, as the service user of these files; asks nobody yet.

    :raises cfg.Error: a file is missing or wrong, or they say no user
    """
    conf = cfg.ConfigOpts()
    loading.register_auth_conf_options(conf, GROUP)
    loading.register_session_conf_options(conf, GROUP)
    loading.register_adapter_conf_options(conf, PLACEMENT)
    conf.set_default('service_type', PLACEMENT, group=PLACEMENT)
    files = [word for path in nova_conf for word in _as_option(path)]
    conf(files, default_config_files=[], default_config_dirs=[])
    try:
        auth = loading.load_auth_from_conf_options(conf, GROUP)
    except auth_exceptions.ClientException as error:
        raise NoUser(f'[{GROUP}]: {error}') from None
    if auth is None:
        raise NoUser(f'[{GROUP}] says no user')
    session = loading.load_session_from_conf_options(
        conf, GROUP, auth=auth, timeout=TIMEOUT_S
    )
    return Apis(
        client.Client(MICROVERSION, session=session),
        loading.load_adapter_from_conf_options(
            conf, PLACEMENT, session=session
        ),
    )


def _as_option(path: pathlib.Path) -> tuple[str, str]:
    return '--config-file', str(path)


def follow(apis: Apis, partition: Partition) -> Outcome:
    """Have Nova's hosts as the slices; idempotent.

    What Nova is not ready for, because it does not know a nova-compute yet
    or has not mapped its host to a cell, has its turn at the next call, and
    so has what comes after it for that host: none opens in a wrong zone.
    Two that do it at once do no harm.

    :raises Unreachable: Nova does not answer, or refuses all; what was done
        before stays
    """
    nova = apis.nova
    done: list[plan.Step] = []
    waiting: list[str] = []
    try:
        there = services(nova), aggregates(nova)
        occupied = set(filter(apis.is_occupied, partition.shut))
        for steps in plan.steps(partition, *there, occupied):
            for step in steps:
                if isinstance(step, plan.Wait):
                    waiting.append(f'{step.host}: {step.why}')
                    continue
                try:
                    _change(nova, step)
                except NOT_READY as error:
                    waiting.append(f'{step}: {error}')
                    break
                LOG.info('done: %s', step)
                done.append(step)
    except FAILURES as error:
        raise errors.Unreachable(f'nova: {error}') from None
    return Outcome(
        tuple(done),
        tuple(waiting),
        gone=tuple(plan.gone(partition, *there)),
        idle=tuple(plan.idle(partition, there[0], occupied)),
        busy=tuple(sorted(occupied - set(partition.names))),
    )


def services(nova: Any) -> list[plan.Service]:
    """All nova-computes."""
    nodes = _nodes(nova)
    return [
        plan.Service(
            one.id,
            one.host,
            nodes.get(one.host, frozenset()),
            (one.disabled_reason or '') if one.status == 'disabled' else None,
            one.state == 'up',
        )
        for one in nova.services.list(binary='nova-compute')
    ]


def _nodes(nova: Any) -> dict[str, frozenset[str]]:
    """The ids of all compute nodes, by host; Nova tells so many at a time."""
    found = collections.defaultdict[str, set[str]](set)
    marker = None
    while page := nova.hypervisors.list(marker=marker):
        for one in page:
            found[one.service['host']].add(one.id)
        marker = page[-1].id
    return {host: frozenset(ids) for host, ids in found.items()}


def aggregates(nova: Any) -> list[plan.Aggregate]:
    """All host aggregates."""
    return [
        plan.Aggregate(
            one.id, one.name, one.availability_zone or '', tuple(one.hosts)
        )
        for one in nova.aggregates.list()
    ]


def _change(nova: Any, step: plan.Step) -> None:
    match step:
        case plan.MakeAggregate(name, zone, host):
            made = nova.aggregates.create(name, zone or None)
            nova.aggregates.add_host(made.id, host)
        case plan.AddHost(aggregate, host):
            nova.aggregates.add_host(aggregate, host)
        case plan.SetZone(aggregate, zone):
            nova.aggregates.set_metadata(
                aggregate, {'availability_zone': zone}
            )
        case plan.DropAggregate(aggregate, hosts):
            for host in hosts:
                nova.aggregates.remove_host(aggregate, host)
            nova.aggregates.delete(aggregate)
        case plan.Disable(service):
            nova.services.disable_log_reason(service, plan.DRAINED)
        case plan.Enable(service):
            nova.services.enable(service)
        case plan.DropService(service):
            nova.services.delete(service)
