# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import pathlib
import sqlite3
from collections.abc import Iterator

import pytest

from p2pcs_nova import wire
from p2pcs_nova.gateway import store
from tests.support import fake_pcs, gateways

PEER = 'a' * 32


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / 'state' / 'gateway.sqlite'


@pytest.fixture
def opened(path: pathlib.Path) -> Iterator[store.Store]:
    opened = store.Store(path)
    yield opened
    opened.close()


def row(epoch: wire.Counter, peer: str = PEER) -> store.InstanceRow:
    spec = fake_pcs.spawn_request(1, wire.Capacity(1, 2, 3)).spec
    right = wire.RunRight(spec.instance, epoch, peer, 'all', spec.image.digest)
    return store.InstanceRow(
        spec.instance,
        'all',
        peer,
        'pc1',
        epoch,
        store.RowState.PLACING,
        gateways.sign(right),
        spec,
    )


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


def test_row_comes_back_as_it_was_written(
    path: pathlib.Path, opened: store.Store
) -> None:
    written = row(opened.next_number())
    assert opened.place(written) is None
    assert opened.rows() == [written]
    opened.close()
    again = store.Store(path)
    assert again.rows() == [written]
    again.close()


def test_later_attempt_makes_the_earlier_one_a_grave(
    opened: store.Store,
) -> None:
    first = row(opened.next_number())
    second = row(opened.next_number(), 'b' * 32)
    opened.place(first)
    grave = opened.place(second)
    assert grave == store.Grave(
        first.instance, first.epoch, PEER, 'pc1', 'all'
    )
    assert (opened.rows(), opened.graves()) == ([second], [grave])


def test_only_the_row_of_that_epoch_becomes_placed(
    opened: store.Store,
) -> None:
    first, second = (row(opened.next_number()) for _ in range(2))
    opened.place(first)
    opened.place(second)
    assert not opened.set_placed(first.instance, first.epoch)
    assert opened.set_placed(second.instance, second.epoch)
    assert opened.rows() == [
        dataclasses.replace(second, state=store.RowState.PLACED)
    ]


def test_grave_stays_until_it_is_forgotten(opened: store.Store) -> None:
    written = row(opened.next_number())
    opened.place(written)
    grave = opened.bury(written.instance)
    assert grave is not None
    assert grave.tombstone == wire.Tombstone(written.instance, written.epoch)
    assert opened.bury(written.instance) is None
    assert (opened.rows(), opened.graves()) == ([], [grave])
    opened.forget(grave)
    opened.forget(grave)
    assert opened.graves() == []


def test_failed_transaction_leaves_nothing(opened: store.Store) -> None:
    written = row(opened.next_number())
    broken = dataclasses.replace(written, slice=object())  # type: ignore[arg-type]
    opened.place(written)
    with pytest.raises(sqlite3.Error):
        opened.place(broken)
    assert (opened.rows(), opened.graves()) == ([written], [])


def test_images_are_remembered(opened: store.Store) -> None:
    image = wire.Image('sha256:' + '0' * 64, 'qcow2', 17)
    opened.add_image(image)
    opened.add_image(image)
    assert opened.images() == [image]
