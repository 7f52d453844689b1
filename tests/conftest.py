# SPDX-License-Identifier: Apache-2.0
"""The order of the tests: what fails fast comes first, the lab last."""

from __future__ import annotations

import pathlib

import pytest

TESTS = pathlib.Path(__file__).parent
FOLDERS = ('unit', 'simulation', 'functional', 'integration', 'benchmarks')
#: Each needs more than the one before it.
MARKERS = ('nova', 'libvirt', 'lab')


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
