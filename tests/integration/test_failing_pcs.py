# SPDX-License-Identifier: Apache-2.0
"""PCs that freeze, fail and lose power, and what Nova hears of it.

Servers whose slice matters are the administrator's: only he may name one.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from devstack.lab.layout import SLICES, pc_address
from devstack.lab.machines import Machine
from devstack.lab.shell import CLEAN_ENVIRONMENT, run
from p2pcs_nova import wire
from tests.conftest import Figure
from tests.support import lab as support
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.servers import Bench, Server, wait_for_login
from tests.support.waiting import until

pytestmark = pytest.mark.lab

RUNNING = 1
NO_STATE = 0
QUICK_S = 2.0
"""A question that waits for a silent daemon is given up after this."""
SAVED = '/root/saved'
BOOT_ID = '/proc/sys/kernel/random/boot_id'


def make(target: str, number: int) -> None:
    """A command of the README, as its reader gives it."""
    run(
        ['make', target, f'PC={number}'],
        timeout_s=support.LAB_TIMEOUT_S,
        env=CLEAN_ENVIRONMENT,
        cwd=support.ROOT,
    )


def power_states(
    lab: Lab, slice_name: str, *uuids: str
) -> tuple[dict[str, list[int]], float]:
    """What Nova's power sync would hear, and the longest call's seconds."""
    conf = lab.layout.etc(f'nova-compute-{slice_name}') / 'nova.conf'
    said = lab.inside(
        lab.control,
        'env', f'PYTHONPATH={support.ROOT}',
        str(lab.layout.cloud_venv / 'bin' / 'python'),
        '-m', 'tests.support.power_sync', str(conf), *uuids,
    )  # fmt: skip
    answer = json.loads(said)
    return answer['states'], max(answer['seconds'])


def nova_events(lab: Lab, server_id: str) -> list[str]:
    """What nova's compute hosts did to create a server."""
    path = f'/servers/{server_id}/os-instance-actions'
    actions = lab.admin.compute.get(path).json()['instanceActions']
    (create,) = [found for found in actions if found['action'] == 'create']
    detail = lab.admin.compute.get(f'{path}/{create["request_id"]}').json()
    return [
        event['event']
        for event in detail['instanceAction']['events']
        if event['event'].startswith('compute_')
    ]


@contextlib.contextmanager
def full_disk(lab: Lab, pc: Machine) -> Iterator[None]:
    """A PC whose disk has no room for one more instance."""
    folder = f'{pcs.STATE_DIR}/instances'
    lab.inside(
        pc, 'mount', '-t', 'tmpfs', '-o', 'size=64k,mode=711', 'full', folder
    )
    try:
        yield
    finally:
        lab.inside(pc, 'umount', '--lazy', folder)


