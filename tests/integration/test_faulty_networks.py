# SPDX-License-Identifier: Apache-2.0
"""PCs that move, lose datagrams and are cut into halves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator

import pytest

from devstack.lab import network
from devstack.lab.layout import CONTROL_ADDRESS, LAN, pc_address
from devstack.lab.machines import Machine
from tests.conftest import Converged
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.servers import Bench
from tests.support.waiting import until

pytestmark = pytest.mark.lab

TABLE = 'inet fault'
WHOLE_S = 120.0


def address_of(lab: Lab, pc: Machine) -> str:
    """Where a PC, or the gateway, is."""
    if pc == lab.control:
        return CONTROL_ADDRESS
    return pc_address(pcs.number_of(pc.name))


@contextlib.contextmanager
def fault(lab: Lab, pc: Machine, rule: str, *, hook: str) -> Iterator[None]:
    """A PC whose network does as this rule of nftables says."""
    kind = f'{{ type filter hook {hook} priority 0; }}'
    lab.inside(pc, 'nft', f'add table {TABLE}')
    try:
        lab.inside(pc, 'nft', f'add chain {TABLE} c {kind}')
        lab.inside(pc, 'nft', f'add rule {TABLE} c {rule}')
        yield
    finally:
        lab.inside(pc, 'nft', f'delete table {TABLE}')


@contextlib.contextmanager
def halves(
    lab: Lab, left: Iterable[Machine], right: Iterable[Machine]
) -> Iterator[None]:
    """Nothing crosses between the two."""
    beyond = ', '.join(address_of(lab, pc) for pc in right)
    rule = f'ip saddr {{ {beyond} }} drop'
    with contextlib.ExitStack() as undo:
        for pc in left:
            undo.enter_context(fault(lab, pc, rule, hook='prerouting'))
        yield


def test_pc_with_another_address_is_the_same_pc(
    lab: Lab, bench: Bench, converged: Converged
) -> None:
    server = bench.get(bench.create('moved'))
    row = pcs.placed(lab, server.id)
    assert row is not None
    name = row.peer_name
    pc = pcs.pcs(lab)[name]
    old = pc_address(pcs.number_of(name))
    new = old.replace('198.18.1.', '198.18.2.')

    def move(gone: str, here: str) -> None:
        network.ip(
            pc,
            [
                f'addr del {gone}/{LAN.prefixlen} dev {network.PC_BRIDGE}',
                f'addr add {here}/{LAN.prefixlen} dev {network.PC_BRIDGE}',
            ],
        )

    def is_at(address: str) -> bool:
        found = pcs.peer_row(lab, name)
        return (
            found is not None
            and found.peer == row.peer
            and found.state == 'alive'
            and found.address.startswith(f'{address}:')
        )

    move(old, new)
    try:
        begin = time.monotonic()
        until(lambda: is_at(new), WHOLE_S)
        converged('another address', time.monotonic() - begin)
        show = ('console', 'log', 'show', server.name)
        until(lambda: 'login:' in lab.openstack(*show), WHOLE_S)
        assert pcs.where(lab, server.id) == name
    finally:
        move(new, old)
    until(lambda: is_at(old), WHOLE_S)
    assert bench.show(server.id).status == 'ACTIVE'


def test_two_halves_stop_and_double_nothing_and_become_one(
    lab: Lab, bench: Bench, converged: Converged
) -> None:
    servers = [bench.get(bench.create(f'half-{n}')) for n in range(2)]
    everybody = list(pcs.pcs(lab).values())
    here = {pcs.where(lab, server.id) for server in servers[:1]}
    left = [pc for pc in everybody if pc.name in here]
    right = [pc for pc in everybody if pc.name not in here]
    before = {server: pcs.running_on(lab, server.id) for server in servers}
    with halves(lab, left, [lab.control, *right]):
        for pc in left:
            pcs.wait_for_state(lab, pc.name, 'failed')
        for server in servers:
            assert bench.show(server.id).status == 'ACTIVE'
        begin = time.monotonic()
    pcs.wait_until_whole(lab)
    converged('two halves', time.monotonic() - begin)
    for server in servers:
        assert pcs.running_on(lab, server.id) == before[server]
        assert len(before[server]) == 1
        assert bench.show(server.id).status == 'ACTIVE'


@pytest.mark.slow
@pytest.mark.parametrize(
    ('hook', 'rule'),
    [
        ('prerouting', 'udp dport 7400 numgen random mod 100 < 20 drop'),
        ('output', 'udp dport 7400 drop'),
    ],
    ids=['a fifth is lost', 'nothing is sent'],
)
def test_loss_stops_and_doubles_nothing(
    lab: Lab, bench: Bench, converged: Converged, hook: str, rule: str
) -> None:
    server = bench.get(bench.create('lossy'))
    pc = pcs.pcs(lab)[pcs.where(lab, server.id)]
    before = pcs.running_on(lab, server.id)
    end = time.monotonic() + 60.0
    with fault(lab, pc, rule, hook=hook):
        while time.monotonic() < end:
            assert bench.show(server.id).status == 'ACTIVE'
            if hook == 'prerouting':
                row = pcs.peer_row(lab, pc.name)
                assert row is not None
                assert row.state != 'failed'
        begin = time.monotonic()
    pcs.wait_until_whole(lab)
    converged(f'loss ({hook})', time.monotonic() - begin)
    assert pcs.running_on(lab, server.id) == before == [pc.name]
