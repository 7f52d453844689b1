# SPDX-License-Identifier: Apache-2.0
"""What a PC has promised, kept over a power cut: SQLite.

Methods block until the data is on the disk: call them in a thread.  Each
is one transaction; all may raise :class:`~p2pcs_nova.errors.NoSpace`, and
then nothing has changed.  A run right whose epoch is not above the instance's
tombstone is one that is still to be taken away; there is no third record
of that.
"""

from __future__ import annotations

import dataclasses
import enum
import os
import pathlib

import msgspec

from p2pcs_nova import database, errors, wire

BALLAST_BYTES = 2**20
"""Of the disk, to be given up when it is full: some pages and their log."""
SCHEMA = """
CREATE TABLE term (
    slice TEXT PRIMARY KEY, era INTEGER NOT NULL, n INTEGER NOT NULL);
CREATE TABLE run_right (instance TEXT PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE tombstone (
    instance TEXT PRIMARY KEY, era INTEGER NOT NULL, n INTEGER NOT NULL);
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Stage(enum.StrEnum):
    """How far the instance of a run right has come."""

    BUILDING = 'building'
    BUILT = 'built'
    UNDOING = 'undoing'
    """The build failed; something of it may be left."""
    FAILED = 'failed'
    """The build failed; nothing of it is left."""
    QUARANTINED = 'quarantined'
    """Built, but its gateway does not know it."""


class Entry(msgspec.Struct, frozen=True):
    """A run right and what became of it."""

    right: wire.RunRight
    signed: wire.Signed
    spec: wire.InstanceSpec
    stage: Stage = Stage.BUILDING
    wish: wire.InstanceState = wire.InstanceState.PLUGGED
    """What was last asked for: PLUGGED, RUNNING, PAUSED, SUSPENDED or
    STOPPED."""
    code: str = ''
    detail: str = ''
    """Error code and words of a failed build."""
    left_s: float = 0.0
    """Seconds of quarantine that are left, of those that this PC is on."""


@dataclasses.dataclass(frozen=True)
class Loaded:
    """All that was stored."""

    terms: dict[str, wire.Counter]
    entries: dict[str, Entry]
    tombstones: dict[str, wire.Counter]
    draining: bool
    slice: str
    """The slice that this PC has chosen; '' for none."""


class Store(database.Database):
    """The database of one PC, which one daemon has open.

    A PC whose disk is full must still be able to destroy what fills it,
    and destroying begins with a tombstone that is written down.  So there
    is some ballast beside the database, which is dropped then.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._ballast = path.with_name('ballast')
        try:
            super().__init__(path, [SCHEMA], exclusive=True)
        except errors.NoSpace:
            self._ballast.unlink(missing_ok=True)
            super().__init__(path, [SCHEMA], exclusive=True)

    def lay_ballast(self) -> None:
        """Take in ballast, if there is none and the disk has room."""
        if self._ballast.exists():
            return
        try:
            with open(self._ballast, 'xb') as file:
                os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
        except OSError:
            self._ballast.unlink(missing_ok=True)

    def load(self) -> Loaded:
        """Read everything."""
        with self._transaction() as db:
            terms = {
                name: wire.Counter(era, n)
                for name, era, n in db.execute(
                    'SELECT slice, era, n FROM term'
                )
            }
            tombstones = {
                name: wire.Counter(era, n)
                for name, era, n in db.execute(
                    'SELECT instance, era, n FROM tombstone'
                )
            }
            entries = {
                name: msgspec.json.decode(entry, type=Entry)
                for name, entry in db.execute(
                    'SELECT instance, entry FROM run_right'
                )
            }
            settings = dict(db.execute('SELECT name, value FROM setting'))
        return Loaded(
            terms,
            entries,
            tombstones,
            settings.get('draining') == 'yes',
            settings.get('slice', ''),
        )

    def put_term(self, slice_: str, term: wire.Counter) -> None:
        """Remember the highest term; on a full disk as a tombstone.

        A gateway that has restarted brings the tombstones by a new one.
        """
        self._write_at_any_price(
            'INSERT INTO term VALUES (?, ?, ?) ON CONFLICT (slice) '
            'DO UPDATE SET era = excluded.era, n = excluded.n '
            'WHERE (excluded.era, excluded.n) > (era, n)',
            (slice_, term.era, term.n),
        )

    def put_entry(self, entry: Entry) -> None:
        """Add a run right, or change what became of it."""
        with self._transaction() as db:
            db.execute(
                'INSERT OR REPLACE INTO run_right VALUES (?, ?)',
                (entry.right.instance, msgspec.json.encode(entry)),
            )

    def forget(self, instance: str) -> None:
        """Its run right is done with; on a full disk as a tombstone."""
        statement = 'DELETE FROM run_right WHERE instance = ?'
        self._write_at_any_price(statement, (instance,))

    def put_tombstone(self, tombstone: wire.Tombstone) -> None:
        """Remember the highest tombstone of an instance.

        On a full disk it takes the ballast's place.
        """
        epoch = tombstone.epoch
        self._write_at_any_price(
            'INSERT INTO tombstone VALUES (?, ?, ?) '
            'ON CONFLICT (instance) '
            'DO UPDATE SET era = excluded.era, n = excluded.n '
            'WHERE (excluded.era, excluded.n) > (era, n)',
            (tombstone.instance, epoch.era, epoch.n),
        )

    def _write_at_any_price(
        self, statement: str, values: tuple[str | int, ...]
    ) -> None:
        try:
            with self._transaction() as db:
                db.execute(statement, values)
        except errors.NoSpace:
            self._ballast.unlink(missing_ok=True)
            with self._transaction() as db:
                db.execute(statement, values)

    def put_draining(self, draining: bool) -> None:
        """Remember whether the PC is closed to new claims."""
        self._put('draining', 'yes' if draining else 'no')

    def put_slice(self, name: str) -> None:
        """Remember the slice that this PC has chosen."""
        self._put('slice', name)

    def _put(self, name: str, value: str) -> None:
        with self._transaction() as db:
            db.execute(
                'INSERT OR REPLACE INTO setting VALUES (?, ?)', (name, value)
            )
