# SPDX-License-Identifier: Apache-2.0
"""One lab for all tests that are marked ``lab``."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from devstack.lab.layout import Layout
from tests.support import lab as support


@pytest.fixture(scope='session')
def lab() -> Iterator[support.Lab]:
    """A lab that is up; only what was not up before goes down again."""
    if os.geteuid() != 0:
        pytest.skip('the lab needs root')
    layout = Layout(support.ROOT)
    was_up = support.is_up(layout)
    try:
        support.command('up')
        yield support.attach(layout)
    finally:
        if not was_up:
            support.command('down')
