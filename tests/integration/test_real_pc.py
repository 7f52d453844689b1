# SPDX-License-Identifier: Apache-2.0
"""README's own lines for owners, on a Debian that knows nothing of us.

The tests share a PC and run in the file's order.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator

import pytest

from devstack.lab import overlay
from tests.conftest import Figure
from tests.support import office_pc, pcs, readme
from tests.support.lab import Lab
from tests.support.office_pc import OfficePc
from tests.support.servers import Bench, Server, wait_for_login
from tests.support.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.slow]

TEXT = readme.section(readme.README.read_text(), 'A PC')
INSTALL, JOIN, REMOVE = map(readme.commands, readme.blocks(TEXT, 'console'))
(OWNER,) = readme.blocks(TEXT, 'ini')
#: What is left of this machine's two processors is not for others.
SHARE = 'vcpus = 2\nmemory_mb = 512\ndisk_mb = 4096\n'
TOKEN = 'p2pcs1.…'
WATCHDOG_S = 180.0
UNITS = 'p2pcs-peer.service p2pcs-gateway.service'
LEFT = (
    '/etc/p2pcs',
    '/etc/systemd/system/p2pcs-peer.service',
    '/opt/p2pcs',
    '/run/p2pcs',
    '/usr/local/bin/p2pcs-peer',
    '/var/lib/p2pcs',
    '/usr/bin/qemu-system-x86_64',
    '/usr/sbin/libvirtd',
)


@pytest.fixture(scope='module')
def store(lab: Lab) -> office_pc.Store:
    """What the owner's commands will ask for."""
    return office_pc.prepare(lab.layout, INSTALL)


@pytest.fixture(scope='module')
def pc(lab: Lab, store: office_pc.Store) -> Iterator[OfficePc]:
    """A fresh Debian on the office LAN."""
    with OfficePc(lab, store) as fresh:
        fresh.boot()
        yield fresh
    until(lambda: state(lab) != 'alive', 120.0)


def state(lab: Lab) -> str:
    """What the gateway says of it; empty: nothing."""
    row = pcs.peer_row(lab, office_pc.NAME)
    return '' if row is None else row.state


def get_a_server(lab: Lab, bench: Bench, name: str) -> Server:
    """Have a server on it that one can log in to."""
    with pcs.draining(lab, *pcs.pcs(lab).values()):
        server = bench.get(bench.create(name))
    assert pcs.where(lab, server.id) == office_pc.NAME
    wait_for_login(lab, server)
    return server


@pytest.fixture(scope='module')
def server(lab: Lab, pc: OfficePc, module_bench: Bench) -> Server:
    """A server on it, once it is a member."""
    return get_a_server(lab, module_bench, 'on-desk')


def test_readme_installs_and_joins_it(
    lab: Lab, pc: OfficePc, figure: Figure
) -> None:
    begin = time.monotonic()
    for command in INSTALL:
        pc.run(command.line)
    figure('real PC: installed', time.monotonic() - begin)
    pc.do_without_controllers()
    (pc.disk / 'etc/p2pcs/p2pcs.conf').write_text(OWNER + SHARE)
    begin = time.monotonic()
    token = ''
    for command in JOIN:
        if command.where == 'control plane':
            token = overlay.manage(
                lab.layout, lab.control, *command.line.split()[1:]
            ).strip()
            continue
        said = pc.run(command.line.replace(TOKEN, token))
    assert f'{office_pc.NAME} is a peer of overlay lab' in said
    assert 'tier=gold' in said
    pcs.wait_for_offer(lab, office_pc.NAME)
    figure('real PC: joined, seen with its offer', time.monotonic() - begin)
    until(lambda: office_pc.NAME in pcs.pcs_of_slice(lab, 'gold'))
    rows = overlay.manage(lab.layout, lab.control, 'peer', 'list')
    assert f' {office_pc.NAME} ' in rows


def test_systemd_finds_nothing_wrong_with_the_units(pc: OfficePc) -> None:
    pc.run('cp etc/systemd/p2pcs-gateway.service /run/systemd/system/')
    said = pc.run(f'systemd-analyze verify {UNITS} 2>&1 || true')
    # It is a PC, and no gateway.
    no_gateway = 'Command /usr/local/bin/p2pcs-gateway is not executable'
    (line,) = said.splitlines()
    assert no_gateway in line


def test_servers_run_on_while_systemd_restarts_the_daemon(
    lab: Lab, pc: OfficePc, server: Server
) -> None:
    qemu = pc.run('pidof qemu-system-x86_64')
    for restart in (
        'systemctl restart p2pcs-peer',
        'systemctl kill --signal=KILL p2pcs-peer',
        'systemctl kill --signal=STOP p2pcs-peer',  # as if it hung
    ):
        before = main_pid(pc)
        pc.run(restart)
        until(functools.partial(is_another, pc, before), WATCHDOG_S)
        pcs.wait_for_offer(lab, office_pc.NAME)
    assert pc.run('pidof qemu-system-x86_64') == qemu
    assert pcs.domain_state(lab, pc.machine, server.id) == 'running'


def main_pid(pc: OfficePc) -> int:
    """The daemon's process; 0: there is none."""
    return int(pc.run('systemctl show --value -p MainPID p2pcs-peer'))


def is_another(pc: OfficePc, before: int) -> bool:
    """Whether the daemon runs, and is not the one of before."""
    return main_pid(pc) not in (before, 0)


def test_rebooted_it_is_back_by_itself_and_servers_run_on_it(
    lab: Lab, pc: OfficePc, server: Server, bench: Bench, figure: Figure
) -> None:
    begin = time.monotonic()
    pc.reboot()
    pcs.wait_for_offer(lab, office_pc.NAME)
    figure('real PC: rebooted, back in its slice', time.monotonic() - begin)
    # Or the end of its guests would be told as if users had stopped them.
    assert last_boot_stopped(pc, 'p2pcs-peer') < (
        last_boot_stopped(pc, 'libvirt-guests')
    )
    wait_for_login(lab, server)
    figure('real PC: rebooted, login at its server', time.monotonic() - begin)
    assert lab.demo.compute.get_server(server.id).status == 'ACTIVE'
    get_a_server(lab, bench, 'after-reboot')


def last_boot_stopped(pc: OfficePc, unit: str) -> int:
    """When the last shutdown had ended a unit, microseconds."""
    said = pc.run(
        'journalctl --boot=-1 --output=json '
        f'--unit={unit} JOB_TYPE=stop JOB_RESULT=done'
    )
    return int(json.loads(said.splitlines()[-1])['__REALTIME_TIMESTAMP'])


def test_readme_takes_everything_away(
    lab: Lab, pc: OfficePc, server: Server, module_bench: Bench
) -> None:
    module_bench.delete(server.id)
    for command in REMOVE:
        pc.run(command.line)
    left = [path for path in LEFT if (pc.disk / path.lstrip('/')).exists()]
    assert left == []
    assert 'p2pcs' not in pc.run('systemctl list-unit-files')
    links = pc.run('ip -o link').splitlines()
    assert len(links) == len(('lo', 'the card', 'the bridge')), links
    until(lambda: state(lab) == '', 120.0)
