# SPDX-License-Identifier: Apache-2.0
"""Real daemons: a PC is revoked, cloned, or leaves for good."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator

import pytest
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.identity import tls
from p2pcs_nova.identity.store import IdentityStore
from tests.support import daemons, waiting
from tests.support.daemons import Machine, Office


@pytest.fixture(scope='module')
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with daemons.office(tmp_path_factory.mktemp('office')) as place:
        yield place


def started(office: Office, name: str) -> Machine:
    """A PC that has joined and that the gateway sees."""
    pc = office.joined(name)
    pc.start()
    waiting.until(lambda: row_of(office, store_of(pc).load().peer_id))
    return pc


def store_of(pc: Machine) -> IdentityStore:
    """What it keeps of itself."""
    return IdentityStore(pc.folder / 'state' / 'identity')


def row_of(office: Office, peer: str) -> wire.PeerRow | None:
    """How the gateway lists a peer id."""
    with office.gateway.client as client:
        try:
            rows = client.peers().peers
        except errors.Unavailable:
            return None
    return next((row for row in rows if row.peer == peer), None)


def state_of(office: Office, peer: str) -> str:
    """How the gateway sees a peer id."""
    row = row_of(office, peer)
    return '' if row is None else row.state


def manage(office: Office, *arguments: str) -> str:
    """A command of the operator; what it says, whatever comes of it."""
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'p2pcs_nova.manage.cli'),
            *('--socket', str(office.gateway.folder / 'sock'), *arguments),
        ],
        capture_output=True,
        text=True,
        timeout=daemons.DEADLINE_S,
        check=False,
    )
    return done.stdout + done.stderr


def ask_as(pc: Machine, target: Machine, role: str) -> str:
    """The code of the refusal of a PC's status by another; '' if served."""
    store, other = store_of(pc), store_of(target).load()
    me = store.load()

    async def ask() -> None:
        async with RemoteClient(
            (target.host, 7400),
            other.peer_id,
            role,
            me.overlay,
            tls.mutual_client(store.key_path, me.chain, me.root),
        ) as client:
            await client.status()

    try:
        trio.run(ask)
    except errors.P2PcsError as error:
        return error.code
    return ''


def test_a_revoked_pc_is_refused_by_all_and_for_ever(office: Office) -> None:
    stolen, honest, late = (
        started(office, name) for name in ('stolen', 'honest', 'late')
    )
    peer = store_of(stolen).load().peer_id
    late.stop()
    assert ask_as(stolen, honest, 'peer') == ''

    assert f'{peer} is put out' in manage(office, 'peer', 'revoke', 'stolen')

    waiting.until(lambda: peer in honest.status().revoked)
    for target, role in ((honest, 'peer'), (office.gateway, 'gateway')):
        assert ask_as(stolen, target, role) == 'revoked'
        assert dict(target.status().refused)['revoked'] >= 1
    waiting.until(lambda: state_of(office, peer) == 'revoked')
    row = row_of(office, peer)
    assert row is not None
    assert (row.name, row.role) == ('stolen', '')
    listed = manage(office, 'peer', 'list')
    assert 'revoked' in listed
    assert 'put out of the overlay' in listed
    # It is told itself, and goes on saying so.
    waiting.until(lambda: 'put out' in stolen.run('status').stdout)
    stolen.stop()
    stolen.start()
    assert 'put out' in stolen.run('status').stdout
    # Who was away hears of it, and everybody remembers.
    late.start()
    waiting.until(lambda: peer in late.status().revoked)
    for machine in (office.gateway, honest):
        machine.stop()
        machine.start()
        assert peer in machine.status().revoked
        waiting.until(lambda: state_of(office, peer) == 'revoked')
    assert ask_as(stolen, office.gateway, 'gateway') == 'revoked'


def test_a_revoked_pc_brings_nobody_in_and_comes_back_with_a_new_key(
    office: Office,
) -> None:
    stolen = started(office, 'hostile')
    peer = store_of(stolen).load().peer_id
    manage(office, 'peer', 'revoke', peer)
    waiting.until(lambda: stolen.status().revoked)
    with office.gateway.client as client:
        first, second = client.create_token(600), client.create_token(600)
    newcomer = office.machine('newcomer')
    relayed = daemons.reseed(first, [f'{stolen.host}:7401'])
    refused = newcomer.run('join', relayed)
    assert refused.returncode == 1
    assert 'has been revoked' in refused.stderr
    through_both = daemons.reseed(
        first, [f'{stolen.host}:7401', f'{office.gateway.host}:7401']
    )
    joined = newcomer.run('join', through_both)
    assert joined.returncode == 0, joined.stderr

    stolen.stop()
    refused = stolen.run('join', '--force', second)
    assert refused.returncode == 1
    assert 'p2pcs-peer leave --force' in refused.stderr
    assert stolen.run('leave', '--force').returncode == 0
    joined = stolen.run('join', second)
    assert joined.returncode == 0, joined.stderr
    stolen.start()
    anew = store_of(stolen).load().peer_id
    waiting.until(lambda: state_of(office, anew) == 'alive')
    assert state_of(office, peer) == 'revoked'


