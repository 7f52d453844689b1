# SPDX-License-Identifier: Apache-2.0
"""What is wrong in ``p2pcs.conf`` is told by its option's name."""

from __future__ import annotations

import pathlib

import pytest
from oslo_config import cfg

from p2pcs_nova.daemon import conf


def load(folder: pathlib.Path, *lines: str) -> cfg.ConfigOpts:
    path = folder / 'p2pcs.conf'
    path.write_text('\n'.join(lines) + '\n')
    found = cfg.ConfigOpts()
    conf.register(found)
    found(['--config-file', str(path)], project='p2pcs')
    return found


def test_an_empty_file_will_do(tmp_path: pathlib.Path) -> None:
    found = load(tmp_path, '[DEFAULT]')
    for group, options in conf.GROUPS:
        place = found if group == 'DEFAULT' else found[group]
        for option in options:
            place[option.dest]


@pytest.mark.parametrize(
    'line',
    [
        'bind_address = localhost',
        'advertise_address = office.example',
        'port = 70000',
    ],
)
def test_a_wrong_value_names_its_option(
    tmp_path: pathlib.Path, line: str
) -> None:
    name = line.partition(' ')[0]
    found = load(tmp_path, '[DEFAULT]', line)
    with pytest.raises(cfg.ConfigFileValueError, match=name):
        found[name]
