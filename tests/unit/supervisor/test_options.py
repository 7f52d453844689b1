# SPDX-License-Identifier: Apache-2.0
"""What an operator must put right ends p2pcs-gateway, and is named."""

from __future__ import annotations

import configparser
import os
import pathlib

import pytest

from p2pcs_nova.supervisor import cli


@pytest.mark.parametrize(
    ('group', 'name', 'value', 'message'),
    [
        ('compute', 'config_files', '{}/none.conf', 'none.conf: No such file'),
        ('compute', 'config_files', '{}', 'Is a directory'),
        ('terms', 'etcd_ca_file', '{}/none.pem', 'none.pem: No such file'),
        ('terms', 'etcd_endpoints', 'https://h:99999', 'is not http://HOST'),
        ('terms', 'etcd_endpoints', 'h:2379', "'h:2379' is not http://HOST"),
        ('terms', 'etcd_endpoints', 'https://', 'https://HOST:PORT'),
        ('terms', 'etcd_endpoints', 'http://h:2379/v3', 'https://HOST:PORT'),
        ('terms', 'etcd_endpoints', 'http://u:p@h:1', 'https://HOST:PORT'),
    ],
)
def test_wrong_option_is_named_and_it_is_not_tried_again(
    group: str,
    name: str,
    value: str,
    message: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nova_conf, path = tmp_path / 'nova.conf', tmp_path / 'p2pcs.conf'
    nova_conf.touch()
    conf = configparser.ConfigParser()
    conf['DEFAULT'] = {'socket': str(tmp_path / 'socket')}
    conf['compute'] = {
        'config_files': str(nova_conf),
        'folder': str(tmp_path / 'slices'),
    }
    conf['terms'] = {'etcd_endpoints': 'http://127.0.0.1:1'}
    conf[group][name] = value.format(tmp_path)
    with path.open('w') as file:
        conf.write(file)
    assert cli.main(['--config-file', str(path)]) == os.EX_CONFIG
    said = capsys.readouterr().err
    assert f'[{group}] {name}: ' in said
    assert message in said