@pytest.mark.parametrize(
    ('whom', 'told'),
    [('nobody', 'no member is named'), ('gw', 'cannot be put out')],
)
def test_who_cannot_be_put_out_is_told(
    office: Office, whom: str, told: str
) -> None:
    peer = store_of(office.gateway).load().peer_id
    before = office.gateway.status().revoked
    said = manage(office, 'peer', 'revoke', peer if whom == 'gw' else whom)
    assert told in said
    assert office.gateway.status().revoked == before


def is_told(machine: Machine) -> bool:
    """Whether a clone knows that it is one."""
    return any('two machines' in why for why in machine.status().reasons)


@pytest.mark.slow
def test_a_clone_quarantines_both_until_one_stops(office: Office) -> None:
    pc = started(office, 'cloned')
    peer = store_of(pc).load().peer_id
    clone = daemons.cloned(office, pc)
    clone.start()

    waiting.until(lambda: state_of(office, peer) == 'contested')

    row = row_of(office, peer)
    assert row is not None
    for word in (pc.host, clone.host, 'join anew', 'leave --force'):
        assert word in row.reason
    for one in (pc, clone):
        waiting.until(functools.partial(is_told, one))
        offer = one.status().offer
        assert offer is not None
        assert 'two machines' in offer.reason
        assert 'two machines' in one.run('status').stdout
    clone.stop()
    waiting.until(lambda: state_of(office, peer) == 'alive')
    waiting.until(lambda: not is_told(pc))


@pytest.mark.slow
def test_a_pc_whose_starts_cannot_be_counted_lives_on(office: Office) -> None:
    pc = started(office, 'uncounted')
    peer = store_of(pc).load().peer_id
    clone = daemons.cloned(office, pc)
    counter = store_of(pc).folder / 'boot'
    counter.unlink()
    counter.mkdir()
    clone.start()

    waiting.until(lambda: state_of(office, peer) == 'contested')
    clone.stop()
    waiting.until(lambda: state_of(office, peer) == 'alive')

    assert pc.process is not None
    assert pc.process.poll() is None
    pc.stop()


def test_leaving_tells_the_others_and_leaves_no_identity(
    office: Office,
) -> None:
    pc = started(office, 'leaving')
    peer = store_of(pc).load().peer_id
    state = pc.folder / 'state'

    left = pc.run('leave')

    assert left.returncode == 0, left.stderr
    assert f'peer {peer} are gone' in left.stdout
    assert 'systemctl disable' in left.stdout
    waiting.until(lambda: state_of(office, peer) == '')
    assert pc.process is not None
    assert pc.process.wait(daemons.DEADLINE_S) == 0
    assert [path.name for path in state.iterdir()] == []
    again = pc.run('leave')
    assert again.returncode == 0
    assert 'in no overlay' in again.stdout
    with office.gateway.client as client:
        token = client.create_token(600)
    assert pc.run('join', token).returncode == 0
    assert store_of(pc).load().peer_id != peer


def test_leaving_without_a_daemon_needs_force(office: Office) -> None:
    pc = office.joined('silent')
    refused = pc.run('leave')
    assert refused.returncode == 1
    assert 'the daemon does not run' in refused.stderr
    assert store_of(pc).is_joined()
    assert pc.run('leave', '--force').returncode == 0
    assert not store_of(pc).folder.exists()


def test_leaving_without_a_daemon_forgets_what_it_had_promised(
    office: Office,
) -> None:
    pc = started(office, 'stopped')
    pc.stop()
    database = pc.folder / 'state' / 'peer.sqlite'
    assert database.exists()
    assert pc.run('leave', '--force').returncode == 0
    # The terms of another overlay's gateways are others.
    assert not database.exists()


def test_a_gateway_does_not_leave(office: Office) -> None:
    refused = office.gateway.run('leave', '--force')
    assert refused.returncode == 1
    assert 'a gateway does not leave' in refused.stderr
    assert store_of(office.gateway).is_joined()
