# SPDX-License-Identifier: Apache-2.0
"""What a gateway relies on where it writes instances and graves down."""

from __future__ import annotations

import dataclasses

import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import store
from p2pcs_nova.gateway.book import Ledger
from tests.support import fake_pcs, gateways

PEER = 'a' * 32
SLICE = 'all'


@dataclasses.dataclass(frozen=True)
class Subject:
    """A ledger, and a command by which it may be written to."""

    ledger: Ledger
    command: wire.Command

    def row(self, number: int = 1, peer: str = PEER) -> store.InstanceRow:
        """A row of the next epoch, not yet written."""
        return row(self.ledger.next_epoch(self.command), number, peer)

    def place(self, placed: store.InstanceRow) -> list[store.Grave]:
        """Write it; the graves of its instance, by epoch."""
        return by_epoch(self.ledger.place(self.command, placed))

    def bury(self, instance: str) -> list[store.Grave]:
        """Delete it; likewise."""
        return by_epoch(self.ledger.bury(self.command, instance))

    def graves(self) -> list[store.Grave]:
        """Those of the slice, by epoch."""
        return by_epoch(self.ledger.graves(SLICE))


def by_epoch(graves: list[store.Grave]) -> list[store.Grave]:
    """In the order in which they were signed."""
    return sorted(graves, key=lambda grave: grave.epoch)


def row(
    epoch: wire.Counter,
    number: int = 1,
    peer: str = PEER,
    slice_: str = SLICE,
) -> store.InstanceRow:
    """An instance that is about to be built."""
    spec = fake_pcs.spawn_request(number, wire.Capacity(1, 2, 3)).spec
    right = wire.RunRight(
        spec.instance, epoch, peer, slice_, spec.image.digest
    )
    return store.InstanceRow(
        spec.instance,
        slice_,
        peer,
        'pc1',
        epoch,
        store.RowState.PLACING,
        gateways.sign(right),
        spec,
    )


