# SPDX-License-Identifier: Apache-2.0
"""Nova's scheduler and Placement in one process, for the benchmark.

Databases are SQLite files and Placement is called without a socket, as in
Nova's own functional tests: the stock scheduler looks better than with a
network in between.  Records of hosts are written into the tables as
nova-compute leaves them; no nova-compute runs.

``python -m tests.benchmarks.scheduling.nova_side HOSTS ROUNDS [SOCKET]``
(with OS_NOVA_DISABLE_EVENTLET_PATCHING set) prints, as JSON, the
milliseconds of each decision: the stock scheduler's and, with a socket,
ours with the claims on PCs that follow; by schedulers that ask the database
for each host's instances ('untold'), and by such that nova-computes have
told them ('told').
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any
from unittest import mock

import sqlalchemy

import tests.support.nova_threads  # noqa: F401

# isort: split

from nova import context as nova_context
from nova import objects, test
from nova.db.api import api as api_db
from nova.db.api import models as api_models
from nova.db.main import api as main_db
from nova.db.main import models
from nova.scheduler import host_manager
from nova.scheduler import manager as stock
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional import fixtures as func_fixtures
from os_resource_classes import STANDARDS
from placement import db_api as placement_db
from placement.db.sqlalchemy import models as placement_models

from p2pcs_nova import wire
from p2pcs_nova.client import local
from tests.benchmarks.scheduling import sizes

NEED = wire.Capacity(vcpus=1, memory_mb=512, disk_mb=1024)
TRAIT = 'OWNER_NOVA'
"""Nova asks Placement for it: nova-compute has set it."""
CLAIM_TIMEOUT_S = 60.0
ENOUGH_S = 60.0
"""No further round after so long, ..."""
AT_LEAST = 3
"""... but so many."""
DAY_S = 86400


def node_uuid(name: str) -> str:
    """Of a host's node."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


class Cloud(test.TestCase):  # type: ignore[misc]
    """Hosts with as much as this many PCs."""

    pcs_each = 1
    count = 1

    def runTest(self) -> None:  # noqa: N802
        """Nothing: whoever makes it uses it."""

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(func_fixtures.PlacementFixture())
        self.useFixture(nova_fixtures.AllServicesCurrent())
        self.context = nova_context.get_admin_context()
        self.names = [sizes.slice_name(number) for number in range(self.count)]
        self._write_hosts()
        self._write_providers()

    def make(self, kind: type[Any], told: bool) -> Any:
        """A manager, which has been told every host's instances or not."""
        # It would start empty later, in a thread.
        with mock.patch.object(
            host_manager.HostManager, '_init_instance_info', autospec=True
        ):
            made = kind()
        made.host_manager._instance_info = {
            name: {'instances': {}, 'updated': True}
            for name in self.names
            if told
        }
        return made

    def _write_hosts(self) -> None:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        offer, many = sizes.OFFER, self.pcs_each
        disk_gb = offer.disk_mb // 1024 * many
        cell = self.cell_mappings['cell1']
        with nova_context.target_cell(self.context, cell) as inside:
            writer = main_db.get_context_manager(inside).writer
            with writer.using(inside) as session:
                session.bulk_insert_mappings(
                    models.Service,
                    [
                        {
                            'host': name,
                            'binary': 'nova-compute',
                            'topic': 'compute',
                            'report_count': 1,
                            'last_seen_up': now,
                            'version': objects.service.SERVICE_VERSION,
                            'uuid': str(uuid.uuid4()),
                            'disabled': False,
                            'forced_down': False,
                        }
                        for name in self.names
                    ],
                )
                session.bulk_insert_mappings(
                    models.ComputeNode,
                    [
                        {
                            'uuid': node_uuid(name),
                            'host': name,
                            'hypervisor_hostname': name,
                            'vcpus': offer.vcpus * many,
                            'memory_mb': offer.memory_mb * many,
                            'local_gb': disk_gb,
                            'vcpus_used': 0,
                            'memory_mb_used': 0,
                            'local_gb_used': 0,
                            'free_ram_mb': offer.memory_mb * many,
                            'free_disk_gb': disk_gb,
                            'disk_available_least': disk_gb,
                            'hypervisor_type': 'QEMU',
                            'hypervisor_version': 7002000,
                            'cpu_info': '{}',
                            'supported_instances': '[]',
                            'host_ip': '127.0.0.1',
                            'running_vms': 0,
                            'current_workload': 0,
                            'stats': '{"failed_builds": "0"}',
                            'cpu_allocation_ratio': 1.0,
                            'ram_allocation_ratio': 1.0,
                            'disk_allocation_ratio': 1.0,
                            'mapped': 1,
                            'deleted': 0,
                        }
                        for name in self.names
                    ],
                )
        with api_db.context_manager.writer.using(self.context) as session:
            cell_id = cell.id
            session.bulk_insert_mappings(
                api_models.HostMapping,
                [{'host': name, 'cell_id': cell_id} for name in self.names],
            )

    def _write_providers(self) -> None:
        amounts = {
            'VCPU': sizes.OFFER.vcpus,
            'MEMORY_MB': sizes.OFFER.memory_mb,
            'DISK_GB': sizes.OFFER.disk_mb // 1024,
        }
        engine = placement_db.placement_context_manager.writer.get_engine()
        with engine.begin() as connection:
            trait_id = connection.execute(
                sqlalchemy.select(placement_models.Trait.id).where(
                    placement_models.Trait.name == TRAIT
                )
            ).scalar_one()
            rows = list(enumerate(self.names, 1))
            connection.execute(
                placement_models.ResourceProvider.__table__.insert(),
                [
                    {
                        'id': number,
                        'uuid': node_uuid(name),
                        'name': name,
                        'generation': 1,
                        'root_provider_id': number,
                    }
                    for number, name in rows
                ],
            )
            connection.execute(
                placement_models.Inventory.__table__.insert(),
                [
                    {
                        'resource_provider_id': number,
                        'resource_class_id': STANDARDS.index(kind),
                        'total': amount * self.pcs_each,
                        'max_unit': amount,
                        'min_unit': 1,
                        'step_size': 1,
                        'reserved': 0,
                        'allocation_ratio': 1.0,
                    }
                    for number, _ in rows
                    for kind, amount in amounts.items()
                ],
            )
            connection.execute(
                placement_models.ResourceProviderTrait.__table__.insert(),
                [
                    {'resource_provider_id': number, 'trait_id': trait_id}
                    for number, _ in rows
                ],
            )


