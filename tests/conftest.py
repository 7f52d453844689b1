# SPDX-License-Identifier: Apache-2.0
"""The order of the tests, and the figures that they print.

What fails fast comes first, the lab last.
"""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable, Generator
from typing import Protocol

import hypothesis
import pytest

from tests.support.figures import Figures

# How long an example takes tells of the machine, not of the code.
hypothesis.settings.register_profile('p2pcs', deadline=None)
hypothesis.settings.load_profile('p2pcs')

TESTS = pathlib.Path(__file__).parent
FOLDERS = ('unit', 'simulation', 'functional', 'integration', 'benchmarks')
#: Each needs more than the one before it.
MARKERS = ('nova', 'etcd', 'libvirt', 'lab')


class Figure(Protocol):
    """Takes what was measured: seconds, unless it says of what."""

    def __call__(self, what: str, value: float, unit: str = ..., /) -> None:
        """Print it at the end."""


Converged = Callable[[str, float], None]
"""Takes a fault, and seconds from its end until all was well again."""
Tried = Callable[[str], None]
"""Takes what was fuzzed with one more input."""
Counted = Callable[[str, str], None]
"""Takes the name of a suite, and how many of its tests passed."""
_FIGURES = pytest.StashKey[Figures]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """What a test ran as a program logs to that test's streams no more."""
    root = logging.getLogger()
    before = set(root.handlers)
    result = yield
    for handler in set(root.handlers) - before:
        if isinstance(handler, logging.StreamHandler):
            root.removeHandler(handler)
    return result


@pytest.fixture(scope='session')
def figures(pytestconfig: pytest.Config) -> Figures:
    """What is printed at the end of the run; none of it fails a test."""
    return pytestconfig.stash.setdefault(_FIGURES, Figures())


@pytest.fixture(scope='session')
def figure(figures: Figures) -> Figure:
    """Print how long something took, or how much it was."""
    return figures.note


@pytest.fixture(scope='session')
def converged(figures: Figures) -> Converged:
    """Print median and worst of these, by fault."""
    return figures.note_convergence


@pytest.fixture(scope='session')
def tried(figures: Figures) -> Tried:
    """Print how many inputs were tried, by what was fuzzed."""
    return figures.count_inputs


@pytest.fixture(scope='session')
def counted(figures: Figures) -> Counted:
    """Print how many tests of a suite passed."""
    return figures.note_suite


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Pytest's hook: the figures, before the closing line."""
    for title, lines in config.stash.get(_FIGURES, Figures()).sections():
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


def rank(item: pytest.Item) -> tuple[int, int]:
    """Where a test comes: by what it needs, then by its folder."""
    folder = item.path.relative_to(TESTS).parts[0]
    needs = [
        number
        for number, name in enumerate(MARKERS, 1)
        if item.get_closest_marker(name)
    ]
    return max(needs, default=0), FOLDERS.index(folder)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pytest's hook: tests of equal rank stay in their order."""
    items.sort(key=rank)
