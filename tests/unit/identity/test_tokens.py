# SPDX-License-Identifier: Apache-2.0
"""The issuer's book: each token is honoured once."""

from __future__ import annotations

import concurrent.futures
import datetime
import pathlib
import stat
from collections.abc import Iterator

import pytest

from p2pcs_nova import errors
from p2pcs_nova.identity.tokens import KEPT, TokenBook

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / 'issuer' / 'tokens.sqlite'


@pytest.fixture
def book(path: pathlib.Path) -> Iterator[TokenBook]:
    book = TokenBook(path)
    yield book
    book.close()


def yes(secret: bytes) -> bool:
    return True


def test_a_token_is_honoured_once(book: TokenBook) -> None:
    fresh = book.create(3600.0, NOW)
    book.check(fresh.id, lambda secret: secret == fresh.secret, NOW)
    book.consume(fresh.id, yes, 'pc1 (ab)', NOW)
    later = NOW + datetime.timedelta(minutes=3)
    with pytest.raises(errors.TokenRefused, match='used 3 min ago by pc1'):
        book.check(fresh.id, yes, later)
    with pytest.raises(errors.TokenRefused, match='used 3 min ago by pc1'):
        book.consume(fresh.id, yes, 'pc2', later)


def test_a_used_token_stays_used_after_a_restart(
    book: TokenBook, path: pathlib.Path
) -> None:
    fresh = book.create(3600.0, NOW)
    book.consume(fresh.id, yes, 'pc1', NOW)
    again = TokenBook(path)
    with pytest.raises(errors.TokenRefused, match='used'):
        again.consume(fresh.id, yes, 'pc2', NOW)
    again.close()


def test_of_many_at_once_one_wins(book: TokenBook, path: pathlib.Path) -> None:
    fresh = book.create(3600.0, NOW)
    other = TokenBook(path)

    def consume(number: int) -> bool:
        chosen = (book, other)[number % 2]
        try:
            chosen.consume(fresh.id, yes, f'pc{number}', NOW)
        except errors.TokenRefused:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(consume, range(16)))
    assert sum(results) == 1
    other.close()


def test_an_unknown_token_is_refused(book: TokenBook) -> None:
    with pytest.raises(errors.TokenRefused, match='no such token'):
        book.check('0123456789abcdef', yes, NOW)


def test_an_expired_token_is_refused_with_its_age(book: TokenBook) -> None:
    fresh = book.create(60.0, NOW)
    late = NOW + datetime.timedelta(hours=2, minutes=1)
    with pytest.raises(errors.TokenRefused, match='expired 2 h ago'):
        book.consume(fresh.id, yes, 'pc1', late)


def test_a_token_without_its_secret_is_refused_and_not_used(
    book: TokenBook,
) -> None:
    fresh = book.create(60.0, NOW)
    with pytest.raises(errors.TokenRefused, match='secret'):
        book.consume(fresh.id, lambda secret: False, 'pc1', NOW)
    book.consume(fresh.id, yes, 'pc1', NOW)


def test_old_tokens_are_forgotten(book: TokenBook) -> None:
    old = book.create(60.0, NOW)
    late = NOW + KEPT + datetime.timedelta(minutes=2)
    book.create(60.0, late)
    with pytest.raises(errors.TokenRefused, match='no such token'):
        book.check(old.id, yes, late)


def test_nobody_else_can_read_the_book(
    book: TokenBook, path: pathlib.Path
) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
