# SPDX-License-Identifier: Apache-2.0
"""What a guest holds is kept: suspended, copied, crashed.

The tests share a server and run in the file's order; each leaves it
ACTIVE for the next.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest

from devstack.lab.machines import Machine
from p2pcs_nova import imaging
from tests.conftest import Figure
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.servers import Bench, Server, wait_for_login

pytestmark = pytest.mark.lab

COMMAND_S = 180.0
NAME = 'keeping'
SAVED = '/root/saved'
WORDS = 'written before the snapshot'
LARGEST = 'm1.large'
"""It takes all the disk that a PC of the lab offers."""


@pytest.fixture(scope='module')
def server(lab: Lab, module_bench: Bench) -> Server:
    """A server that one can log in to."""
    found = module_bench.get(module_bench.create(NAME))
    wait_for_login(lab, found)
    return found


@pytest.fixture
def pc(lab: Lab, server: Server) -> Machine:
    """The PC that it is on."""
    return pcs.pcs(lab)[pcs.where(lab, server.id)]


def boot_id(lab: Lab, server: Server) -> str:
    """Which boot of the guest this is."""
    path = '/proc/sys/kernel/random/boot_id'
    return lab.ssh(server.address, 'cat', path).strip()


def leftovers(pc: Machine, server_id: str) -> list[str]:
    """Names of what suspending and copying leave in a server's folder."""
    folders = pc.path(f'{pcs.STATE_DIR}/instances')
    return sorted(
        path.name
        for pattern in ('memory*', 'copy*')
        for path in folders.glob(f'{server_id}*/{pattern}')
    )


def images(lab: Lab) -> dict[str, Any]:
    """All images that demo sees, by name."""
    return {image.name: image for image in lab.demo.image.images()}


def kept_digest(machine: Machine, image: Any) -> str:
    """Of the bytes of an image that a machine of the overlay keeps."""
    path = imaging.image_path(
        machine.path(f'{pcs.STATE_DIR}/images'),
        f'{image.hash_algo}:{image.hash_value}',
    )
    with path.open('rb') as file:
        return hashlib.file_digest(file, image.hash_algo).hexdigest()


def suspend(lab: Lab, bench: Bench, server: Server) -> None:
    lab.openstack('server', 'suspend', NAME)
    bench.wait(server.id, 'SUSPENDED')


def resume(lab: Lab, bench: Bench, server: Server) -> None:
    lab.openstack('server', 'resume', NAME)
    bench.wait(server.id)


def test_resumed_guest_goes_on_where_it_was(
    lab: Lab, server: Server, pc: Machine, module_bench: Bench, figure: Figure
) -> None:
    before = boot_id(lab, server)
    lab.ssh(
        server.address,
        'sleep 86400 >/dev/null 2>&1 </dev/null & echo $! >/tmp/pid',
    )
    begin = time.monotonic()
    suspend(lab, module_bench, server)
    figure('keeping: suspend', time.monotonic() - begin)
    assert pcs.domain_state(lab, pc, server.id) == 'shut off'
    assert leftovers(pc, server.id) == ['memory']
    shown = lab.demo.compute.get_server(server.id)
    assert shown.power_state == 7
    begin = time.monotonic()
    resume(lab, module_bench, server)
    wait_for_login(lab, server)
    figure('keeping: resume to login', time.monotonic() - begin)
    assert boot_id(lab, server) == before
    command = lab.ssh(server.address, 'cat /proc/$(cat /tmp/pid)/cmdline')
    assert command.split('\0')[:2] == ['sleep', '86400']
    assert leftovers(pc, server.id) == []


def test_server_from_a_snapshot_has_what_was_written(
    lab: Lab, server: Server, pc: Machine, module_bench: Bench, figure: Figure
) -> None:
    before = boot_id(lab, server)
    lab.ssh(server.address, f'echo {WORDS} >{SAVED}; sync')
    begin = time.monotonic()
    answer = lab.openstack(
        'server', 'image', 'create', '--wait', '-f', 'json',
        '--name', 'kept', NAME,
        timeout_s=COMMAND_S,
    )  # fmt: skip
    figure('keeping: server image create --wait', time.monotonic() - begin)
    image = lab.demo.image.get_image(json.loads(answer)['id'])
    try:
        assert image.status == 'active'
        assert image.disk_format == 'qcow2'
        assert 0 < image.size < 256 * 2**20
        assert leftovers(pc, server.id) == []
        assert boot_id(lab, server) == before
        copy = module_bench.get(module_bench.create('copy', image='kept'))
        wait_for_login(lab, copy)
        said = lab.ssh(copy.address, 'cat', SAVED)
        assert said == f'{WORDS}\n'
        assert boot_id(lab, copy) != before
    finally:
        lab.demo.image.delete_image(image.id)
    # What a live disk stands on is still in two places.
    for machine in (lab.control, pcs.pcs(lab)[pcs.where(lab, copy.id)]):
        assert kept_digest(machine, image) == image.hash_value
    module_bench.delete(copy.id)


