# SPDX-License-Identifier: Apache-2.0
"""Tests that Nova's developers wrote, with our scheduler in their Nova."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.integration.test_suites import ROOT

pytestmark = pytest.mark.nova

FUNCTIONAL = 'nova.tests.functional'
FEW = (
    'nova.tests.unit.scheduler.test_manager',
    f'{FUNCTIONAL}.test_scheduler.MultiCellSchedulerTestCase',
)
"""In every run; the rest in ``make test-all``."""
MODULES = (
    'test_aggregates',
    'test_availability_zones',
    'test_cold_migrate',
    'test_json_filter',
    'test_routed_networks',
    'test_scheduler',
    'test_server_group',
    'test_servers',
    'test_servers_provider_tree',
    'test_servers_resource_request',
)
APART = re.compile('(?<!soft_)anti_affinity')
"""Tests that servers are apart by host: in slices they are by PC."""
TIMEOUT_S = 3600.0


def run(scheduler: str, *names: str) -> tuple[int, dict[str, str], int]:
    """How many ran, which failed and how often our overlay was asked."""
    result = subprocess.run(
        [
            sys.executable,
            '-W',
            'ignore',
            '-m',
            'tests.support.nova_suite',
            scheduler,
            *names,
        ],
        cwd=ROOT,
        env=os.environ | {'OS_NOVA_DISABLE_EVENTLET_PATCHING': '1'},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-20000:]
    found = json.loads(result.stdout.splitlines()[-1])
    return found['ran'], found['failed'], found['asked']


def test_what_nova_tests_of_its_scheduler_is_true_of_ours(
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    ran, failed, asked = run('ours', *FEW)
    assert not failed, '\n'.join(failed.values())
    assert asked
    record_testsuite_property('tests of Nova on our scheduler', ran)


@pytest.mark.slow
@pytest.mark.parametrize('scheduler', ['ours', 'alone'])
@pytest.mark.parametrize('module', MODULES)
def test_what_passes_with_novas_scheduler_passes_with_ours(
    module: str,
    scheduler: str,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    ran, failed, _ = run(scheduler, f'{FUNCTIONAL}.{module}')
    if scheduler == 'ours':
        failed = {n: t for n, t in failed.items() if not APART.search(n)}
    if failed:
        # Nova's tests wait for ten seconds: too short on a busy machine.
        _, failed, _ = run(scheduler, *failed)
    if failed:
        # What fails without us too tells of the machine or of Nova.
        _, stock, _ = run('stock', *failed)
        failed = {
            name: text for name, text in failed.items() if name not in stock
        }
    assert not failed, '\n'.join(failed.values())
    record_testsuite_property(f'{module}, {scheduler}', ran)
