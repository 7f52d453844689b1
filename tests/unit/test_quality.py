# SPDX-License-Identifier: Apache-2.0
"""The house rules that a program can check: one test for each checker."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CODE = ('gossip', 'p2pcs_nova', 'devstack', 'tests')


@pytest.mark.parametrize(
    'command',
    [
        ('ruff', 'check', *CODE),
        ('ruff', 'format', '--check', *CODE),
        ('flake8', *CODE),
        ('mypy',),
        ('lint-imports', '--no-cache'),
    ],
    ids=['ruff', 'format', 'hacking', 'mypy', 'imports'],
)
def test_checker_finds_nothing(command: tuple[str, ...]) -> None:
    tool = pathlib.Path(sys.executable).with_name(command[0])
    result = subprocess.run(
        [str(tool), *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
