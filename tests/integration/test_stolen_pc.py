# SPDX-License-Identifier: Apache-2.0
"""A PC of the lab is cloned, revoked, and comes back as another one."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator

import msgspec
import pytest

from devstack.lab import overlay, services
from devstack.lab.errors import LabError
from devstack.lab.layout import pc_address
from devstack.lab.machines import Machine
from devstack.lab.services import Service
from p2pcs_nova import wire
from p2pcs_nova.identity.store import IdentityStore
from tests.conftest import Figure
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.servers import Bench
from tests.support.waiting import until

pytestmark = pytest.mark.lab

CLONE = 'p2pcs-clone'
CLONE_STATE = '/var/lib/p2pcs-clone'
CLONE_CONF = """\
[DEFAULT]
state_dir = {state}
socket = /run/p2pcs/clone.sock
port = 7410
join_port = 7411
name = {name}
[hypervisor]
uri = qemu:///system?socket=/nonexistent
probe_kvm = false
"""


def command(lab: Lab, *arguments: str) -> list[str]:
    """A command line of the owner."""
    return [str(lab.layout.peer_venv / 'bin' / 'p2pcs-peer'), *arguments]


def address_of(pc: Machine) -> str:
    """Where a PC is on the LAN."""
    return pc_address(pcs.number_of(pc.name))


def identity(pc: Machine) -> str:
    """The peer id of a PC."""
    store = IdentityStore(pc.path(f'{pcs.STATE_DIR}/identity'))
    return store.load().peer_id


def row_of(lab: Lab, peer: str) -> wire.PeerRow | None:
    """How the gateway lists a peer id."""
    answer = overlay.ask(lab.control, '/v1/peers')['peers']
    found = [row for row in answer if row['peer'] == peer]
    return msgspec.convert(found[0], wire.PeerRow) if found else None


def state_of(lab: Lab, peer: str) -> str:
    """How the gateway sees a peer id."""
    row = row_of(lab, peer)
    return '' if row is None else row.state


def offered(pc: Machine) -> wire.Capacity:
    """What a PC offers by its own word."""
    offer = pcs.status(pc).offer
    assert offer is not None
    return offer.total


@pytest.fixture(scope='module')
def pc(lab: Lab) -> Iterator[Machine]:
    """The PC that is cloned and stolen; it is a member again at the end."""
    *_, machine = (
        one for one in pcs.pcs(lab).values() if not pcs.status(one).instances
    )
    before = identity(machine)
    try:
        yield machine
    finally:
        if before in pcs.status(lab.control).revoked:
            number = pcs.number_of(machine.name)
            (lab.layout.disk(machine.name) / '.joined').unlink()
            overlay.join(lab.layout, number)
            overlay.wait_for_offers(lab.layout, number)
            assert identity(machine) != before


@pytest.fixture(scope='module')
def server_id(lab: Lab, module_bench: Bench, pc: Machine) -> str:
    """A server on it."""
    closed = [one for one in pcs.pcs(lab).values() if one != pc]
    with pcs.draining(lab, *closed):
        found = module_bench.create('stolen')
        module_bench.wait(found)
    assert pcs.where(lab, found) == pc.name
    return found


def reachable(lab: Lab, server_id: str) -> bool:
    """Whether the gateway would ask its PC."""
    row = pcs.placed(lab, server_id)
    return row is not None and row.reachable


@pytest.fixture(scope='module')
def host(lab: Lab, pc: Machine) -> Machine:
    """Where the clone runs: a machine more would cost more."""
    return next(one for one in pcs.pcs(lab).values() if one != pc)


@pytest.fixture
def clone(lab: Lab, pc: Machine, host: Machine) -> Iterator[Service]:
    """The PC's disk, read by a second daemon elsewhere."""
    state = host.path(CLONE_STATE)
    conf = host.path('/etc/p2pcs/clone.conf')
    shutil.copytree(pc.path(f'{pcs.STATE_DIR}/identity'), state / 'identity')
    conf.write_text(CLONE_CONF.format(state=CLONE_STATE, name=pc.name))
    argv = (*command(lab, 'run'), '--config-file', '/etc/p2pcs/clone.conf')
    service = Service(CLONE, argv, ready_path='/run/p2pcs/clone.sock')
    try:
        services.ensure(lab.layout, host, service)
        yield service
    finally:
        services.stop(host, CLONE)
        shutil.rmtree(state)
        conf.unlink()


