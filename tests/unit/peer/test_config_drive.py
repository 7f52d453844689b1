# SPDX-License-Identifier: Apache-2.0
"""The ISO image that a guest reads its configuration from."""

import io
import pathlib

import pycdlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import wire
from p2pcs_nova.peer.config_drive import write_config_drive


def read_back(path: pathlib.Path, names: list[str], kind: str) -> list[bytes]:
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    found = []
    for name in names:
        out = io.BytesIO()
        iso.get_file_from_iso_fp(out, **{kind: f'/{name}'})
        found.append(out.getvalue())
    iso.close()
    return found


FILES = (
    wire.ConfigFile('openstack/latest/meta_data.json', b'{"a": 1}'),
    wire.ConfigFile('openstack/2018-08-27/meta_data.json', b'{}'),
    wire.ConfigFile('openstack/latest/user_data', bytes(5000)),
    wire.ConfigFile('openstack/latest/vendor_data.json', b''),
    wire.ConfigFile('openstack/content/0000', b'x'),
)


@pytest.mark.parametrize('kind', ['rr_path', 'joliet_path'])
def test_files_are_found_by_rock_ridge_and_joliet_names(
    tmp_path: pathlib.Path, kind: str
) -> None:
    path = tmp_path / 'config.iso'
    write_config_drive(path, FILES)
    names = [file.path for file in FILES]
    contents = [file.content for file in FILES]
    assert read_back(path, names, kind) == contents


def test_label_is_the_one_that_guests_look_for(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'config.iso'
    write_config_drive(path, FILES)
    # Volume identifier of the primary descriptor (ECMA-119, 8.4).
    assert path.read_bytes()[16 * 2048 + 40 :][:8] == b'config-2'


def test_only_the_daemon_reads_the_user_data(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'config.iso'
    write_config_drive(path, FILES)
    assert path.stat().st_mode & 0o777 == 0o600


def test_second_file_of_one_path_replaces_the_first(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'config.iso'
    write_config_drive(
        path, [wire.ConfigFile('a', b'1'), wire.ConfigFile('a', b'2')]
    )
    assert read_back(path, ['a'], 'rr_path') == [b'2']


names = st.lists(
    st.from_regex(r'[a-z0-9_]{1,12}(/[a-z0-9_.]{1,12}x){0,3}', fullmatch=True),
    min_size=1,
    max_size=8,
    unique=True,
).filter(
    lambda paths: not any(b.startswith(f'{a}/') for a in paths for b in paths)
)


@given(paths=names)
def test_any_set_of_paths_is_kept(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str]
) -> None:
    path = tmp_path_factory.mktemp('iso') / 'config.iso'
    write_config_drive(path, [wire.ConfigFile(p, p.encode()) for p in paths])
    assert read_back(path, paths, 'rr_path') == [p.encode() for p in paths]
