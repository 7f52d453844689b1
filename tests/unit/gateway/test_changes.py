# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from p2pcs_nova.gateway import changes


def test_reader_is_told_what_has_changed_since_it_looked() -> None:
    noted = changes.Changes[str]()
    assert noted.since(changes.NEVER) is None
    for key in 'abcab':
        noted.note(key)
    assert noted.since(changes.NEVER) is None
    assert noted.since(0) == {'a', 'b', 'c'}
    assert noted.since(3) == {'a', 'b'}
    assert noted.since(noted.number) == set()


def test_reader_who_comes_too_late_looks_at_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, 'KEPT', 3)
    noted = changes.Changes[str]()
    for key in 'abcd':
        noted.note(key)
    assert noted.since(0) is None
    assert noted.since(1) == {'b', 'c', 'd'}
