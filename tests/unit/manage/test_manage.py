# SPDX-License-Identifier: Apache-2.0
"""The operator's command: tables, and failures in one line."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from p2pcs_nova import wire
from p2pcs_nova.identity.issuing import IssuerFolder
from p2pcs_nova.identity.store import IdentityStore
from p2pcs_nova.layout import Layout
from p2pcs_nova.manage import cli, listing

UUID = '11111111-2222-3333-4444-555555555555'
CAPACITY = wire.Capacity(4, 4096, 20480)
USED = wire.Capacity(1, 512, 1024)


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, as an operator runs it."""
    return subprocess.run(
        [sys.executable, '-m', 'p2pcs_nova.manage.cli', *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_an_overlay_and_its_gateway_are_made(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / 'state'
    assert (
        run('ca', 'init', '--ca-dir', tmp_path / 'ca', '--overlay', 'o') == 0
    )
    assert 'gateway enrol' in capsys.readouterr().out
    assert (
        run(
            *('gateway', 'enrol', '--ca-dir', tmp_path / 'ca'),
            *('--state-dir', state, '--name', 'gw1'),
            *('--advertise', '198.18.0.2'),
        )
        == 0
    )
    told = capsys.readouterr().out
    layout = Layout(state)
    membership = IdentityStore(layout.identity).load()
    assert membership.peer_id in told
    assert membership.role == 'gateway'
    assert IssuerFolder(layout.issuer).load().certificate


@pytest.mark.parametrize(
    ('arguments', 'told'),
    [
        (['ca', 'init', '--ca-dir', 'DIR', '--overlay', 'A'], 'lower-case'),
        (
            [
                *('gateway', 'enrol', '--ca-dir', 'DIR/none', '--name', 'g'),
                *('--state-dir', 'DIR', '--advertise', '198.18.0.2'),
            ],
            'ca init',
        ),
        (['--socket', 'DIR/none', 'peer', 'list'], 'p2pcs-peer run'),
        (['--socket', 'DIR/none', 'token', 'create'], 'p2pcs-peer run'),
        (['policy', 'validate', 'DIR/none'], 'No such file'),
        (['--socket', 'DIR/none', 'policy', 'show'], 'p2pcs-peer run'),
    ],
)
def test_a_failure_is_one_line_that_says_what_to_do(
    arguments: list[str], told: str, tmp_path: pathlib.Path
) -> None:
    done = command(*(a.replace('DIR', str(tmp_path)) for a in arguments))
    assert done.returncode == 1
    assert done.stdout == ''
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    'arguments',
    [
        ['token', 'create', '--valid-s', '0'],
        ['gateway', 'enrol', '--advertise', 'not-an-address'],
        ['nonsense'],
    ],
)
def test_misuse_is_told_apart_from_failure(
    arguments: list[str],
) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stdout + done.stderr
    assert 'Traceback' not in done.stderr


def test_without_a_command_there_is_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run() == 0
    told = capsys.readouterr().out
    for command in ('ca init', 'token create', 'instance list', '--socket'):
        assert command in told


def table(header: Any, lines: Any) -> list[dict[str, Any]]:
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_peers_are_listed_with_units_and_reasons() -> None:
    row = wire.PeerRow(
        peer='f' * 32,
        name='pc1',
        role='peer',
        address='198.18.1.1:7400',
        state='alive',
        slice='gold',
        offer=CAPACITY,
        used=USED,
        instances=1,
        reason='no KVM',
    )
    (line,) = table(*listing.peers_to_table(wire.PeerRows((row,)), True))
    assert line['ID'] == 'f' * 32
    assert line['Memory used (MiB)'] == '512/4096'
    assert line['Reason'] == 'no KVM'
    (line,) = table(*listing.peers_to_table(wire.PeerRows((row,)), False))
    assert 'ID' not in line


def test_slices_are_listed_with_their_largest_pc() -> None:
    row = wire.SliceSummary(
        'gold', wire.Counter(1, 2), 3, 1, CAPACITY, USED, USED
    )
    rows = wire.SliceRows((row, msgspec.structs.replace(row, name='other')))
    holders = wire.Holders({'gold': 'gw1'})
    line, other = table(*listing.slices_to_table(rows, holders))
    assert (line['Gateway'], other['Gateway']) == ('gw1', '')
    assert line['Largest PC'] == '1 vCPUs, 512 MiB'
    assert line['PCs'] == 3
    assert line['Term'] == '1.2'


def test_instances_are_listed_with_their_pc() -> None:
    status = wire.InstanceStatus(
        UUID, wire.Counter(1, 7), 'gold', wire.InstanceState.RUNNING, USED
    )
    rows = (
        wire.Placed(status, 'f' * 32, 'pc1', True),
        wire.Placed(status, 'e' * 32, 'pc0', False),
    )
    lost, live = table(*listing.instances_to_table(wire.PlacedRows(rows)))
    assert (live['PC'], live['State']) == ('pc1', 'running')
    assert lost['State'] == 'unreachable (was running)'
    json.dumps([lost, live])


def test_graves_are_listed_with_the_pc_that_is_waited_for() -> None:
    grave = wire.Grave(UUID, wire.Counter(1, 7), 'gold', 'f' * 32, 'pc2')
    (line,) = table(*listing.graves_to_table(wire.Graves((grave,))))
    assert line == {
        'Instance': UUID,
        'Slice': 'gold',
        'PC': 'pc2',
        'Epoch': '1.7',
    }