def test_server_whose_qemu_was_killed_is_brought_back_by_a_hard_reboot(
    lab: Lab, server: Server, pc: Machine, module_bench: Bench, figure: Figure
) -> None:
    before = boot_id(lab, server)
    pid = f'/run/libvirt/qemu/p2pcs-{server.id}.pid'
    lab.inside(pc, 'sh', '-c', f'kill -KILL $(cat {pid})')
    module_bench.wait(server.id, 'SHUTOFF')
    begin = time.monotonic()
    lab.openstack(
        'server', 'reboot', '--hard', '--wait', NAME, timeout_s=COMMAND_S
    )
    wait_for_login(lab, server)
    figure('keeping: reboot --hard after a crash', time.monotonic() - begin)
    assert module_bench.wait(server.id).status == 'ACTIVE'
    assert boot_id(lab, server) != before
    assert lab.ssh(server.address, 'cat', SAVED) == f'{WORDS}\n'


def test_pc_without_room_refuses_and_nothing_is_left(
    lab: Lab, bench: Bench
) -> None:
    server_id = bench.create('full', LARGEST)
    bench.wait(server_id)
    pc = pcs.pcs(lab)[pcs.where(lab, server_id)]
    known = set(images(lab))
    lab.openstack('server', 'image', 'create', '--name', 'none', 'full')
    bench.wait(server_id)
    assert set(images(lab)) == known
    lab.openstack('server', 'suspend', 'full')
    seen = bench.wait(server_id)
    assert seen.status == 'ACTIVE'
    assert pcs.domain_state(lab, pc, server_id) == 'running'
    assert leftovers(pc, server_id) == []


@pytest.mark.slow
def test_suspended_server_survives_a_power_cut_of_its_pc(
    lab: Lab, server: Server, pc: Machine, module_bench: Bench
) -> None:
    before = boot_id(lab, server)
    suspend(lab, module_bench, server)
    number = pcs.number_of(pc.name)
    lab.pc_off(number)
    pcs.wait_for_state(lab, pc.name, 'failed')
    lab.pc_on(number)
    pcs.wait_for_offer(lab, pc.name)
    assert module_bench.wait(server.id, 'SUSPENDED')
    resume(lab, module_bench, server)
    wait_for_login(lab, server)
    assert boot_id(lab, server) == before


@pytest.mark.slow
def test_backup_keeps_as_many_as_it_is_told(
    lab: Lab, server: Server, module_bench: Bench
) -> None:
    try:
        for name in ('one', 'two'):
            lab.openstack(
                'server', 'backup', 'create', '--wait', '--name', name,
                '--type', 'daily', '--rotate', '1', NAME,
                timeout_s=COMMAND_S,
            )  # fmt: skip
            module_bench.wait(server.id)
        assert {'one', 'two'} & set(images(lab)) == {'two'}
    finally:
        for name in {'one', 'two'} & set(images(lab)):
            lab.demo.image.delete_image(images(lab)[name].id)


@pytest.mark.slow
def test_shelved_server_comes_back_with_its_disk(
    lab: Lab, server: Server, module_bench: Bench
) -> None:
    lab.ssh(server.address, f'echo {WORDS} >{SAVED}; sync')
    lab.openstack('server', 'shelve', NAME)
    module_bench.wait(server.id, 'SHELVED_OFFLOADED')
    assert pcs.placed(lab, server.id) is None
    lab.openstack('server', 'unshelve', NAME)
    module_bench.wait(server.id)
    wait_for_login(lab, server)
    assert lab.ssh(server.address, 'cat', SAVED) == f'{WORDS}\n'