def make_spec() -> Any:
    """A request for one ordinary server."""
    flavor = objects.Flavor(
        id=1,
        name='small',
        flavorid='small',
        vcpus=NEED.vcpus,
        memory_mb=NEED.memory_mb,
        root_gb=NEED.disk_mb // 1024,
        ephemeral_gb=0,
        swap=0,
        extra_specs={},
        disabled=False,
        is_public=True,
        rxtx_factor=1.0,
        vcpu_weight=0,
        description=None,
        projects=[],
    )
    return objects.RequestSpec(
        flavor=flavor,
        image=objects.ImageMeta(properties=objects.ImageMetaProps()),
        instance_uuid=str(uuid.uuid4()),
        project_id='project',
        user_id='user',
        num_instances=1,
        availability_zone=None,
        scheduler_hints={},
        ignore_hosts=None,
        force_hosts=None,
        force_nodes=None,
        requested_destination=None,
        retry=None,
        limits=objects.SchedulerLimits(),
        instance_group=None,
        pci_requests=objects.InstancePCIRequests(requests=[]),
        numa_topology=None,
        security_groups=objects.SecurityGroupList(),
        is_bfv=False,
        requested_resources=[],
        request_level_params=objects.RequestLevelParams(),
        network_metadata=objects.NetworkMetadata(
            physnets=set(), tunneled=False
        ),
    )


def decide(manager: Any, context: Any) -> tuple[str, str]:
    """One decision, as the conductor asks for it: instance and host."""
    spec = make_spec()
    ((first, *_),) = manager.select_destinations(
        context,
        spec_obj=spec,
        instance_uuids=[spec.instance_uuid],
        return_objects=True,
        return_alternates=True,
    )
    return spec.instance_uuid, first.service_host


def claim(client: local.LocalClient, instance: str, host: str) -> None:
    """What the driver then asks its daemon for."""
    image = wire.Image('sha256:' + 'a' * 64, 'raw', 512)
    client.spawn(
        host,
        wire.SpawnRequest(
            wire.Claim(instance, NEED, (sizes.NETWORK,), image.digest),
            wire.InstanceSpec(
                instance=instance,
                name='server',
                need=NEED,
                image=image,
                root_mb=NEED.disk_mb,
            ),
        ),
        CLAIM_TIMEOUT_S,
    )


def repeat(call: Callable[[], Any], rounds: int) -> list[float]:
    """Milliseconds of each; the first, which fills caches, is left out."""
    call()
    found: list[float] = []
    while len(found) < rounds:
        if len(found) >= AT_LEAST and sum(found) > ENOUGH_S * 1e3:
            break
        begin = time.perf_counter()
        call()
        found.append((time.perf_counter() - begin) * 1e3)
    return found


def measure(
    cloud: Cloud, rounds: int, socket: str, told: bool
) -> dict[str, list[float]]:
    """Every scheduler of one cloud."""
    kept = cloud.make(stock.SchedulerManager, told)
    found = {'stock': repeat(lambda: decide(kept, cloud.context), rounds)}
    if socket:
        ours = cloud.make(_our_manager(), told)
        client = local.LocalClient(socket)
        found['asking'] = repeat(
            lambda: client.fits(wire.FitRequest(NEED)), rounds
        )
        found['select'] = repeat(lambda: decide(ours, cloud.context), rounds)
        found['ours'] = repeat(
            lambda: claim(client, *decide(ours, cloud.context)), rounds
        )
    return found


def _our_manager() -> type[Any]:
    from p2pcs_nova.scheduler import manager

    return manager.P2PSchedulerManager


def main() -> None:
    """Measure what the arguments say."""
    count, rounds, *sockets = sys.argv[1:]
    socket = sockets[0] if sockets else ''
    from p2pcs_nova.scheduler import conf

    conf.register(stock.CONF)
    Cloud.count = int(count)
    Cloud.pcs_each = sizes.PCS_PER_SLICE if socket else 1
    cloud = Cloud()
    cloud.setUp()
    logging.disable(logging.INFO)
    try:
        # Nobody reports that the hosts are up.
        cloud.flags(service_down_time=DAY_S)
        # Else Placement would show no more than a thousand of them.
        cloud.flags(max_placement_results=Cloud.count, group='scheduler')
        if socket:
            cloud.flags(socket=socket, group='p2pcs')
        found = {
            how: measure(cloud, int(rounds), socket, told)
            for how, told in (('untold', False), ('told', True))
        }
    finally:
        cloud.doCleanups()
    json.dump(found, sys.stdout)


if __name__ == '__main__':
    main()
