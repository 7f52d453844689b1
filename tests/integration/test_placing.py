# SPDX-License-Identifier: Apache-2.0
"""Which PC gets a server, and which server no PC gets."""

from __future__ import annotations

import time
from typing import Any

import pytest
from openstack import exceptions

from devstack.lab.layout import CONTROL, DEFAULT_PCS, SLICES
from devstack.lab.overlay import OFFER
from p2pcs_nova import wire
from tests.conftest import Figure
from tests.support import pcs, scene
from tests.support.catalogue import flavor
from tests.support.lab import Lab
from tests.support.servers import Bench
from tests.support.waiting import until

pytestmark = pytest.mark.lab

MANY = 6
FAULT_TIMEOUT_S = 60.0
GROUP_POLICY = '2.64'
"""The first API version in which a server group has one policy."""


def usages(lab: Lab, slice_name: str) -> Any:
    """What Placement has given away of a slice."""
    return scene.placement_of(lab, slice_name, 'usages')


def who_has_what(lab: Lab) -> str:
    """What everybody says, line by line."""
    lines = [
        f'{name}: Placement has '
        f'{sorted(scene.placement_of(lab, name, "allocations"))}, '
        f'PCs hold {pcs.slice_summary(lab, name).used}'
        for name in SLICES
    ]
    for name, pc in pcs.pcs(lab).items():
        said = pcs.status(pc)
        rows = {row.instance: str(row.state) for row in said.instances}
        told = pcs.peer_row(lab, name)
        lines.append(f'{name}: {said.used} {rows}; to the gateway: {told}')
    lines += [
        f'{server.id}: {server.name} {server.status} {server.task_state}'
        for server in lab.admin.compute.servers(all_projects=True)
    ]
    return '\n'.join(lines)


def is_settled(lab: Lab) -> bool:
    """Whether Placement has given away what is used, and no more.

    Of a server that Nova shows no more it keeps the room for a moment.
    """
    return all(
        usages(lab, name).get('VCPU', 0)
        == pcs.slice_summary(lab, name).used.vcpus
        for name in SLICES
    )


def wait_until_settled(lab: Lab) -> None:
    """Until it is so; else say who has what."""
    try:
        until(lambda: is_settled(lab))
    except AssertionError as error:
        raise AssertionError(who_has_what(lab)) from error


def test_six_servers_at_once_over_four_pcs(
    lab: Lab, bench: Bench, figure: Figure
) -> None:
    wait_until_settled(lab)
    begin = time.monotonic()
    # Half a PC each: no slice has room for all of them.
    ids = [bench.create(f'six-{n}', 'm1.medium') for n in range(MANY)]
    for server_id in ids:
        bench.wait(server_id)
    figure(f'placing: {MANY} servers ACTIVE', time.monotonic() - begin)
    sums = {}
    for name, pc in pcs.pcs(lab).items():
        said = pcs.status(pc)
        assert said.offer is not None
        assert said.offer.total.fits(said.used), name
        domains = lab.inside(pc, 'virsh', '-q', 'list', '--uuid').split()
        assert {row.instance for row in said.instances} == set(domains)
        needs = [row.need for row in said.instances]
        assert said.used == sum(needs, start=wire.Capacity())
        for row in said.instances:
            sums[row.instance] = name
    assert set(ids) <= set(sums)
    hosts = {
        lab.admin.compute.get_server(found).hypervisor_hostname
        for found in ids
    }
    assert hosts == set(SLICES)
    for found in ids:
        assert pcs.where(lab, found) == sums[found]


def test_placement_gives_exactly_what_the_pcs_hold(
    lab: Lab, bench: Bench
) -> None:
    bench.wait(bench.create('given', 'm1.medium'))
    for name in SLICES:
        held = pcs.slice_summary(lab, name).used
        used = usages(lab, name)
        assert used.get('VCPU', 0) == held.vcpus, who_has_what(lab)
        assert used.get('MEMORY_MB', 0) == held.memory_mb
        assert used.get('DISK_GB', 0) * 1024 == held.disk_mb


