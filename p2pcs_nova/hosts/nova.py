# SPDX-License-Identifier: Apache-2.0
"""Nova's own view of the slices, read and changed over its API."""

from __future__ import annotations

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
from p2pcs_nova.policy.partition import Partition

LOG = logging.getLogger(__name__)

MICROVERSION = '2.53'
"""The first that names services by UUIDs."""
GROUP = 'service_user'
"""The section of nova.conf with the user to act as."""
TIMEOUT_S = 30
FAILURES = (
    auth_exceptions.ClientException,
    nova_exceptions.ClientException,
)


def connect(nova_conf: pathlib.Path) -> Any:
    """Nova's API, as the service user of this nova.conf.

    :raises cfg.Error: the file is missing, or says no user
    """
    conf = cfg.ConfigOpts()
    loading.register_auth_conf_options(conf, GROUP)
    loading.register_session_conf_options(conf, GROUP)
    conf(['--config-file', str(nova_conf)], default_config_files=[])
    session = loading.load_session_from_conf_options(
        conf,
        GROUP,
        auth=loading.load_auth_from_conf_options(conf, GROUP),
        timeout=TIMEOUT_S,
    )
    return client.Client(MICROVERSION, session=session)


def follow(nova: Any, partition: Partition) -> tuple[plan.Step, ...]:
    """Have Nova's hosts as the slices; idempotent.

    A slice whose nova-compute Nova does not know yet, or whose host it has
    not mapped to a cell yet, has its turn at the next call.

    :returns: what was done
    :raises Unreachable: Nova does not answer, or refuses all; what was done
        before stays
    """
    done: list[plan.Step] = []
    try:
        found = list(plan.steps(partition, services(nova), aggregates(nova)))
        for step in found:
            if _do(nova, step):
                done.append(step)
    except FAILURES as error:
        raise errors.Unreachable(f'nova: {error}') from None
    return tuple(done)


def services(nova: Any) -> list[plan.Service]:
    """All nova-computes."""
    return [
        plan.Service(
            one.id,
            one.host,
            (one.disabled_reason or '') if one.status == 'disabled' else None,
        )
        for one in nova.services.list(binary='nova-compute')
    ]


def aggregates(nova: Any) -> list[plan.Aggregate]:
    """All host aggregates."""
    return [
        plan.Aggregate(
            one.id, one.name, one.availability_zone or '', tuple(one.hosts)
        )
        for one in nova.aggregates.list()
    ]


def _do(nova: Any, step: plan.Step) -> bool:
    """Take one step; False if Nova is not ready for it yet."""
    try:
        _change(nova, step)
    except (nova_exceptions.NotFound, nova_exceptions.Conflict) as error:
        # The host is not yet mapped to a cell, or not yet empty.
        LOG.info('not yet: %s: %s', step, error)
        return False
    LOG.info('done: %s', step)
    return True


def _change(nova: Any, step: plan.Step) -> None:
    match step:
        case plan.MakeAggregate(name, zone, host):
            made = nova.aggregates.create(name, zone or None)
            nova.aggregates.add_host(made.id, host)
        case plan.AddHost(aggregate, host):
            nova.aggregates.add_host(aggregate, host)
        case plan.SetZone(aggregate, zone):
            nova.aggregates.set_metadata(
                aggregate, {'availability_zone': zone or None}
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
