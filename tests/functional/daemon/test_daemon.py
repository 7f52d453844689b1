# SPDX-License-Identifier: Apache-2.0
"""Real daemons on loopback: joining, seeing one another, failing."""

from __future__ import annotations

import json
import pathlib
import signal
import socket
import stat
import uuid
from collections.abc import Iterator

import pytest

from gossip.runtime import boottime
from p2pcs_nova import errors, wire
from tests.support import daemons, waiting


@pytest.fixture
def office(tmp_path: pathlib.Path) -> Iterator[daemons.Office]:
    with daemons.office(tmp_path) as place:
        yield place


def state_of(office: daemons.Office, name: str) -> str:
    row = daemons.peer_row(office.gateway, name)
    return '' if row is None else row.state


def slice_of(office: daemons.Office, name: str) -> str:
    row = daemons.peer_row(office.gateway, name)
    return '' if row is None else row.slice


def reason_of(office: daemons.Office, name: str) -> str:
    row = daemons.peer_row(office.gateway, name)
    return '' if row is None else row.reason


def wishable(office: daemons.Office) -> wire.Wishable:
    with office.gateway.client as client:
        return client.wishable()


def takes(office: daemons.Office, query: str) -> int:
    """How many PCs the query takes, by the gateway's word."""
    request = wire.FitRequest(wire.Capacity(), wishes=wire.Wishes(query=query))
    with office.gateway.client as client:
        return sum(one.matching for one in client.fits(request).slices)


def test_a_pc_joins_works_and_dies(office: daemons.Office) -> None:
    pc = office.joined('pc1', attributes='tier:gold')
    pc.start()
    waiting.until(lambda: state_of(office, 'pc1') == 'alive')
    waiting.until(lambda: slice_of(office, 'pc1') == 'gold')
    row = daemons.peer_row(office.gateway, 'pc1')
    assert row is not None
    assert row.role == 'peer'
    waiting.until(lambda: 'libvirt' in reason_of(office, 'pc1'))
    waiting.until(lambda: 'cpu_score' in pc.status().attributes)
    said = dict(pc.status().attributes)
    assert said.pop('tier') == 'gold'
    known = wishable(office).attributes
    assert said.keys() <= known.keys()
    waiting.until(lambda: takes(office, f'cores == {said["cores"]}') == 1)
    assert takes(office, "cores >= p(0) && tier == 'gold'") == 1
    assert takes(office, f'cores > {said["cores"]}') == 0

    pc.stop(signal.SIGKILL)
    waiting.until(lambda: state_of(office, 'pc1') == 'failed')
    # No policy may forget it.
    with office.gateway.client as client:
        found = client.plan_policy(
            'version: 2\nslices: [{name: tin, match: {tier: tin}}]'
        )
    assert 'pc1 (tier: gold) is left out' in found.faults[0]

    pc.start()
    waiting.until(lambda: state_of(office, 'pc1') == 'alive')


def test_a_token_lets_one_pc_join_once(office: daemons.Office) -> None:
    with office.gateway.client as client:
        token = client.create_token(600)
    first, second = office.machine('pc1'), office.machine('pc2')
    assert first.run('join', '-', typed=f'{token}\n').returncode == 0
    refused = second.run('join', token)
    assert refused.returncode == 1
    assert 'the token was used' in refused.stderr
    again = first.run('join', token)
    assert again.returncode == 0
    assert 'a member of overlay office already' in again.stdout


def test_a_pc_relays_for_another_when_the_gateway_is_not_a_seed(
    office: daemons.Office,
) -> None:
    office.joined('pc1').start()
    waiting.until(lambda: state_of(office, 'pc1') == 'alive')
    with office.gateway.client as client:
        token = client.create_token(600)
    machine = office.machine('pc2')
    through_pc1 = daemons.reseed(
        token, [f'{office.address(n)}:7401' for n in (9, 8, 2)]
    )
    joined = machine.run('join', through_pc1)
    assert joined.returncode == 0, joined.stderr


def test_the_owner_sees_his_pc_and_closes_it(office: daemons.Office) -> None:
    pc = office.joined('pc1')
    pc.start()
    assert 'It sees' in pc.run('status').stdout
    assert pc.run('drain').returncode == 0
    assert json.loads(pc.run('status', '--json').stdout)['draining'] is True
    pc.stop()
    pc.start()
    assert 'draining' in pc.run('status').stdout
    assert pc.run('undrain').returncode == 0
    assert json.loads(pc.run('status', '--json').stdout)['draining'] is False


def test_what_is_dropped_is_counted_for_its_owner(
    office: daemons.Office,
) -> None:
    gateway = office.gateway
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b'nonsense', (gateway.host, 7400))

    def counted() -> bool:
        return dict(gateway.client.status().dropped) == {'malformed': 1}

    waiting.until(counted)


def test_a_story_outlives_the_daemon_that_was_in_it(
    office: daemons.Office,
) -> None:
    instance = str(uuid.UUID(int=1))
    with office.gateway.client as client:
        with pytest.raises(errors.NotFound):
            client.story(instance)
        client.take_term('gold', wire.TermRequest(boottime() + 60.0))
        client.destroy('gold', instance, request_id='req-1')
    office.gateway.stop(signal.SIGKILL)
    office.gateway.start()
    with office.gateway.client as client:
        found = client.story(instance)
    assert found.now == 'it is on no PC'
    (line,) = found.lines
    assert line.machine == 'gw'
    assert line.text == f'[req-1] instance {instance}: destroyed'


def test_secrets_are_their_owners_alone(office: daemons.Office) -> None:
    pc = office.joined('pc1')
    identity = pc.folder / 'state' / 'identity'
    assert stat.S_IMODE(identity.stat().st_mode) == 0o700
    for path in identity.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_machine_that_never_joined_is_told_what_to_do(
    office: daemons.Office,
) -> None:
    result = office.machine('pc1').run('run')
    assert result.returncode == 1
    assert 'p2pcs-peer join' in result.stderr
    assert 'Traceback' not in result.stderr


def test_a_second_daemon_says_that_the_port_is_taken(
    office: daemons.Office,
) -> None:
    result = office.gateway.run('run')
    assert result.returncode == 1
    assert 'Traceback' not in result.stderr
    assert 'port 7400' in result.stderr