@pytest.mark.parametrize('name', SLICES)
def test_inventory_is_the_sum_and_max_unit_the_largest_pc(
    lab: Lab, name: str
) -> None:
    count = len(pcs.pcs_of_slice(lab, name))
    assert count
    known = scene.inventories(lab, name)
    for kind, each in (
        ('VCPU', OFFER['vcpus']),
        ('MEMORY_MB', OFFER['memory_mb']),
        ('DISK_GB', OFFER['disk_mb'] // 1024),
    ):
        assert known[kind]['total'] == count * each, kind
        assert known[kind]['max_unit'] == each, kind
        assert known[kind]['allocation_ratio'] == 1.0, kind
        assert known[kind]['reserved'] == 0, kind


def test_flavor_that_fits_no_pc_ends_in_no_valid_host(
    lab: Lab, bench: Bench, figure: Figure
) -> None:
    shape = {'vcpus': OFFER['vcpus'] + 1, 'ram': 128, 'disk': 1}
    with flavor(lab, 'test.wide', {}, **shape) as name:
        begin = time.monotonic()
        found = bench.create('wide', name)
        server = bench.wait(found, 'ERROR', FAULT_TIMEOUT_S)
        figure('placing: no PC is so large, ERROR', time.monotonic() - begin)
        assert server.fault['message'] == (
            'No valid host was found. '
            f'{DEFAULT_PCS} PCs: {DEFAULT_PCS} too small'
        )


@pytest.mark.parametrize('name', SLICES)
def test_server_goes_to_the_slice_that_its_user_wishes(
    lab: Lab, bench: Bench, name: str
) -> None:
    found = bench.create(f'wished-{name}', hints={'p2pcs:slice': name})
    bench.wait(found)
    server = lab.admin.compute.get_server(found)
    assert server.hypervisor_hostname == name
    log = lab.layout.log(CONTROL, 'nova-scheduler').read_text()
    assert f'instance {found}: goes to {name};' in log


def test_wish_that_is_none_is_an_error_with_its_reason(
    lab: Lab, bench: Bench, figure: Figure
) -> None:
    begin = time.monotonic()
    wished = {'p2pcs:slice': 'bronze'}
    server = bench.wait(
        bench.create('bronze', hints=wished), 'ERROR', FAULT_TIMEOUT_S
    )
    figure('placing: no slice of that name, ERROR', time.monotonic() - begin)
    assert server.fault['message'].startswith(
        'No valid host was found. there is no slice bronze; the policy has '
    )


def test_what_no_single_pc_has_left_is_refused_by_the_pcs(
    lab: Lab, bench: Bench, figure: Figure
) -> None:
    """Placement sees enough in the slice, in pieces on two PCs."""
    shape = {'vcpus': OFFER['vcpus'] - 1, 'ram': 128, 'disk': 1}
    with flavor(lab, 'test.most', {}, **shape) as name:
        fill = [bench.create(f'most-{n}', name) for n in range(DEFAULT_PCS)]
        for found in fill:
            bench.wait(found)
        begin = time.monotonic()
        found = bench.create('two', 'm1.medium')
        server = bench.wait(found, 'ERROR', FAULT_TIMEOUT_S)
        figure('placing: no PC has that left, ERROR', time.monotonic() - begin)
        half = DEFAULT_PCS // len(SLICES)
        assert server.fault['message'] == (
            f'Build of instance {found} aborted: No valid host was found. '
            f'{half} PCs: {half} full; elsewhere {half} PCs: {half} full'
        )
        assert pcs.placed(lab, found) is None
        bench.delete(found, *fill)


def test_servers_that_are_to_be_apart_share_a_slice_but_no_pc(
    lab: Lab, bench: Bench
) -> None:
    answer = lab.demo.compute.post(
        '/os-server-groups',
        json={'server_group': {'name': 'apart', 'policy': 'anti-affinity'}},
        microversion=GROUP_POLICY,
    )
    exceptions.raise_from_response(answer)
    group = answer.json()['server_group']['id']
    try:
        apart = [
            bench.create(f'apart-{n}', hints={'group': group})
            for n in range(DEFAULT_PCS)
        ]
        for found in apart:
            bench.wait(found)
        on_pcs = {pcs.where(lab, found) for found in apart}
        assert len(on_pcs) == DEFAULT_PCS
        more = bench.create('one-too-many', hints={'group': group})
        fault = bench.wait(more, 'ERROR').fault['message']
        assert f'{DEFAULT_PCS} PCs: {DEFAULT_PCS} kept apart by' in fault
        told = {line['What'] for line in pcs.explain(lab, more)}
        for name in SLICES:
            of_slice = f'slice {name}, now:'
            assert f'{of_slice} 2 PCs: 2 kept apart by its group' in told
            assert f'{of_slice} kept apart by its group' in told
    finally:
        lab.demo.compute.delete_server_group(group)


def test_quota_overrun_is_refused_by_nova(lab: Lab, bench: Bench) -> None:
    project = lab.demo.current_project_id
    quota = f'/os-quota-sets/{project}'
    before = lab.admin.compute.get(quota).json()['quota_set']['instances']
    have = len(list(lab.demo.compute.servers(details=False)))
    compute = lab.admin.compute
    compute.put(quota, json={'quota_set': {'instances': have}})
    try:
        with pytest.raises(exceptions.HttpException) as refusal:
            bench.create('over')
    finally:
        compute.put(quota, json={'quota_set': {'instances': before}})
    assert refusal.value.status_code == 403
    assert 'Quota exceeded' in str(refusal.value)


def test_slices_are_hosts_and_hypervisors_of_nova(lab: Lab) -> None:
    services = lab.admin.compute.services(binary='nova-compute')
    up = {found.host for found in services if found.state == 'up'}
    assert up == set(SLICES)
    nodes = lab.admin.compute.hypervisors(details=True)
    assert {node.name for node in nodes} == set(SLICES)
