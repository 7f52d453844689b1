# SPDX-License-Identifier: Apache-2.0
"""Installing packages leaves the user's machine alone."""

from __future__ import annotations

import os
import pathlib

import pytest

from devstack.lab import bindep, policy, units
from devstack.lab.packages import parse_installed

WANTS = 'etc/systemd/system/multi-user.target.wants'


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / WANTS).mkdir(parents=True)
    (tmp_path / 'usr' / 'sbin').mkdir(parents=True)
    (tmp_path / WANTS / 'ssh.service').symlink_to('/lib/ssh.service')
    return tmp_path


def enable(root: pathlib.Path, unit: str) -> None:
    (root / WANTS / unit).symlink_to(f'/lib/systemd/system/{unit}')


def test_bindep_gives_the_packages_of_a_profile() -> None:
    text = (
        '# comment\n'
        'gcc [platform:dpkg build]\n'
        '\n'
        'nftables [platform:dpkg peer cloud]  # both\n'
        'chromium [platform:dpkg browser]\n'
    )
    assert bindep.parse(text, {'build'}) == ['gcc']
    assert bindep.parse(text, {'peer', 'build'}) == ['gcc', 'nftables']


def test_only_complete_packages_count_as_installed() -> None:
    assert parse_installed('ii  gcc\nrc  nano\nun  vim\niU  make\n') == {'gcc'}


def test_units_enabled_by_the_installation_are_disabled(
    root: pathlib.Path,
) -> None:
    guard = units.Guard(root, root / 'cache' / 'units.json')
    guard.begin()
    enable(root, 'mariadb.service')
    assert guard.end() == [f'{WANTS}/mariadb.service']
    assert os.listdir(root / WANTS) == ['ssh.service']


def test_list_of_an_installation_cut_short_counts(
    root: pathlib.Path,
) -> None:
    record = root / 'cache' / 'units.json'
    units.Guard(root, record).begin()
    enable(root, 'mariadb.service')
    second = units.Guard(root, record)
    assert second.pending
    second.begin()
    second.end()
    assert os.listdir(root / WANTS) == ['ssh.service']
    assert not second.pending


def test_policy_forbids_starts_and_goes_away(root: pathlib.Path) -> None:
    path = root / policy.PATH
    with policy.no_starts(root):
        assert os.access(path, os.X_OK)
        assert 'exit 101' in path.read_text()
    assert os.listdir(path.parent) == []


def test_policy_of_the_user_comes_back_after_a_failure(
    root: pathlib.Path,
) -> None:
    path = root / policy.PATH
    path.write_text('#!/bin/sh\nexit 0\n')
    path.chmod(0o700)
    with pytest.raises(RuntimeError), policy.no_starts(root):
        raise RuntimeError('apt failed')
    assert path.read_text() == '#!/bin/sh\nexit 0\n'
    assert path.stat().st_mode & 0o777 == 0o700
    assert os.listdir(path.parent) == [path.name]


def test_policy_of_the_user_survives_a_killed_run(
    root: pathlib.Path,
) -> None:
    path = root / policy.PATH
    path.write_text('mine\n')
    killed = policy.no_starts(root)
    killed.__enter__()
    with policy.no_starts(root):
        assert policy.OURS in path.read_text()
    assert path.read_text() == 'mine\n'
    assert os.listdir(path.parent) == [path.name]
