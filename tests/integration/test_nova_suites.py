# SPDX-License-Identifier: Apache-2.0
"""Tests that Nova's developers wrote, with our scheduler in their Nova."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import Counted
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
APART = re.compile('(?<!soft_)anti_affinity|AntiAffinity')
"""Tests that servers are apart by host: in slices they are by PC."""
DRAWN = re.compile('uses_host_lists_(1_fail|3_fails)')
"""Tests that want the two or four best of six: ours draws five of them."""
WAYS = {
    'ours': 'on ours, each host a slice',
    'alone': 'on ours, no overlay in reach',
}
TIMEOUT_S = 3600.0


@dataclasses.dataclass(frozen=True)
class Ran:
    """What came of tests: the text of each that failed, by its name."""

    tests: int
    failed: dict[str, str]
    asked: int
    """How often our scheduler asked the overlay."""

    def __str__(self) -> str:
        return f'{self.tests - len(self.failed)} of {self.tests}'


def is_exempt(name: str) -> bool:
    """Whether a test of Nova wants what slices are not made for."""
    return bool(APART.search(name) or DRAWN.search(name))


def run(scheduler: str, *names: str) -> Ran:
    """Run them in a process of their own."""
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
    return Ran(found['ran'], found['failed'], found['asked'])


def run_calmly(scheduler: str, *names: str) -> Ran:
    """The same; what fails has a second try.

    Nova's tests wait for ten seconds: too short on a busy machine.
    """
    first = run(scheduler, *names)
    if not first.failed:
        return first
    again = run(scheduler, *first.failed)
    return dataclasses.replace(first, failed=again.failed)


def test_what_nova_tests_of_its_scheduler_is_true_of_ours(
    counted: Counted,
) -> None:
    ours = run('ours', *FEW)
    assert not ours.failed, '\n'.join(ours.failed.values())
    assert ours.asked
    counted("Nova's tests of its scheduler, on ours", str(ours))


@pytest.mark.slow
@pytest.mark.parametrize('module', MODULES)
def test_what_passes_with_novas_scheduler_passes_with_ours(
    module: str, counted: Counted
) -> None:
    name = f'{FUNCTIONAL}.{module}'
    stock = run_calmly('stock', name)
    counted(f'{module} of Nova, on its own scheduler', str(stock))
    for scheduler in WAYS:
        ours = run_calmly(scheduler, name)
        counted(f'{module} of Nova, {WAYS[scheduler]}', str(ours))
        new = {
            name: text
            for name, text in ours.failed.items()
            if name not in stock.failed
            and not (scheduler == 'ours' and is_exempt(name))
        }
        assert not new, '\n'.join(new.values())
        assert ours.tests == stock.tests
