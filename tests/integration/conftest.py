# SPDX-License-Identifier: Apache-2.0
"""One lab for all tests that are marked ``lab``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from devstack.lab.layout import Layout
from tests.support import lab as support
from tests.support.servers import Bench
from tests.support.surroundings import Surroundings, look

_FIGURES = pytest.StashKey[list[str]]()
SDK_WARNINGS = (
    'openstack.warnings.OpenStackDeprecationWarning',
    'PendingDeprecationWarning',
)

Figure = Callable[[str, float], None]
"""Takes what was measured, and seconds."""


@pytest.fixture(scope='session')
def surroundings() -> Surroundings:
    """The user's machine before the lab, if the lab was not up."""
    if os.geteuid() != 0:
        pytest.skip('the lab needs root')
    return look(Layout(support.ROOT))


@pytest.fixture(scope='session')
def lab(surroundings: Surroundings) -> Iterator[support.Lab]:
    """A lab that is up; only what was not up before goes down again."""
    try:
        support.command('up', '--horizon')
        yield support.attach(Layout(support.ROOT))
    finally:
        if not surroundings.lab_is_up:
            support.command('down')


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


@pytest.fixture(scope='session')
def figure(pytestconfig: pytest.Config) -> Figure:
    """Print a figure at the end of the run: none of them fails a test."""
    figures = pytestconfig.stash.setdefault(_FIGURES, [])

    def note(what: str, seconds: float) -> None:
        figures.append(f'{seconds:9.3f} s  {what}')

    return note


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pytest's hook: what the SDK says of its own future is not ours."""
    for item in items:
        if item.get_closest_marker('lab'):
            for category in SDK_WARNINGS:
                item.add_marker(
                    pytest.mark.filterwarnings(f'ignore::{category}')
                )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Pytest's hook: the figures, before the closing line."""
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section('figures')
        for line in figures:
            terminalreporter.write_line(line)
