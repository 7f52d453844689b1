# SPDX-License-Identifier: Apache-2.0
"""What several gateways have signed: in etcd, where the next one finds it.

::

    PREFIX/rows/SLICE/INSTANCE           its latest epoch
    PREFIX/owners/INSTANCE               its slice, written with every row
    PREFIX/groups/GROUP/INSTANCE         its PC; likewise, of a server group
    PREFIX/graves/SLICE/INSTANCE/EPOCH   a tombstone that waits for its PC
    PREFIX/epochs                        written for its revision
    PREFIX/era                           that of the revisions
    PREFIX/begun                         id of the gateway that has begun it

Every write is a transaction that holds only as long as the key of the
slice is the one that the term's gateway has created: a gateway that was
frozen between check and act writes nothing.  A row is written as it was
read, or read again: then a write of ours whose answer was lost may be there
already, and is answered as if it had just been done.  Whoever takes a slice
reads what is the slice's, however many others there are.

Before an era has begun there is no term of it, and nobody writes but the
gateway that begins it.  See also :mod:`p2pcs_nova.terms.shared`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from p2pcs_nova import errors, wire
from p2pcs_nova.etcd import (
    Changed,
    Condition,
    Created,
    Delete,
    Entry,
    Etcd,
    Get,
    Outcome,
    Put,
    Step,
)
from p2pcs_nova.gateway import eras
from p2pcs_nova.gateway.store import Carried, Grave, InstanceRow, RowState
from p2pcs_nova.terms.shared import (
    entries_to_holders,
    entry_to_era,
    era_key,
    slice_key,
)

T = TypeVar('T')
_AFTER = chr(ord('/') + 1)
"""What ends a key that comes after all of its slice."""

TRIES = 3
"""Of a write whose row another one has changed meanwhile: a lost answer of
ours can have done that, and nobody else."""


@dataclasses.dataclass(frozen=True)
class _Found:
    """What is written of an instance in a slice."""

    unchanged: Condition
    """Whether its row, in any slice, is still so."""
    owner: str
    """The slice that has the row; '' if there is none."""
    row: InstanceRow | None
    """None: there is none, or another slice has it."""
    graves: list[Grave]


class EtcdLedger:
    """See :class:`p2pcs_nova.gateway.book.Ledger` and ``Former``."""

    is_shared = True

    def __init__(self, etcd: Etcd, prefix: str) -> None:
        self._etcd = etcd
        self._prefix = prefix

    def stands(self) -> eras.Stand:
        """The revision of the whole store, in the era that it is in."""
        outcome = self._etcd.transact(
            (), [Get(era_key(self._prefix)), Get(self._key('begun'))]
        )
        found, begun = outcome.found
        return eras.Stand(
            f'etcd {outcome.cluster:x} {self._prefix}',
            wire.Counter(entry_to_era(found[0]), outcome.revision)
            if found
            else None,
            begun[0].value.decode(errors='replace') if begun else '',
        )

    def users(self) -> list[str]:
        """Gateways that want slices, or have some: see OneOfSeveral."""
        (wanting,) = self._etcd.read(
            Get(self._key('gateways', ''), prefix=True)
        )
        found = {entry.key.rpartition('/')[2] for entry in wanting}
        return sorted(found.union(self.holders().values()))

    def holders(self) -> dict[str, str]:
        """Gateway by slice; those that nobody commands are not there."""
        every = Get(slice_key(self._prefix, ''), prefix=True)
        (slices,) = self._etcd.read(every)
        return entries_to_holders(slices)

    def of_group(self, group: str) -> dict[str, str]:
        """The PC of each instance of a server group, in any slice."""
        every = self._key('groups', group, '')
        return {
            entry.key.removeprefix(every): entry.value.decode(errors='replace')
            for entry in self._etcd.read_all(every)
        }

    def begin(self, era: int, carried: Carried | None, by: str) -> None:
        """Write the era last: a gateway that sees it sees all the rest."""
        key = era_key(self._prefix)
        (found,) = self._etcd.read(Get(key))
        if found and entry_to_era(found[0]) >= era:
            raise errors.Unavailable(f'etcd: era {era} has begun already')
        if carried is not None:
            self._take(carried)
        unchanged = Changed(key, found[0].changed if found else 0)
        puts = (Put(key, b'%d' % era), Put(self._key('begun'), by.encode()))
        if not self._etcd.transact([unchanged], puts).held:
            raise errors.Unavailable('etcd: another gateway begins an era')

    def _take(self, carried: Carried) -> None:
        """Write what comes from elsewhere; idempotent."""
        if carried.is_all:
            for kind in ('rows', 'owners', 'groups', 'graves'):
                for entry in self._etcd.read_all(self._key(kind, '')):
                    self._etcd.transact((), [Delete(entry.key)])
        for grave in carried.graves:
            self._etcd.transact((), [self._put_grave(grave)])
        for row in carried.rows:
            self._take_row(row)

    def _take_row(self, row: InstanceRow) -> None:
        """Write it, unless a later epoch is there, in whichever slice."""
        owner = self._read(row.slice, row.instance).owner
        old = self._read(owner, row.instance).row if owner else None
        if old is not None:
            if old.epoch >= row.epoch:
                return
            self._etcd.transact((), self._delete_row(old))
        self._etcd.transact((), self._put_row(row))

    def next_epoch(self, command: wire.Command) -> wire.Counter:
        """The revision of a write, in the era of the term."""
        outcome = self._write(command, (), [Put(self._key('epochs'), b'')])
        return wire.Counter(command.term.era, outcome.revision)

    def place(self, command: wire.Command, row: InstanceRow) -> list[Grave]:
        """Write who is about to build; an earlier row becomes a grave.

        :returns: all graves of the instance that are the slice's
        :raises WrongState: another slice has this instance
        """
        for _ in range(TRIES):
            found = self._read(row.slice, row.instance)
            old, graves = found.row, found.graves
            if found.owner not in ('', row.slice):
                raise errors.WrongState(
                    f'slice {found.owner} has this instance'
                )
            steps = self._put_row(row, old)
            if old is not None:
                if old.epoch == row.epoch:
                    return graves
                grave = _grave_of(old)
                graves.append(grave)
                steps.append(self._put_grave(grave))
            if self._write(command, [found.unchanged], steps).held:
                return graves
        raise _unsettled(row.instance)

    def set_placed(
        self, command: wire.Command, instance: str, epoch: wire.Counter
    ) -> bool:
        """Write that the PC has built this epoch; False if it is gone."""
        for _ in range(TRIES):
            found = self._read(command.slice, instance)
            if found.row is None or found.row.epoch != epoch:
                return False
            placed = dataclasses.replace(found.row, state=RowState.PLACED)
            steps = self._put_row(placed)
            if self._write(command, [found.unchanged], steps).held:
                return True
        raise _unsettled(instance)

    def bury(self, command: wire.Command, instance: str) -> list[Grave]:
        """Turn an instance's row, if there is one, into a grave.

        :returns: all graves of the instance that are the slice's
        """
        for _ in range(TRIES):
            found = self._read(command.slice, instance)
            if found.row is None:
                return found.graves
            grave = _grave_of(found.row)
            steps = [*self._delete_row(found.row), self._put_grave(grave)]
            if self._write(command, [found.unchanged], steps).held:
                return [*found.graves, grave]
        raise _unsettled(instance)

    def forget(self, command: wire.Command, grave: Grave) -> None:
        """Its PC has carried out the tombstone; idempotent."""
        self._write(command, (), [Delete(self._grave_key(grave))])

    def rows(self, slice_: str | None = None) -> list[InstanceRow]:
        """Every instance that has a run right; None: of any slice."""
        found = self._etcd.read_all(self._of('rows', slice_))
        return [_decode(entry, InstanceRow) for entry in found]

    def graves(self, slice_: str | None = None) -> list[Grave]:
        """Every tombstone that is not yet carried out; likewise."""
        found = self._etcd.read_all(self._of('graves', slice_))
        return [_decode(entry, Grave) for entry in found]

    def occupied(self) -> set[str]:
        """The slices that have rows."""
        return set(self._slices_of('rows'))

    def buried(self) -> set[str]:
        """The slices that have graves."""
        return set(self._slices_of('graves'))

    # -- how ----------------------------------------------------------------

    def _write(
        self,
        command: wire.Command,
        conditions: Sequence[Condition],
        steps: Sequence[Step],
    ) -> Outcome:
        """Write by a term; not held: a condition was not so.

        :raises StaleTerm: the term is over; nothing was written
        """
        key = slice_key(self._prefix, command.slice)
        mine = Created(key, command.term.n)
        outcome = self._etcd.transact(
            [mine, *conditions], steps, otherwise=[Get(key)]
        )
        if not outcome.held:
            (found,) = outcome.found
            if [entry.created for entry in found] != [command.term.n]:
                raise errors.StaleTerm(
                    f'term {command.term} of slice {command.slice} is over'
                )
        return outcome

    def _read(self, slice_: str, instance: str) -> _Found:
        """What is written of an instance in a slice."""
        key = self._owner_key(instance)
        owners, rows, graves = self._etcd.read(
            Get(key),
            Get(self._row_key(slice_, instance)),
            Get(self._key('graves', slice_, instance, ''), prefix=True),
        )
        return _Found(
            Changed(key, owners[0].changed if owners else 0),
            owners[0].value.decode(errors='replace') if owners else '',
            _decode(rows[0], InstanceRow) if rows else None,
            [_decode(entry, Grave) for entry in graves],
        )

    def _slices_of(self, kind: str) -> Iterator[str]:
        """The slices that have any; asks for one key of each."""
        every = self._key(kind, '')
        since = every
        while True:
            (found,) = self._etcd.read(Get(every, True, since, limit=1))
            if not found:
                return
            slice_ = found[0].key.removeprefix(every).partition('/')[0]
            yield slice_
            since = self._key(kind, slice_ + _AFTER)

    def _put_row(
        self, row: InstanceRow, old: InstanceRow | None = None
    ) -> list[Step]:
        """In the place of the old one, if there is one."""
        new = self._entries(row)
        gone = self._entries(old).keys() - new.keys() if old else ()
        return [
            *(Put(key, value) for key, value in new.items()),
            *map(Delete, sorted(gone)),
        ]

    def _delete_row(self, row: InstanceRow) -> list[Step]:
        return [Delete(key) for key in self._entries(row)]

    def _entries(self, row: InstanceRow) -> dict[str, bytes]:
        """All that is written with a row."""
        found = {
            self._row_key(row.slice, row.instance): msgspec.json.encode(row),
            self._owner_key(row.instance): row.slice.encode(),
        }
        if row.spec.group is not None:
            key = self._key('groups', row.spec.group.id, row.instance)
            found[key] = row.peer.encode()
        return found

    def _put_grave(self, grave: Grave) -> Put:
        return Put(self._grave_key(grave), msgspec.json.encode(grave))

    def _row_key(self, slice_: str, instance: str) -> str:
        return self._key('rows', slice_, instance)

    def _owner_key(self, instance: str) -> str:
        return self._key('owners', instance)

    def _grave_key(self, grave: Grave) -> str:
        return self._key(
            'graves', grave.slice, grave.instance, str(grave.epoch)
        )

    def _of(self, kind: str, slice_: str | None) -> str:
        """What their keys begin with; None: of any slice."""
        return self._key(kind, *([] if slice_ is None else [slice_]), '')

    def _key(self, *parts: str) -> str:
        return '/'.join((self._prefix, *parts))


def _grave_of(row: InstanceRow) -> Grave:
    return Grave(row.instance, row.epoch, row.peer, row.peer_name, row.slice)


def _decode(entry: Entry, kind: type[T]) -> T:
    """A value that a gateway has written.

    :raises Unavailable: it is none: by hand, or by another release
    """
    try:
        return msgspec.json.decode(entry.value, type=kind)
    except wire.UNDECODABLE as error:
        raise errors.Unavailable(f'etcd: {entry.key}: {error}') from None


def _unsettled(instance: str) -> errors.Unavailable:
    return errors.Unavailable(f'etcd: the row of {instance} keeps changing')
