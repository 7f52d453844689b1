# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import pathlib
import sqlite3
from collections.abc import Iterator

import pytest

from p2pcs_nova import wire
from p2pcs_nova.gateway import store
from tests.support import ledger_contract

COMMAND = wire.Command('all', wire.Counter(1, 1))


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / 'state' / 'gateway.sqlite'


@pytest.fixture
def opened(path: pathlib.Path) -> Iterator[store.Store]:
    opened = store.Store(path)
    yield opened
    opened.close()


class TestStore(ledger_contract.LedgerContract):
    """An only gateway's ledger."""

    @pytest.fixture
    def subject(self, opened: store.Store) -> ledger_contract.Subject:
        return ledger_contract.Subject(opened, COMMAND)


def test_numbers_never_repeat_and_outlive_a_restart(
    path: pathlib.Path,
) -> None:
    numbers = []
    for _ in range(3):
        opened = store.Store(path)
        numbers += [opened.next_number() for _ in range(3)]
        opened.close()
    assert numbers == sorted(set(numbers))
    assert {number.era for number in numbers} == {1}


def test_row_outlives_a_restart(
    path: pathlib.Path, opened: store.Store
) -> None:
    written = ledger_contract.row(opened.next_number())
    opened.place(COMMAND, written)
    opened.close()
    again = store.Store(path)
    assert again.rows() == [written]
    again.close()


def test_failed_transaction_leaves_nothing(opened: store.Store) -> None:
    written = ledger_contract.row(opened.next_number())
    broken = dataclasses.replace(written, slice=object())  # type: ignore[arg-type]
    opened.place(COMMAND, written)
    with pytest.raises(sqlite3.Error):
        opened.place(COMMAND, broken)
    assert (opened.rows(), opened.graves()) == ([written], [])


def test_images_are_remembered(opened: store.Store) -> None:
    image = wire.Image('sha256:' + '0' * 64, 'qcow2', 17)
    opened.add_image(image)
    opened.add_image(image)
    assert opened.images() == [image]
