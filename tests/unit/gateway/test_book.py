# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pathlib
from collections.abc import Callable
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


async def test_write_that_ends_while_its_slice_is_read_again_is_not_forgotten(
    tmp_path: pathlib.Path,
) -> None:
    """The term was late in the middle of a write, and goes on."""
    ledger = Shared(tmp_path / 'gateway.sqlite')
    read, go_on = trio.Event(), trio.Event()

    async def run(call: Callable[..., T], /, *arguments: object) -> T:
        result = call(*arguments)
        if call == ledger.rows and not read.is_set():
            read.set()
            await go_on.wait()
        return result

    terms = commands.Commands(lambda: 0.0)
    terms.take(wire.HeldTerm(SLICE, FIRST, 1.0))
    subject = book.Book(ledger, ledger, terms, run)
    row = ledger_contract.row(FIRST)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subject.open, SLICE)
        await read.wait()
        await subject.place(row)
        go_on.set()
    assert subject.rows == {row.instance: row}
    ledger.close()
