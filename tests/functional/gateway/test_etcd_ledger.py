# SPDX-License-Identifier: Apache-2.0
"""What several gateways write down in a real etcd."""

from __future__ import annotations

import dataclasses
import pathlib
import uuid
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.etcd import (
    Condition,
    Delete,
    Entry,
    Etcd,
    Get,
    Outcome,
    Put,
    Step,
)
from p2pcs_nova.gateway.etcd_ledger import EtcdLedger
from p2pcs_nova.gateway.store import Carried, Grave, InstanceRow
from p2pcs_nova.terms.shared import slice_key
from tests.support import etcd_server, ledger_contract

pytestmark = pytest.mark.etcd

SLICE = ledger_contract.SLICE
ERA = 2


@pytest.fixture(scope='module')
def server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[etcd_server.Server]:
    with etcd_server.running(tmp_path_factory.mktemp('etcd')) as server:
        yield server


@pytest.fixture
def prefix(tmp_path: pathlib.Path) -> str:
    """Of this test: they share a server."""
    return str(tmp_path)


def term_begins(
    server: etcd_server.Server, prefix: str, slice_: str = SLICE
) -> wire.Command:
    """As when a gateway takes a slice that nobody has."""
    key = slice_key(prefix, slice_)
    etcd = server.connect()
    (found,) = etcd.read(Get(key))
    assert not found
    etcd.transact((), [Put(key, b'gw')])
    ((row,),) = etcd.read(Get(key))
    return wire.Command(slice_, wire.Counter(ERA, row.created))


def term_ends(
    server: etcd_server.Server, prefix: str, slice_: str = SLICE
) -> None:
    """As when its lease has ended."""
    server.connect().transact((), [Delete(slice_key(prefix, slice_))])


@pytest.fixture
def subject(
    server: etcd_server.Server, prefix: str
) -> ledger_contract.Subject:
    return opened(server, prefix)


class TestEtcdLedger(ledger_contract.LedgerContract):
    """One of several gateways' ledger."""

    @pytest.fixture
    def subject(
        self, server: etcd_server.Server, prefix: str
    ) -> ledger_contract.Subject:
        return opened(server, prefix)


def opened(server: etcd_server.Server, prefix: str) -> ledger_contract.Subject:
    """A ledger whose era has begun, and which may be written to."""
    ledger = EtcdLedger(server.connect(), prefix)
    ledger.begin(ERA, None, '')
    return ledger_contract.Subject(ledger, term_begins(server, prefix))


def test_etcd_that_has_no_era_has_come_to_nothing(
    server: etcd_server.Server, prefix: str
) -> None:
    ledger = EtcdLedger(server.connect(), prefix)
    before = ledger.stands()
    assert before.number is None
    assert before.place.startswith('etcd ')
    assert before.place.endswith(f' {prefix}')
    ledger.begin(ERA, None, '')
    assert ledger.stands().place == before.place
    with pytest.raises(errors.Unavailable, match='has begun already'):
        ledger.begin(ERA, None, '')


def test_era_begins_once_if_two_gateways_begin_it_together(
    server: etcd_server.Server, prefix: str
) -> None:
    class Overtaken(Etcd):
        """The other one begins between our look and our write."""

        def read(self, *gets: Get) -> tuple[tuple[Entry, ...], ...]:
            found = super().read(*gets)
            server.begin_era(prefix, ERA + 1)
            return found

    ledger = EtcdLedger(Overtaken(server.cluster), prefix)
    with pytest.raises(errors.Unavailable, match='another gateway begins'):
        ledger.begin(ERA, None, '')
    assert ledger.stands().era == ERA + 1


def test_of_two_that_are_brought_together_the_later_epoch_stays(
    subject: ledger_contract.Subject,
) -> None:
    here, older, alone = subject.row(1), subject.row(2), subject.row(3)
    for one in (here, older, alone):
        subject.place(one)
    lower = wire.Counter(1, 1)
    later = subject.row(2)
    carried = Carried((ledger_contract.row(lower, 1), later), (), is_all=False)
    subject.ledger.begin(ERA + 1, carried, '')
    rows = sorted(subject.ledger.rows(), key=lambda row: row.epoch)
    assert rows == [here, alone, later]