def test_a_clone_puts_both_aside_while_it_lives(
    lab: Lab,
    pc: Machine,
    host: Machine,
    server_id: str,
    clone: Service,
    figure: Figure,
) -> None:
    started = time.monotonic()
    peer = identity(pc)
    until(lambda: state_of(lab, peer) == 'contested')
    figure('until a cloned disk is named', time.monotonic() - started)
    row = row_of(lab, peer)
    assert row is not None
    until(lambda: offered(pc) == wire.Capacity())
    said = lab.inside(pc, *command(lab, 'status'))
    for text in (row.reason, said):
        assert f'{address_of(host)}:7410' in text
        assert f'{address_of(pc)}:7400' in text
        assert 'p2pcs-peer leave --force' in text
    summary = pcs.slice_summary(lab, row.slice)
    assert summary.unreachable == 1
    # Its server runs on, and Nova is told nothing else.
    assert not reachable(lab, server_id)
    assert pcs.domain_state(lab, pc, server_id) == 'running'
    assert lab.demo.compute.get_server(server_id).status == 'ACTIVE'

    services.stop(host, CLONE)
    stopped = time.monotonic()
    until(lambda: state_of(lab, peer) == 'alive')
    figure('until that is over', time.monotonic() - stopped)
    until(lambda: reachable(lab, server_id))
    until(lambda: offered(pc).vcpus > 0)
    assert 'two machines' not in lab.inside(pc, *command(lab, 'status'))


def test_a_revoked_pc_is_out_and_comes_back_as_another(
    lab: Lab,
    module_bench: Bench,
    pc: Machine,
    server_id: str,
    figure: Figure,
) -> None:
    peer = identity(pc)
    others = [one for one in pcs.pcs(lab).values() if one != pc]
    started = time.monotonic()
    overlay.manage(lab.layout, lab.control, 'peer', 'revoke', pc.name)
    until(
        lambda: all(
            peer in pcs.status(one).revoked for one in (lab.control, *others)
        )
    )
    figure('until all know of a revocation', time.monotonic() - started)

    until(lambda: state_of(lab, peer) == 'revoked')
    listed = json.loads(
        overlay.manage(
            lab.layout, lab.control, 'peer', 'list', '--long', '-f', 'json'
        )
    )
    (line,) = [line for line in listed if line['ID'] == peer]
    assert (line['Name'], line['State']) == (pc.name, 'revoked')
    assert not reachable(lab, server_id)
    assert lab.demo.compute.get_server(server_id).status == 'ACTIVE'
    codes = pcs.ask_as(lab, pc, others[0].name, wire.Counter(1, 1), 'status')
    assert codes == {'status': 'revoked'}
    until(lambda: peer in pcs.status(pc).revoked)
    said = lab.inside(pc, *command(lab, 'status'))
    assert 'put out of the overlay' in said
    # What is on it stays its owner's; he takes it away.
    with pytest.raises(LabError, match='holds 1 instance'):
        lab.inside(pc, *command(lab, 'leave'))
    assert pcs.domain_state(lab, pc, server_id) == 'running'
    said = lab.inside(pc, *command(lab, 'leave', '--force'))
    assert f'peer {peer} are gone' in said
    assert server_id not in lab.inside(pc, 'virsh', '-q', 'list', '--all')
    until(lambda: services.find(pc, pcs.DAEMON) is None)
    assert not list(pc.path(pcs.STATE_DIR).iterdir())
    module_bench.delete(server_id)
