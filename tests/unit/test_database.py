# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to the file, a transaction is whole or did not happen."""

from __future__ import annotations

import pathlib
import sqlite3
import stat
from collections.abc import Iterator

import pytest

from p2pcs_nova import database, errors

SCHEMAS = (
    'CREATE TABLE word (text BLOB NOT NULL); CREATE TABLE other (n);',
    "UPDATE word SET text = text || '!';",
)
MANY_PAGES = 'x' * 2**20


class Words(database.Database):
    """The smallest of databases."""

    def __init__(self, path: pathlib.Path, version: int = 1) -> None:
        super().__init__(path, SCHEMAS[:version])

    def add(self, *texts: str) -> None:
        with self._transaction() as db:
            for text in texts:
                db.execute('INSERT INTO word VALUES (?)', (text,))

    def words(self) -> list[str]:
        with self._transaction() as db:
            return [text for (text,) in db.execute('SELECT text FROM word')]

    def limit(self, pages: int) -> None:
        """Let the file grow no further, as a full disk does."""
        self._db.execute(f'PRAGMA max_page_count = {pages}')

    def synchronous(self) -> int:
        (mode,) = self._db.execute('PRAGMA synchronous').fetchone()
        return int(mode)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / 'state' / 'words.sqlite'


@pytest.fixture
def words(path: pathlib.Path) -> Iterator[Words]:
    opened = Words(path)
    yield opened
    opened.close()


def test_what_is_written_is_there_again(path: pathlib.Path) -> None:
    for text in ('one', 'two'):
        opened = Words(path)
        opened.add(text)
        opened.close()
    opened = Words(path)
    assert opened.words() == ['one', 'two']
    opened.close()


def test_only_its_owner_reads_it(path: pathlib.Path, words: Words) -> None:
    words.add('secret')
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_commit_is_synced(words: Words) -> None:
    full = 2
    assert words.synchronous() == full


def test_full_disk_changes_nothing_and_does_no_lasting_harm(
    words: Words,
) -> None:
    words.add('before')
    words.limit(1)
    for _ in range(2):
        with pytest.raises(errors.NoSpace):
            words.add('whole', MANY_PAGES)
    assert words.words() == ['before']
    words.limit(2**20)
    words.add('after')
    assert words.words() == ['before', 'after']


def test_failed_transaction_leaves_nothing(words: Words) -> None:
    with pytest.raises(sqlite3.Error):
        words.add('whole', None)  # type: ignore[arg-type]
    assert words.words() == []


def test_file_of_a_newer_release_is_refused_and_left_as_it_is(
    path: pathlib.Path,
) -> None:
    newer = Words(path, version=2)
    newer.add('new')
    newer.close()
    with pytest.raises(database.UnusableDatabase, match='newer release'):
        Words(path, version=1)
    again = Words(path, version=2)
    assert again.words() == ['new']
    again.close()


def test_file_of_an_older_release_is_brought_up_to_date(
    path: pathlib.Path,
) -> None:
    older = Words(path, version=1)
    older.add('old')
    older.close()
    for _ in range(2):
        newer = Words(path, version=2)
        assert newer.words() == ['old!']
        newer.close()


def test_what_is_no_database_is_named(path: pathlib.Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'not a database' * 100)
    with pytest.raises(database.UnusableDatabase, match=str(path)):
        Words(path)
    assert path.read_bytes() == b'not a database' * 100


def test_file_that_another_process_holds_is_unavailable(
    path: pathlib.Path, words: Words
) -> None:
    words._db.execute('PRAGMA busy_timeout = 10')
    other = sqlite3.connect(path, isolation_level=None)
    other.execute('BEGIN IMMEDIATE')
    with pytest.raises(errors.Unavailable, match='locked'):
        words.add('one')
    other.execute('ROLLBACK')
    other.close()
    words.add('two')
    assert words.words() == ['two']
