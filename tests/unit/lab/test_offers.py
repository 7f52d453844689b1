# SPDX-License-Identifier: Apache-2.0
"""Which PCs of the lab are waited for, and how they are named."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

import pytest

from devstack.lab import __main__ as command
from devstack.lab import machines, overlay
from devstack.lab.layout import Layout


def row(name: str, state: str, vcpus: int = 4) -> dict[str, Any]:
    return {
        'name': name,
        'role': '' if state == 'revoked' else 'peer',
        'state': state,
        'slice': 'gold',
        'reason': '',
        'offer': {'vcpus': vcpus},
    }


def without(
    monkeypatch: pytest.MonkeyPatch, *rows: dict[str, Any]
) -> list[str]:
    monkeypatch.setattr(machines, 'get', lambda layout, name: name)
    monkeypatch.setattr(
        overlay, 'ask', lambda machine, path: {'peers': list(rows)}
    )
    layout = Layout(pathlib.Path('/nowhere'))
    return overlay.without_offer(layout, ['pc1', 'pc2'])


def test_who_is_missing_or_offers_nothing_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert without(monkeypatch, row('pc1', 'alive', 0)) == [
        'pc1: alive; it offers nothing',
        'pc2: not in the overlay',
    ]


def test_who_was_put_out_is_not_waited_for_unless_it_joined_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = row('pc1', 'alive'), row('pc2', 'revoked')
    assert without(monkeypatch, *both) == []
    assert without(monkeypatch, *both, row('pc2', 'failed')) == [
        'pc2: failed; it offers nothing'
    ]


def test_a_pc_is_named_by_its_number_or_its_name() -> None:
    assert command.pc_number('2') == command.pc_number('pc2') == 2
    for text in ('two', '-1', ''):
        with pytest.raises(argparse.ArgumentTypeError, match='second PC'):
            command.pc_number(text)
