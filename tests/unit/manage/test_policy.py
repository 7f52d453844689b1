# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pathlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import wire
from p2pcs_nova.manage import cli, policy
from p2pcs_nova.policy import reading, signing

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))


def test_without_a_daemon_a_policy_is_read_and_no_pc_looked_at(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'policy.yaml'
    path.write_text('version: 4\nslices: [{name: all, match: {}}]')
    socket = str(tmp_path / 'none')
    assert cli.main(['--socket', socket, 'policy', 'validate', str(path)]) == 0
    told = capsys.readouterr().out
    assert 'version 4, 1 slices: all' in told
    assert 'no PC was looked at' in told


def test_daemon_that_does_not_say_what_it_thinks_is_an_error(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'policy.yaml'
    path.write_text('slices: [{name: all, match: {}}]')
    socket = tmp_path / 'socket'
    socket.touch()
    told = ['--socket', str(socket), 'policy', 'validate', str(path)]
    assert cli.main(told) != 0
    assert f'no daemon answers on {socket}' in capsys.readouterr().err


def test_what_is_shown_can_be_put_in_force_again() -> None:
    rows = (
        wire.SliceRow('new', of='new', share=1_000_000),
        wire.SliceRow('old', wire.SliceState.DRAINING),
    )
    signed = signing.sign_map(wire.SliceMap(2, 7, rows), KEY, 'a' * 32)
    text = 'version: 2\nslices: [{name: new, match: {}}]\n'
    bundle = wire.PolicyBundle(wire.SignedPolicy(text, b''), signed)
    assert list(policy.bundle_to_lines(bundle)) == [
        f'# slice map 7 of version 2, by gateway {"a" * 32}:',
        '#   new: open, 100 %',
        '#   old: draining',
        text.rstrip('\n'),
    ]


def test_who_has_no_policy_is_told_how_to_make_one() -> None:
    (line,) = policy.bundle_to_lines(wire.PolicyBundle())
    assert 'policy apply' in line


def test_a_plan_tells_who_moves_and_what_speaks_against_it() -> None:
    plan = wire.PolicyPlan(
        1,
        ('gold: zone: no',),
        (
            wire.PolicyMove('pc1', '', 'gold'),
            wire.PolicyMove('pc2', 'gold', ''),
        ),
        opened=('gold-2',),
        drained=('lead',),
        merged=('tin',),
    )
    assert list(policy.plan_to_lines(plan)) == [
        'slice gold-2: new',
        'slice lead: drained, and closed when it is empty',
        'slice tin: too small now, so its neighbour has its PCs',
        'pc1: - -> gold',
        'pc2: gold -> -',
        'refused: gold: zone: no',
    ]


def test_rank_that_no_pc_says_is_told() -> None:
    text = """
version: 1
sites:
- {name: lab, match: {}, rank: RANK, slices: [{name: all, share: 100%}]}
"""
    known = {'floor': wire.Kind.NUMBER}
    good, bad = (
        reading.read_policy(text.replace('RANK', rank), 'policy')
        for rank in ('floor', 'flor')
    )
    assert not list(policy.unranked_to_lines(good, known))
    text_known = known | {'floor': wire.Kind.TEXT}
    (line,) = policy.unranked_to_lines(good, text_known)
    assert line.startswith("site lab: 'floor', its rank, is of kind text")
    (line,) = policy.unranked_to_lines(bad, known)
    assert line.startswith("site lab: no PC says 'flor', its rank")