def test_frozen_pc_blocks_nothing_and_its_servers_stay_as_they_were(
    lab: Lab, bench: Bench, figure: Figure
) -> None:
    found = bench.create('frozen')
    bench.wait(found)
    name = pcs.where(lab, found)
    row = pcs.placed(lab, found)
    assert row is not None
    slice_name = row.status.slice
    with pcs.draining(lab, pcs.pcs(lab)[name]):
        healthy = bench.create('healthy', slice_name=slice_name)
        bench.wait(healthy)
    before = pcs.slice_summary(lab, slice_name)
    with pcs.stopped((pcs.pcs(lab)[name], pcs.DAEMON)):
        # At once, while the gateway still believes that it is alive ...
        states, longest = power_states(lab, slice_name, found, healthy)
        assert states[healthy] == [RUNNING]
        assert states[found] in ([RUNNING], [NO_STATE], [NO_STATE, RUNNING])
        assert longest < QUICK_S
        figure('frozen PC: longest get_info, not noticed yet', longest)
        pcs.wait_for_state(lab, name, 'failed')
        # ... and when it knows better.
        states, longest = power_states(lab, slice_name, found, healthy)
        assert states == {found: [NO_STATE], healthy: [RUNNING]}
        assert longest < QUICK_S
        figure('frozen PC: longest get_info, unreachable', longest)
        row = pcs.placed(lab, found)
        assert row is not None
        assert not row.reachable
        summary = pcs.slice_summary(lab, slice_name)
        assert summary.unreachable == 1
        one_pc = pcs.peer_row(lab, name)
        assert one_pc is not None
        assert summary.total.vcpus == (
            before.total.vcpus - one_pc.offer.vcpus + one_pc.used.vcpus
        )
        assert summary.used == before.used
        begin = time.monotonic()
        listed = lab.openstack('server', 'list', '-f', 'json')
        figure('frozen PC: openstack server list', time.monotonic() - begin)
        status = {line['ID']: line['Status'] for line in json.loads(listed)}
        assert status[found] == 'ACTIVE'
        begin = time.monotonic()
        other = bench.create('elsewhere', slice_name=slice_name)
        bench.wait(other)
        figure('frozen PC: create in its slice', time.monotonic() - begin)
        assert pcs.where(lab, other) != name
    pcs.wait_for_offer(lab, name)
    row = pcs.placed(lab, found)
    assert row is not None
    assert row.reachable
    assert bench.show(found).status == 'ACTIVE'
    assert pcs.slice_summary(lab, slice_name).unreachable == 0


def offers_nothing(pc: Machine) -> bool:
    """Whether a PC's daemon offers nothing now."""
    offer = pcs.status(pc).offer
    return offer is not None and offer.total == wire.Capacity()


def test_hung_libvirt_stops_neither_gossip_nor_the_api(
    lab: Lab, bench: Bench, figure: Figure
) -> None:
    slice_name = SLICES[0]
    hung, *others = pcs.pcs_of_slice(lab, slice_name)
    assert others
    pc = pcs.pcs(lab)[hung]
    with pcs.stopped((pc, 'libvirtd')):
        begin = time.monotonic()
        found = bench.create('not-there', slice_name=slice_name)
        bench.wait(found)
        figure('hung libvirt: create in its slice', time.monotonic() - begin)
        assert pcs.where(lab, found) != hung
        begin = time.monotonic()
        said = pcs.status(pc)
        figure('hung libvirt: status of its daemon', time.monotonic() - begin)
        assert said.name == hung
        until(lambda: offers_nothing(pc), 60.0)
        assert pcs.status(pc).reasons
        row = pcs.peer_row(lab, hung)
        assert row is not None
        assert row.state == 'alive'
    pcs.wait_for_offer(lab, hung)


def test_spawn_that_fails_on_one_pc_goes_to_another_unheard_by_nova(
    lab: Lab, bench: Bench
) -> None:
    slice_name = SLICES[0]
    machines = [pcs.pcs(lab)[n] for n in pcs.pcs_of_slice(lab, slice_name)]
    full = next(pc for pc in machines if not pcs.status(pc).instances)
    others = [pc for pc in machines if pc is not full]
    log = lab.layout.log(full.name, pcs.DAEMON)
    # A PC that failed before comes last, until it has built something.
    with pcs.draining(lab, *others):
        found = bench.create('trusted', slice_name=slice_name)
        bench.wait(found)
        assert pcs.where(lab, found) == full.name
    bench.delete(found)
    # The emptiest PC is taken first: have all others less empty.
    with pcs.draining(lab, full):
        for _ in others:
            bench.wait(bench.create('filler', slice_name=slice_name))
    with full_disk(lab, full):
        found = bench.create('second-try', slice_name=slice_name)
        bench.wait(found)
        assert f'[instance {found}] not built' in log.read_text()
    assert pcs.where(lab, found) != full.name
    assert nova_events(lab, found) == ['compute__do_build_and_run_instance']
    server = bench.show(found)
    assert server.hypervisor_hostname in (None, slice_name)
    until(lambda: not pcs.status(full).instances)
    assert pcs.status(full).used.vcpus == 0


