# SPDX-License-Identifier: Apache-2.0
"""What a gateway has signed must survive a power cut: SQLite.

An only gateway keeps all of it here, as a
:class:`p2pcs_nova.gateway.book.Ledger`; one of several its images.

Rules that the transactions keep:

* a number of the counter is on disk before anybody sees it, so terms and
  epochs never repeat;
* an instance has at most one row, its latest epoch; a row that gives way,
  to a later attempt or to a deletion, becomes a grave in the same
  transaction, so that no epoch is ever forgotten before its PC has
  carried out the tombstone.

Every method blocks on the disk: :mod:`p2pcs_nova.gateway.book` calls them
in a thread.  All may raise :class:`~p2pcs_nova.errors.NoSpace`; then
nothing has changed.
"""

from __future__ import annotations

import dataclasses
import enum
import pathlib
import sqlite3

import msgspec

from p2pcs_nova import database, errors, wire
from p2pcs_nova.gateway import eras

SCHEMA = """
CREATE TABLE counter (era INTEGER NOT NULL, n INTEGER NOT NULL);
INSERT INTO counter VALUES (1, 0);
CREATE TABLE instances (
    uuid TEXT PRIMARY KEY, slice TEXT NOT NULL, peer TEXT NOT NULL,
    peer_name TEXT NOT NULL, era INTEGER NOT NULL, n INTEGER NOT NULL,
    state TEXT NOT NULL, run_right BLOB NOT NULL, spec BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE graves (
    uuid TEXT NOT NULL, era INTEGER NOT NULL, n INTEGER NOT NULL,
    peer TEXT NOT NULL, peer_name TEXT NOT NULL, slice TEXT NOT NULL,
    PRIMARY KEY (uuid, era, n)
) WITHOUT ROWID;
CREATE TABLE images (
    digest TEXT PRIMARY KEY, format TEXT NOT NULL, size INTEGER NOT NULL
) WITHOUT ROWID;
"""
LAST = """
CREATE TABLE last (place TEXT NOT NULL, era INTEGER NOT NULL,
    n INTEGER NOT NULL);
INSERT INTO last
    SELECT iif(n > 0, 'counter', ''), iif(n > 0, era, 0), n FROM counter
"""
"""Where numbers came from that were used; those of the counter are there."""


class RowState(enum.StrEnum):
    """How far an instance's row has come."""

    PLACING = 'placing'
    """The PC has been, or is about to be, told to build."""
    PLACED = 'placed'
    """The PC has answered that it is built."""


@dataclasses.dataclass(frozen=True)
class InstanceRow:
    """Which PC holds the run right of an instance."""

    instance: str
    slice: str
    peer: str
    peer_name: str
    epoch: wire.Counter
    state: RowState
    run_right: wire.Signed
    spec: wire.InstanceSpec
    """Without the config drive, which holds the user's secrets."""


@dataclasses.dataclass(frozen=True)
class Grave:
    """A tombstone that its PC has not yet carried out."""

    instance: str
    epoch: wire.Counter
    peer: str
    peer_name: str
    slice: str

    @property
    def tombstone(self) -> wire.Tombstone:
        """What the PC is told."""
        return wire.Tombstone(self.instance, self.epoch)


@dataclasses.dataclass(frozen=True)
class Carried:
    """What goes along from one place to another."""

    rows: tuple[InstanceRow, ...]
    graves: tuple[Grave, ...]
    is_all: bool
    """What the other place has is older, and goes; else it stays, but for
    the rows of earlier epochs."""