@pytest.mark.parametrize('is_followed', [False, True])
def test_nothing_is_written_by_a_term_that_is_over(
    server: etcd_server.Server,
    prefix: str,
    subject: ledger_contract.Subject,
    is_followed: bool,
) -> None:
    ledger, command = subject.ledger, subject.command
    written, second = subject.row(), subject.row()
    subject.place(written)
    grave = Grave(written.instance, written.epoch, 'b' * 32, 'pc1', SLICE)
    term_ends(server, prefix)
    if is_followed:
        assert term_begins(server, prefix).term > command.term
    writes: tuple[Callable[[], object], ...] = (
        lambda: ledger.next_epoch(command),
        lambda: ledger.place(command, second),
        lambda: ledger.set_placed(command, written.instance, written.epoch),
        lambda: ledger.bury(command, written.instance),
        lambda: ledger.forget(command, grave),
    )
    for write in writes:
        with pytest.raises(errors.StaleTerm):
            write()
    assert (ledger.rows(), ledger.graves()) == ([written], [])


def test_next_gateway_of_a_slice_finds_what_the_last_one_wrote(
    server: etcd_server.Server, prefix: str, subject: ledger_contract.Subject
) -> None:
    one, two = subject.row(1), subject.row(2)
    subject.place(one)
    subject.place(two)
    subject.ledger.bury(subject.command, two.instance)
    term_ends(server, prefix)
    following = ledger_contract.Subject(
        EtcdLedger(server.connect(), prefix), term_begins(server, prefix)
    )
    assert following.ledger.rows(SLICE) == [one]
    assert [grave.epoch for grave in following.graves()] == [two.epoch]
    assert following.row().epoch > two.epoch
    following.ledger.forget(following.command, following.graves()[0])
    assert subject.graves() == []


def test_write_whose_answer_was_lost_may_be_repeated(
    subject: ledger_contract.Subject,
) -> None:
    first, second = subject.row(), subject.row()
    subject.place(first)
    graves = subject.place(second)
    assert subject.place(second) == graves
    assert subject.ledger.rows() == [second]
    assert subject.graves() == graves


class Repeating(Etcd):
    """Each answer of the first member is lost: the next one is asked."""

    def transact(
        self,
        conditions: Sequence[Condition],
        then: Sequence[Step],
        otherwise: Sequence[Step] = (),
    ) -> Outcome:
        super().transact(conditions, then, otherwise)
        return super().transact(conditions, then, otherwise)


def test_write_that_is_done_by_one_member_is_known_by_the_next(
    server: etcd_server.Server, prefix: str, subject: ledger_contract.Subject
) -> None:
    ledger = EtcdLedger(Repeating(server.cluster), prefix)
    lossy = ledger_contract.Subject(ledger, subject.command)
    first, second = lossy.row(), lossy.row()
    assert lossy.place(first) == []
    assert [grave.epoch for grave in lossy.place(second)] == [first.epoch]
    epochs = [grave.epoch for grave in lossy.bury(first.instance)]
    assert epochs == [first.epoch, second.epoch]
    assert subject.ledger.rows() == []


def test_instance_that_another_slice_takes_meanwhile_is_refused(
    server: etcd_server.Server, prefix: str, subject: ledger_contract.Subject
) -> None:
    other = term_begins(server, prefix, 'other')
    epoch = subject.ledger.next_epoch(other)
    theirs = ledger_contract.row(epoch, slice_='other')

    class Overtaken(Etcd):
        """The other one places between our look and our write."""

        def read(self, *gets: Get) -> tuple[tuple[Entry, ...], ...]:
            found = super().read(*gets)
            subject.ledger.place(other, theirs)
            return found

    ledger = EtcdLedger(Overtaken(server.cluster), prefix)
    with pytest.raises(errors.WrongState, match='slice other has'):
        ledger.place(subject.command, subject.row())
    assert subject.ledger.rows() == [theirs]


