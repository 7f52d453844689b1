# SPDX-License-Identifier: Apache-2.0
"""A fifth PC joins the running cloud, and leaves it again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.lab import overlay, services
from devstack.lab.errors import LabError
from devstack.lab.layout import pc_address
from devstack.lab.machines import Machine
from p2pcs_nova.identity import token
from tests.support import lab as support
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.servers import Bench

pytestmark = pytest.mark.lab

JOIN_PORT = 7401
NOBODY = ('198.18.1.251', '198.18.1.252')
NOVA = ('nova-compute-gold', 'nova-compute-silver', 'nova-scheduler')


def running(lab: Lab, names: list[str]) -> list[list[int]]:
    """The processes of the gateway, of nova, and of these PCs' daemons."""
    machines = pcs.pcs(lab)
    wanted = [(lab.control, name) for name in (pcs.DAEMON, *NOVA)]
    wanted += [(machines[name], pcs.DAEMON) for name in names]
    found = (services.find(machine, name) for machine, name in wanted)
    return [service.pids() for service in found if service is not None]


@pytest.fixture(scope='module')
def before(lab: Lab) -> list[str]:
    """The PCs that were there."""
    return sorted(pcs.pcs(lab))


@pytest.fixture(scope='module')
def fifth(lab: Lab, before: list[str]) -> Iterator[str]:
    """One more PC; nothing of it stays."""
    with pcs.added(lab) as name:
        yield name


def takes_a_server(lab: Lab, bench: Bench, name: str) -> str:
    """Have a server where no other PC takes one; its id."""
    closed = [pc for other, pc in pcs.pcs(lab).items() if other != name]
    with pcs.draining(lab, *closed):
        found = bench.create('joined')
        bench.wait(found)
    assert pcs.where(lab, found) == name
    return found


def test_a_fifth_pc_gets_a_server_without_any_restart(
    lab: Lab, bench: Bench, before: list[str], request: pytest.FixtureRequest
) -> None:
    pids = running(lab, before)
    assert len(pids) == 1 + len(NOVA) + len(before)
    fifth: str = request.getfixturevalue('fifth')
    row = pcs.peer_row(lab, fifth)
    assert row is not None
    assert row.state == 'alive'
    takes_a_server(lab, bench, fifth)
    assert running(lab, before) == pids
    summary = pcs.slice_summary(lab, row.slice)
    assert summary.peers == len(pcs.pcs_of_slice(lab, row.slice))


def join(lab: Lab, pc: Machine, text: str) -> str:
    """Join with this token, as the PC's owner does it."""
    return lab.inside(
        pc,
        str(lab.layout.peer_venv / 'bin' / 'p2pcs-peer'),
        'join', text, '--config-file', overlay.CONFIG,
        timeout_s=overlay.JOIN_TIMEOUT_S,
    )  # fmt: skip


def test_two_dead_seeds_of_three_do_not_keep_a_pc_out(
    lab: Lab, bench: Bench, before: list[str], fifth: str
) -> None:
    """The one that lives is a mere peer, which relays to the issuer."""
    number = pcs.number_of(fifth)
    pc = lab.pc(number)
    services.stop(pc, pcs.DAEMON)
    lab.inside(pc, 'sh', '-c', f'rm -r {pcs.STATE_DIR}/*')
    with pytest.raises(LabError, match='join'):
        lab.inside(
            pc,
            str(lab.layout.peer_venv / 'bin' / 'p2pcs-peer'),
            'run', '--config-file', overlay.CONFIG,
        )  # fmt: skip
    text = overlay.manage(lab.layout, lab.control, 'token', 'create')
    made = token.text_to_token(text)
    alive = pc_address(pcs.number_of(before[0]))
    seeds = tuple(f'{host}:{JOIN_PORT}' for host in (*NOBODY, alive))
    changed = token.token_to_text(
        token.JoinToken(
            made.id,
            made.secret,
            made.issuer,
            made.overlay,
            made.root,
            made.expires_s,
            seeds,
        )
    )
    join(lab, pc, changed)
    support.make('pc-on', f'PC={number}')
    pcs.wait_for_offer(lab, fifth)
    takes_a_server(lab, bench, fifth)
