# SPDX-License-Identifier: Apache-2.0
"""The systemd units agree with the programs that they start."""

from __future__ import annotations

import configparser
import pathlib

import pytest

from p2pcs_nova import layout

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = ROOT / 'etc' / 'systemd'


def read(path: pathlib.Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


def scripts() -> set[str]:
    """What an installation of ours puts on the path."""
    setup = read(ROOT / 'setup.cfg')
    lines = setup['entry_points']['console_scripts'].split('\n')
    return {line.partition('=')[0].strip() for line in lines if line}


@pytest.mark.parametrize(
    'path', sorted(UNITS.iterdir()), ids=lambda path: path.name
)
def test_a_unit_starts_a_program_that_readme_installs(
    path: pathlib.Path,
) -> None:
    command = read(path)['Service']['ExecStart'].split()
    program = pathlib.Path(command[0])
    assert program.name in scripts()
    readme = (ROOT / 'README.rst').read_text()
    assert str(program.parent) in readme
    assert path.name in readme
    for word in command[1:]:
        if word.startswith('/'):
            assert word in readme


def test_the_daemon_gets_the_folders_that_it_looks_for() -> None:
    service = read(UNITS / 'p2pcs-peer.service')['Service']
    assert f'/var/lib/{service["StateDirectory"]}' == layout.STATE_DIR
    runtime = pathlib.Path(layout.SOCKET).parent
    assert f'/run/{service["RuntimeDirectory"]}' == str(runtime)
    condition = read(UNITS / 'p2pcs-peer.service')['Unit']
    place = layout.Layout(pathlib.Path(layout.STATE_DIR))
    assert condition['ConditionPathExists'] == str(place.identity)
