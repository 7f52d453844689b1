# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pathlib

import pytest

from devstack.lab import venvs

SETUP = '[metadata]\nname = x\n\n[extras]\npeer =\n    trio\n\n[mypy]\na = 1\n'


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    for path in venvs.PEER.inputs:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text('' if path != venvs.SETUP else SETUP)
    return tmp_path


@pytest.mark.parametrize(
    ('before', 'after', 'again'),
    [
        ('a = 1', 'a = 2', False),
        ('trio', 'trio>=1', True),
        ('name = x', 'name = y', True),
    ],
    ids=['tools', 'extras', 'metadata'],
)
def test_environment_is_made_again_when_what_it_holds_changed(
    root: pathlib.Path, before: str, after: str, *, again: bool
) -> None:
    old = venvs.stamp(venvs.PEER, root)
    (root / venvs.SETUP).write_text(SETUP.replace(before, after))
    assert (venvs.stamp(venvs.PEER, root) != old) is again


def test_changed_constraints_make_it_again(root: pathlib.Path) -> None:
    old = venvs.stamp(venvs.PEER, root)
    (root / venvs.CONSTRAINTS).write_text('trio==1\n')
    assert venvs.stamp(venvs.PEER, root) != old
