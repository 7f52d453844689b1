# SPDX-License-Identifier: Apache-2.0
"""A second ``make cloud`` repairs what was broken, and that alone."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from devstack.lab import first_server, machines, services
from devstack.lab.layout import CONTROL, pc_name
from tests.conftest import Converged
from tests.support import lab as support
from tests.support import pcs
from tests.support.lab import Lab

pytestmark = pytest.mark.lab

KILLED = ('p2pcs-peer', 'rabbit', 'nova-compute-gold')
BOOT_ID = '/proc/sys/kernel/random/boot_id'
UNTOUCHED = ('keystone', 'mariadb', 'nova-compute-silver')


def pids(lab: Lab, name: str) -> list[int]:
    """The processes of a service of the control plane."""
    running = services.find(lab.control, name)
    assert running is not None, name
    return running.pids()


def test_what_was_killed_frozen_and_unplugged_works_again(
    lab: Lab, converged: Converged
) -> None:
    off, unplugged, dead, frozen = lab.layout.pcs()[:4]
    before = {name: pids(lab, name) for name in UNTOUCHED}
    for name in KILLED:
        services.send(lab.control, name, signal.SIGKILL)
    lab.pc_off(off)
    lab.set_link(unplugged, up=False)
    services.send(lab.pc(dead), 'libvirtd', signal.SIGKILL)
    services.send(lab.pc(frozen), pcs.DAEMON, signal.SIGSTOP)
    begin = time.monotonic()
    support.command('up')
    converged('killed, frozen, cut off (make cloud)', time.monotonic() - begin)
    for number in (off, unplugged, dead, frozen):
        row = pcs.peer_row(lab, pc_name(number))
        assert row is not None
        assert row.state == 'alive', row
        assert row.offer.vcpus, row
    address = first_server.address(lab.layout)
    assert lab.ssh(address, 'hostname').strip() == 'first'
    assert {name: pids(lab, name) for name in UNTOUCHED} == before


def test_after_a_reboot_of_everything_servers_run_again(
    lab: Lab, converged: Converged
) -> None:
    """All PCs and the control plane lose power at once."""
    address = first_server.address(lab.layout)
    before = lab.ssh(address, 'cat', BOOT_ID)
    for number in lab.layout.pcs():
        lab.pc_off(number)
    machines.power_off(lab.layout, CONTROL)
    begin = time.monotonic()
    support.command('up')
    converged('reboot of everything', time.monotonic() - begin)
    assert lab.ssh(address, 'cat', BOOT_ID) != before
    servers = list(lab.demo.compute.servers())
    assert [server.status for server in servers] == ['ACTIVE']


def test_operators_and_owners_commands_work_from_the_ordinary_shell(
    lab: Lab,
) -> None:
    said = subprocess.run(
        ['sh', '-c', '. .lab/openrc && p2pcs-manage peer list -f json'],
        cwd=support.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert '"pc1"' in said.stdout
    said = subprocess.run(
        ['make', 'pc-status', 'PC=1'],
        cwd=support.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert 'pc1' in said.stdout


def test_who_is_not_root_is_told_at_once() -> None:
    nobody = ('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups')
    said = subprocess.run(
        [*nobody, machines.INTERPRETER, '-m', 'devstack.lab', 'up'],
        cwd=support.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.returncode
    assert 'root' in said.stderr
    assert 'Traceback' not in said.stderr
