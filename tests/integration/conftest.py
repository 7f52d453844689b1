# SPDX-License-Identifier: Apache-2.0
"""One lab for all tests that are marked ``lab``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from devstack.lab.layout import Layout
from tests.conftest import Figure
from tests.support import lab as support
from tests.support import second_gateway
from tests.support.servers import Bench
from tests.support.surroundings import Surroundings, look

SDK_WARNINGS = (
    'openstack.warnings.OpenStackDeprecationWarning',
    'PendingDeprecationWarning',
)


@pytest.fixture(scope='session')
def surroundings() -> Surroundings:
    """The user's machine before the lab, if the lab was not up."""
    if os.geteuid() != 0:
        pytest.skip('the lab needs root')
    return look(Layout(support.ROOT))


@pytest.fixture(scope='session')
def lab(surroundings: Surroundings, figure: Figure) -> Iterator[support.Lab]:
    """A lab that is up; only what was not up before goes down again."""
    try:
        begin = time.monotonic()
        support.command('up', '--horizon')
        was = 'up already' if surroundings.lab_is_up else 'all installed'
        figure(f'make cloud HORIZON=1, {was}', time.monotonic() - begin)
        yield support.attach(Layout(support.ROOT))
    finally:
        if not surroundings.lab_is_up:
            support.command('down')


@pytest.fixture(scope='session')
def pair(lab: support.Lab) -> second_gateway.Pair:
    """The lab has two gateways from here on."""
    return second_gateway.bring_up(lab)


@pytest.fixture
def bench(lab: support.Lab) -> Iterator[Bench]:
    """Servers of one test."""
    with Bench(lab) as bench:
        yield bench


@pytest.fixture(scope='module')
def module_bench(lab: support.Lab) -> Iterator[Bench]:
    """Servers that the tests of one file share."""
    with Bench(lab) as bench:
        yield bench


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pytest's hook: what the SDK says of its own future is not ours."""
    for item in items:
        if item.get_closest_marker('lab'):
            for category in SDK_WARNINGS:
                item.add_marker(
                    pytest.mark.filterwarnings(f'ignore::{category}')
                )