class LedgerContract:
    """Subclasses give the subject, which is empty."""

    @pytest.fixture
    def subject(self) -> Subject:
        raise NotImplementedError

    def test_epochs_only_rise(self, subject: Subject) -> None:
        epochs = [subject.ledger.next_epoch(subject.command) for _ in range(5)]
        assert epochs == sorted(set(epochs))
        assert {epoch.era for epoch in epochs} == {subject.command.term.era}

    def test_place_comes_no_less_far_than_its_numbers(
        self, subject: Subject
    ) -> None:
        for _ in range(3):
            epoch = subject.ledger.next_epoch(subject.command)
            stands = subject.ledger.stands().number
            assert stands is not None
            assert stands >= epoch

    def test_era_begins_with_what_comes_along(self, subject: Subject) -> None:
        ledger = subject.ledger
        gone, kept, old = subject.row(1), subject.row(2), subject.row(3)
        subject.place(gone)
        subject.place(old)
        before = ledger.stands()
        grave = store.Grave(gone.instance, gone.epoch, PEER, 'pc1', SLICE)
        carried = store.Carried((kept,), (grave,), is_all=True)
        ledger.begin(before.era + 1, carried, '')
        after = ledger.stands()
        assert (after.place, after.era) == (before.place, before.era + 1)
        assert (ledger.rows(), ledger.graves()) == ([kept], [grave])

    def test_era_begins_with_what_is_there(self, subject: Subject) -> None:
        written = subject.row()
        subject.place(written)
        before = subject.ledger.stands()
        subject.ledger.begin(before.era + 2, None, '')
        assert subject.ledger.stands().era == before.era + 2
        assert subject.ledger.rows() == [written]

    def test_row_comes_back_as_it_was_written(self, subject: Subject) -> None:
        first, second = subject.row(1), subject.row(2)
        assert subject.place(first) == []
        assert subject.place(second) == []
        found = subject.ledger.rows(SLICE)
        assert sorted(found, key=lambda one: one.epoch) == [first, second]
        assert subject.ledger.rows('other') == []
        assert len(subject.ledger.rows()) == 2

    def test_later_attempt_makes_the_earlier_one_a_grave(
        self, subject: Subject
    ) -> None:
        first, second = subject.row(), subject.row(peer='b' * 32)
        subject.place(first)
        (grave,) = subject.place(second)
        assert grave == store.Grave(
            first.instance, first.epoch, PEER, 'pc1', SLICE
        )
        assert subject.ledger.rows(SLICE) == [second]
        assert subject.graves() == [grave]

    def test_only_the_row_of_that_epoch_becomes_placed(
        self, subject: Subject
    ) -> None:
        first, second = subject.row(), subject.row()
        subject.place(first)
        subject.place(second)
        instance = first.instance
        placed = subject.ledger.set_placed
        assert not placed(subject.command, instance, first.epoch)
        assert placed(subject.command, instance, second.epoch)
        assert subject.ledger.rows(SLICE) == [
            dataclasses.replace(second, state=store.RowState.PLACED)
        ]

    def test_grave_stays_until_it_is_forgotten(self, subject: Subject) -> None:
        written = subject.row()
        subject.place(written)
        ledger, command = subject.ledger, subject.command
        (grave,) = subject.bury(written.instance)
        assert grave.tombstone == wire.Tombstone(
            written.instance, written.epoch
        )
        assert (ledger.rows(), subject.graves()) == ([], [grave])
        assert ledger.graves('other') == []
        ledger.forget(command, grave)
        ledger.forget(command, grave)
        assert ledger.graves() == []
        assert subject.bury(written.instance) == []

    def test_deletion_that_is_repeated_says_again_what_waits(
        self, subject: Subject
    ) -> None:
        first, second = subject.row(), subject.row()
        subject.place(first)
        (earlier,) = subject.place(second)
        graves = subject.bury(first.instance)
        assert [grave.epoch for grave in graves] == [first.epoch, second.epoch]
        assert graves[0] == earlier
        assert subject.bury(first.instance) == graves
        assert subject.graves() == graves
        third = subject.row()
        assert subject.place(third) == graves

    def test_instance_is_in_one_slice_only(self, subject: Subject) -> None:
        written = subject.row()
        subject.place(written)
        epoch = subject.ledger.next_epoch(subject.command)
        again = row(epoch, slice_='other')
        other = wire.Command('other', subject.command.term)
        with pytest.raises(errors.WrongState, match='slice all has'):
            subject.ledger.place(other, again)
        assert subject.ledger.bury(other, written.instance) == []
        assert subject.ledger.rows() == [written]

    def test_slices_that_have_anything_are_named(
        self, subject: Subject
    ) -> None:
        rows = [
            row(subject.ledger.next_epoch(subject.command), number, slice_=one)
            for number, one in enumerate(('all', 'all-2', 'all', 'b'), 1)
        ]
        graves = [
            store.Grave(one.instance, one.epoch, PEER, 'pc1', f'{one.slice}-x')
            for one in rows
        ]
        assert subject.ledger.occupied() == subject.ledger.buried() == set()
        era = subject.ledger.stands().era + 1
        carried = store.Carried(tuple(rows), tuple(graves), is_all=True)
        subject.ledger.begin(era, carried, '')
        assert subject.ledger.occupied() == {'all', 'all-2', 'b'}
        assert subject.ledger.buried() == {'all-x', 'all-2-x', 'b-x'}
        for name in ('all', 'all-2'):
            found = subject.ledger.rows(name)
            assert {one.slice for one in found} == {name}

    def test_grave_of_another_slice_is_not_told_of(
        self, subject: Subject
    ) -> None:
        """Who commands that one carries it out, and forgets it."""
        there = row(subject.ledger.next_epoch(subject.command), slice_='other')
        grave = store.Grave(there.instance, there.epoch, PEER, 'pc1', 'other')
        era = subject.ledger.stands().era + 1
        subject.ledger.begin(era, store.Carried((), (grave,), is_all=True), '')
        assert subject.place(subject.row()) == []
        assert subject.bury(there.instance) != [grave]
        assert grave in subject.ledger.graves()

    def test_several_epochs_of_an_instance_have_graves_of_their_own(
        self, subject: Subject
    ) -> None:
        rows = [subject.row() for _ in range(3)]
        for one in rows:
            subject.place(one)
        subject.bury(rows[0].instance)
        assert [grave.epoch for grave in subject.graves()] == [
            one.epoch for one in rows
        ]
        subject.ledger.forget(subject.command, subject.graves()[1])
        assert [grave.epoch for grave in subject.graves()] == [
            rows[0].epoch,
            rows[2].epoch,
        ]
