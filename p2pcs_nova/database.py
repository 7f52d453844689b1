# SPDX-License-Identifier: Apache-2.0
"""An SQLite file: every transaction is durable, or did not happen.

What a PC has promised, what a gateway has signed and the tokens of an
issuer are each kept in one.  Everything here blocks on the disk: call it
in a thread.  WAL with FULL syncs the log at every commit: what is
committed outlives a power cut (sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence

from p2pcs_nova import errors

BUSY_TIMEOUT_S = 10.0
"""How long another process may hold the file."""

_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)


class UnusableDatabase(ValueError):
    """The file is no database, or a newer release's; it is unchanged."""


class Database:
    """One file, to be subclassed; its methods may be called in any thread.

    :param path: made with its folder, readable by its owner only
    :param schemas: the n-th has the statements that take a file of version
        n - 1 to version n; only ever added to
    :param exclusive: keep every other process out as long as it is open
    :raises UnusableDatabase: it cannot be opened; says why
    :raises NoSpace: the disk is full
    """

    def __init__(
        self,
        path: pathlib.Path,
        schemas: Sequence[str],
        *,
        exclusive: bool = False,
    ) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._lock = threading.Lock()
        with contextlib.ExitStack() as undo:
            self._db = sqlite3.connect(
                path,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
            undo.callback(self._db.close)
            try:
                if exclusive:
                    self._db.execute('PRAGMA locking_mode = EXCLUSIVE')
                self._db.execute('PRAGMA journal_mode = WAL')
                self._db.execute('PRAGMA synchronous = FULL')
                with self._transaction() as db:
                    _migrate(db, schemas)
            except (
                sqlite3.DatabaseError,
                UnusableDatabase,
                errors.Unavailable,
            ) as error:
                raise UnusableDatabase(f'{path}: {error}') from None
            undo.pop_all()

    def close(self) -> None:
        """Close; everything is on disk already."""
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing, durable at the end.

        :raises NoSpace: the disk is full; nothing changed
        :raises Unavailable: another process holds the file, or the disk
            fails; nothing changed
        """
        with self._lock:
            try:
                self._db.execute('BEGIN IMMEDIATE')
                yield self._db
                self._db.execute('COMMIT')
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute('ROLLBACK')
                if _is_full(error):
                    raise errors.NoSpace(
                        'the disk is full: the daemon cannot keep its records'
                    ) from None
                if isinstance(error, sqlite3.OperationalError):
                    raise errors.Unavailable(
                        f'the daemon cannot keep its records: {error}'
                    ) from error
                raise


def _migrate(db: sqlite3.Connection, schemas: Sequence[str]) -> None:
    (found,) = db.execute('PRAGMA user_version').fetchone()
    if found > len(schemas):
        raise UnusableDatabase(
            f'it was written by a newer release ({found}, not {len(schemas)})'
        )
    for schema in schemas[found:]:
        for statement in schema.split(';'):
            db.execute(statement)
    db.execute(f'PRAGMA user_version = {len(schemas)}')


def _is_full(error: BaseException) -> bool:
    return (
        isinstance(error, sqlite3.Error)
        and getattr(error, 'sqlite_errorcode', None) in _FULL
    )
