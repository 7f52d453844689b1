# SPDX-License-Identifier: Apache-2.0
"""The order of the tests, and the figures that they print.

What fails fast comes first, the lab last.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import hypothesis
import pytest

# How long an example takes tells of the machine, not of the code.
hypothesis.settings.register_profile('p2pcs', deadline=None)
hypothesis.settings.load_profile('p2pcs')

TESTS = pathlib.Path(__file__).parent
FOLDERS = ('unit', 'simulation', 'functional', 'integration', 'benchmarks')
#: Each needs more than the one before it.
MARKERS = ('nova', 'libvirt', 'lab')

Figure = Callable[[str, float], None]
"""Takes what was measured, and seconds."""
_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope='session')
def figure(pytestconfig: pytest.Config) -> Figure:
    """Print a figure at the end of the run: none of them fails a test."""
    figures = pytestconfig.stash.setdefault(_FIGURES, [])

    def note(what: str, seconds: float) -> None:
        figures.append(f'{seconds:9.3f} s  {what}')

    return note


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Pytest's hook: the figures, before the closing line."""
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section('figures')
        for line in figures:
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
