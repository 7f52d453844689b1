# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pathlib
import stat
import subprocess

import pytest

from devstack.lab import ini, openrc, passwords, schemas
from devstack.lab.layout import Layout
from devstack.lab.settings import DATABASES, Settings


@pytest.fixture
def settings(tmp_path: pathlib.Path) -> Settings:
    layout = Layout(tmp_path)
    return Settings(layout, passwords.load(layout.passwords))


def test_ini_repeats_options_with_several_values() -> None:
    text = ini.render({'a': {'x': ('1', '2'), 'y': True}, 'b': {'z': 3}})
    assert text == '[a]\nx = 1\nx = 2\ny = true\n\n[b]\nz = 3\n'


def test_passwords_are_private_and_stay_the_same(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'passwords.json'
    first = passwords.load(path)
    assert passwords.load(path) == first
    assert len(set(first.values())) == len(passwords.ACCOUNTS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_private_file_that_is_right_is_left_untouched(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'folder' / 'file'
    assert passwords.write_private(path, 'text')
    assert not passwords.write_private(path, 'text')
    assert passwords.write_private(path, 'other')


def test_nova_compute_has_no_way_to_the_databases(settings: Settings) -> None:
    text = ini.render(settings.nova_compute())
    assert settings.passwords['database'] not in text
    assert 'mysql' not in text


def test_nova_keeps_its_own_defaults_for_plugging(settings: Settings) -> None:
    for text in (
        ini.render(settings.nova()),
        ini.render(settings.nova_compute()),
    ):
        assert 'vif_plugging' not in text


def test_every_database_is_made_and_granted() -> None:
    sql = schemas.database_sql('word')
    for name in DATABASES:
        assert f'CREATE DATABASE IF NOT EXISTS {name} ' in sql
        assert f'GRANT ALL ON {name}.* TO' in sql


def sourced(path: pathlib.Path, command: str) -> list[str]:
    """What a plain shell prints after sourcing the file twice."""
    script = f'. "{path}"; . "{path}"; {command}'
    done = subprocess.run(
        ['sh', '-c', script],
        env={'PATH': '/usr/bin:/bin', 'no_proxy': 'localhost'},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout.splitlines()


def test_openrc_leaves_path_and_proxy_tidy(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'openrc'
    path.write_text(openrc.render_openrc('/lab/bin', 'demo', 'demo', "a'b"))
    lines = sourced(
        path, 'echo "$PATH"; echo "$no_proxy"; echo "$OS_PASSWORD"'
    )
    assert lines == [
        '/lab/bin:/usr/bin:/bin',
        'localhost,198.18.0.2',
        "a'b",
    ]
