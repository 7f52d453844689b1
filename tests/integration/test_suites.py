# SPDX-License-Identifier: Apache-2.0
"""Suites on OpenStack's own test bases, each in a process of its own.

Nova and Neutron register the same options with different texts, patch the
interpreter and warn of each other's ways: they cannot share a process,
neither with each other nor with our other tests.  Warnings are errors
where our code is the cause.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.conftest import Counted

ROOT = pathlib.Path(__file__).resolve().parents[2]
THREADS = ('-p', 'tests.support.nova_threads')

pytestmark = pytest.mark.nova


@pytest.mark.parametrize(
    ('suite', 'options'),
    [
        ('neutron/suite_plugged.py', ()),
        ('nova/suite_contract.py', THREADS),
        ('nova/suite_elsewhere.py', THREADS),
        ('nova/suite_functional.py', THREADS),
        ('nova/suite_parts.py', THREADS),
        pytest.param('nova/suite_hosts.py', THREADS, marks=pytest.mark.slow),
        pytest.param('nova/suite_moves.py', THREADS, marks=pytest.mark.slow),
        pytest.param('nova/suite_rebuild.py', THREADS, marks=pytest.mark.slow),
        pytest.param(
            'nova/suite_scheduler.py', THREADS, marks=pytest.mark.slow
        ),
    ],
)
def test_suite_passes(
    suite: str,
    options: tuple[str, ...],
    tmp_path: pathlib.Path,
    counted: Counted,
) -> None:
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'pytest',
            *options,
            '-q',
            '--noconftest',
            '-p',
            'no:cacheprovider',
            '-o',
            'python_files=suite_*.py',
            '-o',
            'filterwarnings=ignore\nerror:::p2pcs_nova',
            f'--basetemp={tmp_path / "suite"}',
            str(ROOT / 'tests/integration' / suite),
        ],
        cwd=ROOT,
        env=os.environ | {'OS_NOVA_DISABLE_EVENTLET_PATCHING': '1'},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-20000:] + result.stderr
    found = re.search(r'(\d+) passed', result.stdout)
    assert found
    counted(suite, found.group(1))