def test_row_that_another_slice_has_gives_way_to_a_later_epoch(
    subject: ledger_contract.Subject,
) -> None:
    earlier, latest = subject.row(1), subject.row(2)
    for one in (earlier, latest):
        subject.place(one)
    moved = dataclasses.replace(subject.row(1), slice='other')
    late = dataclasses.replace(
        latest, slice='other', epoch=wire.Counter(ERA, 1)
    )
    carried = Carried((moved, late), (), is_all=False)
    subject.ledger.begin(ERA + 1, carried, '')
    assert subject.ledger.rows(SLICE) == [latest]
    assert subject.ledger.rows('other') == [moved]


def test_more_rows_than_are_read_at_once_are_read(
    server: etcd_server.Server,
    prefix: str,
    subject: ledger_contract.Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('p2pcs_nova.etcd.PART', 2)
    rows = [subject.row(number) for number in range(1, 6)]
    for count, one in enumerate(rows, 1):
        subject.place(one)
        found = subject.ledger.rows()
        assert sorted(found, key=lambda row: row.epoch) == rows[:count]
    assert subject.ledger.graves() == []


def test_what_no_gateway_has_written_is_named(
    server: etcd_server.Server, prefix: str, subject: ledger_contract.Subject
) -> None:
    key = f'{prefix}/rows/{SLICE}/strange'
    server.connect().transact((), [Put(key, b'{')])
    with pytest.raises(errors.Unavailable, match=f'rows/{SLICE}/strange'):
        subject.ledger.rows()


def grouped(
    subject: ledger_contract.Subject, number: int, group: int | None = 1
) -> InstanceRow:
    """A row of a server that is in a group, not yet written."""
    row = subject.row(number)
    wanted = None if group is None else apart(group)
    spec = msgspec.structs.replace(row.spec, group=wanted)
    return dataclasses.replace(row, spec=spec)


def apart(number: int) -> wire.ServerGroup:
    return wire.ServerGroup(
        str(uuid.UUID(int=number)), wire.GroupPolicy.ANTI_AFFINITY
    )


def test_group_has_the_pc_of_each_server_as_long_as_that_has_one(
    subject: ledger_contract.Subject,
) -> None:
    ledger, id_ = subject.ledger, apart(1).id
    assert isinstance(ledger, EtcdLedger)
    one, two = grouped(subject, 1), grouped(subject, 2)
    for row in (one, two, grouped(subject, 3, 2), grouped(subject, 4, None)):
        subject.place(row)
    peers = {one.instance: one.peer, two.instance: two.peer}
    assert ledger.of_group(id_) == peers
    again = dataclasses.replace(grouped(subject, 1), peer='b' * 32)
    subject.place(again)
    assert ledger.of_group(id_) == peers | {one.instance: again.peer}
    ledger.set_placed(subject.command, again.instance, again.epoch)
    subject.bury(two.instance)
    assert ledger.of_group(id_) == {one.instance: again.peer}


def test_server_that_is_in_its_group_no_more_is_not_counted_there(
    subject: ledger_contract.Subject,
) -> None:
    """A user may delete a group whose servers live on."""
    assert isinstance(subject.ledger, EtcdLedger)
    subject.place(grouped(subject, 1))
    subject.place(grouped(subject, 1, None))
    assert subject.ledger.of_group(apart(1).id) == {}


@pytest.mark.parametrize('is_all', [False, True])
def test_groups_come_along_with_their_servers(
    subject: ledger_contract.Subject, is_all: bool
) -> None:
    ledger, id_ = subject.ledger, apart(1).id
    assert isinstance(ledger, EtcdLedger)
    here = grouped(subject, 1)
    subject.place(here)
    carried = grouped(subject, 2)
    ledger.begin(ERA + 1, Carried((carried,), (), is_all=is_all), '')
    stay = set() if is_all else {here.instance}
    assert ledger.of_group(id_).keys() == stay | {carried.instance}