class Store(database.Database):
    """The database of one gateway."""

    is_shared = False

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(path, [SCHEMA, LAST])

    # -- the counter --------------------------------------------------------

    def next_number(self) -> wire.Counter:
        """A number that was never given before: a term or an epoch."""
        with self._transaction() as db:
            row = db.execute(
                'UPDATE counter SET n = n + 1 RETURNING era, n'
            ).fetchone()
        return wire.Counter(*row)

    def stands(self) -> eras.Stand:
        """How far the counter has come."""
        with self._transaction() as db:
            row = db.execute('SELECT era, n FROM counter').fetchone()
        return eras.Stand(eras.COUNTER, wire.Counter(*row))

    def last(self) -> eras.Last:
        """Where numbers came from that were last used here, and how far."""
        with self._transaction() as db:
            place, era, n = db.execute(
                'SELECT place, era, n FROM last'
            ).fetchone()
            if place == eras.COUNTER:
                era, n = db.execute('SELECT era, n FROM counter').fetchone()
        return eras.Last(place, wire.Counter(era, n))

    def note(self, last: eras.Last) -> None:
        """Numbers up to this one have been given there; idempotent.

        With the counter, what is written here is done with: it has gone
        along to the other place, or an era has begun without it.
        """
        wanted = (last.place, last.number.era, last.number.n)
        with self._transaction() as db:
            if last.place == eras.COUNTER:
                db.execute(
                    'UPDATE last SET place = ?1 WHERE place != ?1', wanted[:1]
                )
            else:
                db.execute(
                    'UPDATE last SET place = ?1, era = ?2, n = ?3 '
                    'WHERE (place, era, n) != (?1, ?2, ?3)',
                    wanted,
                )
                db.execute('DELETE FROM instances')
                db.execute('DELETE FROM graves')

    # -- instances and graves -----------------------------------------------
    # By any command: no other gateway writes here.

    def begin(self, era: int, carried: Carried | None, by: str) -> None:
        """Count in this era from now on, with what comes from elsewhere."""
        with self._transaction() as db:
            if carried is not None:
                db.execute('DELETE FROM instances')
                db.execute('DELETE FROM graves')
                for row in carried.rows:
                    _put_row(db, row)
                for grave in carried.graves:
                    _put_grave(db, grave)
            db.execute('UPDATE counter SET era = ?', (era,))
            db.execute('UPDATE last SET place = ?', (eras.COUNTER,))

    def next_epoch(self, command: wire.Command) -> wire.Counter:
        """A number that was never given before."""
        return self.next_number()

    def place(self, command: wire.Command, row: InstanceRow) -> list[Grave]:
        """Write who is about to build; an earlier row becomes a grave.

        :returns: all graves of the instance that are the slice's
        :raises WrongState: another slice has this instance
        """
        with self._transaction() as db:
            graves = self._bury(db, row.instance, row.slice)
            other = db.execute(
                'SELECT slice FROM instances WHERE uuid = ?', (row.instance,)
            ).fetchone()
            if other is not None:
                raise errors.WrongState(f'slice {other[0]} has this instance')
            _put_row(db, row)
        return graves

    def set_placed(
        self, command: wire.Command, instance: str, epoch: wire.Counter
    ) -> bool:
        """Write that the PC has built this epoch; False if it is gone."""
        with self._transaction() as db:
            changed = db.execute(
                'UPDATE instances SET state = ? '
                'WHERE uuid = ? AND era = ? AND n = ?',
                (RowState.PLACED.value, instance, epoch.era, epoch.n),
            ).rowcount
        return changed == 1

    def bury(self, command: wire.Command, instance: str) -> list[Grave]:
        """Turn an instance's row, if there is one, into a grave.

        :returns: all graves of the instance that are the slice's
        """
        with self._transaction() as db:
            return self._bury(db, instance, command.slice)

    def _bury(
        self, db: sqlite3.Connection, instance: str, slice_: str
    ) -> list[Grave]:
        row = db.execute(
            'DELETE FROM instances WHERE uuid = ? AND slice = ? '
            'RETURNING uuid, era, n, peer, peer_name, slice',
            (instance, slice_),
        ).fetchone()
        if row is not None:
            _put_grave(db, _grave(row))
        found = db.execute(
            'SELECT uuid, era, n, peer, peer_name, slice FROM graves '
            'WHERE uuid = ? AND slice = ?',
            (instance, slice_),
        ).fetchall()
        return [_grave(row) for row in found]

    def forget(self, command: wire.Command, grave: Grave) -> None:
        """Its PC has carried out the tombstone; idempotent."""
        with self._transaction() as db:
            db.execute(
                'DELETE FROM graves WHERE uuid = ? AND era = ? AND n = ?',
                (grave.instance, grave.epoch.era, grave.epoch.n),
            )

    def rows(self, slice_: str | None = None) -> list[InstanceRow]:
        """Every instance that has a run right.

        :param slice_: of this one; None: of any
        """
        with self._transaction() as db:
            found = db.execute(
                'SELECT uuid, slice, peer, peer_name, era, n, state, '
                'run_right, spec FROM instances '
                'WHERE ?1 IS NULL OR slice = ?1',
                (slice_,),
            ).fetchall()
        return [
            InstanceRow(
                uuid,
                slice_,
                peer,
                name,
                wire.Counter(era, n),
                RowState(state),
                msgspec.json.decode(right, type=wire.Signed),
                msgspec.json.decode(spec, type=wire.InstanceSpec),
            )
            for uuid, slice_, peer, name, era, n, state, right, spec in found
        ]

    def occupied(self) -> set[str]:
        """The slices that have rows."""
        return self._names('SELECT DISTINCT slice FROM instances')

    def buried(self) -> set[str]:
        """The slices that have graves."""
        return self._names('SELECT DISTINCT slice FROM graves')

    def _names(self, query: str) -> set[str]:
        with self._transaction() as db:
            return {name for (name,) in db.execute(query)}

    def graves(self, slice_: str | None = None) -> list[Grave]:
        """Every tombstone that is not yet carried out.

        :param slice_: of this one; None: of any
        """
        with self._transaction() as db:
            found = db.execute(
                'SELECT uuid, era, n, peer, peer_name, slice FROM graves '
                'WHERE ?1 IS NULL OR slice = ?1',
                (slice_,),
            ).fetchall()
        return [_grave(row) for row in found]

    # -- images -------------------------------------------------------------

    def add_image(self, image: wire.Image) -> None:
        """Write that the bytes of this image are in the folder."""
        with self._transaction() as db:
            db.execute(
                'INSERT OR REPLACE INTO images VALUES (?,?,?)',
                (image.digest, image.format, image.size_bytes),
            )

    def images(self) -> list[wire.Image]:
        """Every image that was taken."""
        with self._transaction() as db:
            found = db.execute(
                'SELECT digest, format, size FROM images'
            ).fetchall()
        return [wire.Image(*row) for row in found]


def _put_row(db: sqlite3.Connection, row: InstanceRow) -> None:
    db.execute(
        'INSERT INTO instances VALUES (?,?,?,?,?,?,?,?,?)',
        (
            row.instance,
            row.slice,
            row.peer,
            row.peer_name,
            row.epoch.era,
            row.epoch.n,
            row.state.value,
            msgspec.json.encode(row.run_right),
            msgspec.json.encode(row.spec),
        ),
    )


def _put_grave(db: sqlite3.Connection, grave: Grave) -> None:
    db.execute(
        'INSERT INTO graves VALUES (?,?,?,?,?,?)',
        (
            grave.instance,
            grave.epoch.era,
            grave.epoch.n,
            grave.peer,
            grave.peer_name,
            grave.slice,
        ),
    )


def _grave(row: tuple[str, int, int, str, str, str]) -> Grave:
    uuid, era, n, peer, peer_name, slice_ = row
    return Grave(uuid, wire.Counter(era, n), peer, peer_name, slice_)