@pytest.fixture
def on_a_pc_of_its_own(lab: Lab, bench: Bench) -> Server:
    """A server that one can log in at, and no other on its PC."""
    machines = pcs.pcs(lab)
    empty = [pc for pc in machines.values() if not pcs.status(pc).instances]
    others = [pc for pc in machines.values() if pc is not empty[0]]
    with pcs.draining(lab, *others):
        server = bench.get(bench.create('alone'))
    wait_for_login(lab, server)
    lab.ssh(server.address, f'echo kept >{SAVED}; sync')
    assert pcs.where(lab, server.id) == empty[0].name
    return server


def test_unplugged_pc_keeps_its_server_running(
    lab: Lab, bench: Bench, on_a_pc_of_its_own: Server
) -> None:
    server = on_a_pc_of_its_own
    name = pcs.where(lab, server.id)
    number = pcs.number_of(name)
    before = lab.ssh(server.address, 'cat', BOOT_ID)
    make('pc-unplug', number)
    try:
        assert not answers_ping(pc_address(number))
        pcs.wait_for_state(lab, name, 'failed')
        assert bench.show(server.id).status == 'ACTIVE'
    finally:
        make('pc-plug', number)
    assert answers_ping(pc_address(number))
    pcs.wait_for_offer(lab, name)
    wait_for_login(lab, server)
    assert lab.ssh(server.address, 'cat', BOOT_ID) == before
    assert bench.show(server.id).status == 'ACTIVE'


def test_power_cut_is_survived_by_the_disk(
    lab: Lab, bench: Bench, on_a_pc_of_its_own: Server, figure: Figure
) -> None:
    server = on_a_pc_of_its_own
    name = pcs.where(lab, server.id)
    number = pcs.number_of(name)
    row = pcs.placed(lab, server.id)
    assert row is not None
    others = [pc for other, pc in pcs.pcs(lab).items() if other != name]
    with pcs.draining(lab, *others):
        doomed = bench.get(bench.create('doomed'))
    booted = lab.ssh(server.address, 'cat', BOOT_ID)
    make('pc-off', number)
    try:
        assert name not in pcs.pcs(lab)
        pcs.wait_for_state(lab, name, 'failed')
        assert bench.show(server.id).status == 'ACTIVE'
        states, _ = power_states(lab, row.status.slice, server.id)
        assert states[server.id] == [NO_STATE]
        other = bench.create('meanwhile', slice_name=row.status.slice)
        bench.wait(other)
        assert pcs.where(lab, other) != name
        begin = time.monotonic()
        bench.delete(doomed.id)
        figure('PC off: delete one of its servers', time.monotonic() - begin)
    finally:
        begin = time.monotonic()
        make('pc-on', number)
        figure('make pc-on', time.monotonic() - begin)
    # Its gateway confirms what is wanted: it runs, and the rest is gone.
    wait_for_login(lab, server)
    figure('PC on again to login at its server', time.monotonic() - begin)
    assert bench.show(server.id).status == 'ACTIVE'
    assert lab.ssh(server.address, 'cat', SAVED) == 'kept\n'
    assert lab.ssh(server.address, 'cat', BOOT_ID) != booted
    until(lambda: pcs.traces(lab, doomed) == [], 120.0)
    pcs.wait_for_offer(lab, name)


def answers_ping(address: str) -> bool:
    """Whether a machine of the LAN answers within some seconds."""
    done = subprocess.run(
        ['ping', '-c', '3', '-W', '2', address],
        capture_output=True,
        timeout=30,
    )
    return done.returncode == 0


def test_make_refuses_a_pc_that_is_not_there(lab: Lab) -> None:
    done = subprocess.run(
        ['make', 'pc-off', 'PC=99'],
        cwd=support.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode
    there = ', '.join(map(str, lab.layout.pcs()))
    assert f'there is no PC 99; there are: {there}\n' in done.stderr
    done = subprocess.run(
        ['make', 'pc-off'],
        cwd=support.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode
    assert 'say which PC' in done.stderr
