# SPDX-License-Identifier: Apache-2.0
"""What the operator and the owner of a PC are shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devstack.lab import overlay
from devstack.lab.layout import CONTROL, SLICES, pc_address
from p2pcs_nova.peer.steps import Step
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.servers import Bench

pytestmark = pytest.mark.lab


@pytest.fixture(scope='module')
def server_id(module_bench: Bench) -> str:
    """A server somewhere."""
    found = module_bench.create('where')
    module_bench.wait(found)
    return found


def listing(lab: Lab, what: str) -> list[dict[str, Any]]:
    """What ``p2pcs-manage WHAT list`` shows."""
    said = overlay.manage(lab.layout, lab.control, what, 'list', '-f', 'json')
    rows: list[dict[str, Any]] = json.loads(said)
    return rows


def peer_command(lab: Lab, *arguments: str) -> list[str]:
    """A command line of the owner of a PC."""
    return [str(lab.layout.peer_venv / 'bin' / 'p2pcs-peer'), *arguments]


def test_instance_list_answers_where_is_my_vm(
    lab: Lab, server_id: str
) -> None:
    rows = listing(lab, 'instance')
    (row,) = [line for line in rows if line['Instance'] == server_id]
    assert row['State'] == 'running'
    assert row['vCPUs'] == 1
    assert row['Memory (MiB)'] == 128
    pc = pcs.pcs(lab)[row['PC']]
    assert pcs.domain_state(lab, pc, server_id) == 'running'
    nova = lab.admin.compute.get_server(server_id)
    assert row['Slice'] == nova.hypervisor_hostname


def test_explain_tells_the_story_of_a_server_that_is_gone_too(
    lab: Lab, bench: Bench
) -> None:
    found = bench.create('novel')
    bench.wait(found)
    pc = pcs.where(lab, found)
    row = pcs.placed(lab, found)
    assert row is not None
    host = row.status.slice
    log = lab.layout.log(CONTROL, f'nova-compute-{host}')
    now, *lines = pcs.explain(lab, 'novel', '--nova-log', str(log))
    assert now['What'].startswith(f'{found}: running on {pc}, slice {host},')
    machines = {line['Machine'] for line in lines}
    assert machines == {now['Machine'], pc, log.stem}
    times = [line['Time'] for line in lines]
    assert times == sorted(times)
    story = [(line['Machine'], line['What']) for line in lines]
    claim = next(x for x in story if 'POST /v1/reservations' in x[1])
    built = (pc, f'[instance {found}] {Step.BUILT_STORED}')
    resumed = (pc, f'[instance {found}] {Step.DOMAIN_RESUMED}')
    spawned = next(x for x in story if x[0] == log.stem and 'to spawn' in x[1])
    order = [story.index(x) for x in (claim, built, resumed, spawned)]
    assert order == sorted(order)
    bench.delete(found)
    now, *lines = pcs.explain(lab, found)
    assert now['What'] == f'{found}: it is on no PC'
    last = [line['What'] for line in lines if line['Machine'] == pc][-1]
    assert last == f'[instance {found}] {Step.RIGHT_FORGOTTEN}'


def test_peer_list_names_pcs_and_gateway(lab: Lab, server_id: str) -> None:
    rows = listing(lab, 'peer')
    found = {row['Name']: row for row in rows if row['Role'] == 'peer'}
    assert set(found) == set(pcs.pcs(lab))
    for name, row in found.items():
        assert row['State'] == 'alive'
        assert row['Slice'] in SLICES
        assert row['Address'].startswith(pc_address(pcs.number_of(name)))
    assert sum(row['Instances'] for row in found.values()) == len(
        listing(lab, 'instance')
    )
    gateways = [row for row in rows if row['Role'] == 'gateway']
    assert [row['State'] for row in gateways] == ['alive']


def test_slice_list_counts_pcs_and_what_is_used(
    lab: Lab, server_id: str
) -> None:
    rows = {row['Slice']: row for row in listing(lab, 'slice')}
    assert set(rows) == set(SLICES)
    for name, row in rows.items():
        count = len(pcs.pcs_of_slice(lab, name))
        assert row['PCs'] == count
        assert row['Unreachable'] == 0
        whole = count * overlay.OFFER['vcpus']
        assert row['vCPUs used'].endswith(f'/{whole}')


def test_status_says_in_words_what_runs_and_what_is_offered(
    lab: Lab, server_id: str
) -> None:
    name = pcs.where(lab, server_id)
    said = lab.inside(pcs.pcs(lab)[name], *peer_command(lab, 'status'))
    assert f'{name} is a peer of overlay lab at 198.18.1.' in said
    assert 'It offers 4 CPUs, 1024 MiB of memory, 4.0 GiB of disk' in said
    assert 'on network office' in said
    assert f'{server_id}  running, 1 CPU, 128 MiB' in said
    row = pcs.placed(lab, server_id)
    assert row is not None
    assert f'It works for slice {row.status.slice}.' in said
    if 'under TCG' in said:
        assert 'guests run without KVM' in said


def test_status_for_programs_is_json(lab: Lab, server_id: str) -> None:
    pc = pcs.pcs(lab)[pcs.where(lab, server_id)]
    said = json.loads(lab.inside(pc, *peer_command(lab, 'status', '--json')))
    assert server_id in [row['instance'] for row in said['instances']]


def test_drained_pcs_take_nothing_new(lab: Lab, bench: Bench) -> None:
    machines = pcs.pcs(lab)
    kept = sorted(machines)[0]
    closed = [pc for name, pc in machines.items() if name != kept]
    with pcs.draining(lab, *closed):
        found = bench.create('only-place')
        bench.wait(found)
        assert pcs.where(lab, found) == kept
        rest = {pcs.status(pc).draining for pc in closed}
        assert rest == {True}
