# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
import trio
import trio.testing

from p2pcs_nova import wire
from p2pcs_nova.gateway import book, commands, store
from tests.support import ledger_contract

pytestmark = pytest.mark.trio

T = TypeVar('T')
SLICE = 'all'
FIRST = wire.Counter(1, 1)


class Shared(store.Store):
    """A ledger that others write to as well, for all that the book knows."""

    is_shared = True


class Slow:
    """Waits for one kind of call longer than for others."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.called, self.go_on = trio.Event(), trio.Event()

    async def run(
        self,
        call: Callable[..., T],
        /,
        *arguments: object,
        abandon_on_cancel: bool = False,
    ) -> T:
        result = call(*arguments)
        if call.__name__ == self._name and not self.called.is_set():
            self.called.set()
            await self.go_on.wait()
        return result


@pytest.fixture
def ledger(tmp_path: pathlib.Path) -> Iterator[Shared]:
    with contextlib.closing(Shared(tmp_path / 'gateway.sqlite')) as ledger:
        yield ledger


@pytest.fixture
def terms() -> commands.Commands:
    found = commands.Commands(lambda: 0.0)
    found.take(wire.HeldTerm(SLICE, FIRST, 1.0))
    return found


async def test_write_that_ends_while_its_slice_is_read_again_is_not_forgotten(
    ledger: Shared, terms: commands.Commands
) -> None:
    """The term was late in the middle of a write, and goes on."""
    slow = Slow('rows')
    subject = book.Book(ledger, ledger, terms, slow.run)
    row = ledger_contract.row(FIRST)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subject.open, SLICE)
        await slow.called.wait()
        await subject.place(row)
        slow.go_on.set()
    assert subject.rows == {row.instance: row}


@pytest.mark.parametrize('write', ['place', 'bury'])
async def test_write_that_ends_after_its_term_is_for_the_next_one_to_read(
    ledger: Shared, terms: commands.Commands, write: str
) -> None:
    slow = Slow(write)
    subject = book.Book(ledger, ledger, terms, slow.run)
    await subject.open(SLICE)
    row = ledger_contract.row(FIRST)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subject.place, row)
        if write == 'bury':
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(subject.bury, SLICE, row.instance)
        await slow.called.wait()
        subject.close(SLICE)
        slow.go_on.set()
    assert not subject.rows
    assert not subject.graves
    await subject.open(SLICE)
    assert len(subject.rows) + len(subject.graves) == 1
