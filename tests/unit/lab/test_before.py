# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pathlib

import pytest

from devstack.lab import before
from devstack.lab.layout import Layout


def test_what_is_noted_in_a_fresh_clone_is_read_again(
    tmp_path: pathlib.Path,
) -> None:
    layout = Layout(tmp_path)
    with pytest.raises(FileNotFoundError):
        before.noted(layout)
    before.note(layout)
    assert before.noted(layout).units == before.look().units
