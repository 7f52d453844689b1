# SPDX-License-Identifier: Apache-2.0
"""The issuer's book of tokens: each is honoured once, whatever happens.

A token is consumed in a committed and synced transaction *before* anything
is signed.  An issuer that dies in between has wasted the token; it never
honours one twice.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import secrets
import sqlite3
from collections.abc import Callable

from p2pcs_nova import database, errors
from p2pcs_nova.identity.clock import seconds_to_words

KEPT = datetime.timedelta(days=90)
"""How long a token that has expired is remembered, to say so."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS token (
    id TEXT PRIMARY KEY,
    secret BLOB NOT NULL,
    expires_s REAL NOT NULL,
    used_s REAL,
    used_by TEXT
) STRICT
"""


@dataclasses.dataclass(frozen=True)
class NewToken:
    """What the issuer keeps of a token, and the PC gets."""

    id: str
    secret: bytes
    expires_s: float


class TokenBook(database.Database):
    """The tokens of one issuer."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(path, [SCHEMA])

    def create(self, valid_s: float, now: datetime.datetime) -> NewToken:
        """A fresh token, durable when this returns."""
        token = NewToken(
            secrets.token_hex(8),
            secrets.token_bytes(32),
            now.timestamp() + valid_s,
        )
        with self._transaction() as base:
            base.execute(
                'DELETE FROM token WHERE expires_s < ?',
                ((now - KEPT).timestamp(),),
            )
            base.execute(
                'INSERT INTO token (id, secret, expires_s) VALUES (?, ?, ?)',
                (token.id, token.secret, token.expires_s),
            )
        return token

    def check(
        self,
        token_id: str,
        is_proved: Callable[[bytes], bool],
        now: datetime.datetime,
    ) -> None:
        """See whether the token would be honoured now.

        :param is_proved: whether the request shows this secret
        :raises TokenRefused: it would not; says why
        """
        with self._transaction() as base:
            _check(base, token_id, is_proved, now)

    def consume(
        self,
        token_id: str,
        is_proved: Callable[[bytes], bool],
        used_by: str,
        now: datetime.datetime,
    ) -> None:
        """Use the token up; durable when this returns.

        Of several at once exactly one returns.

        :param used_by: whom to name to the next who tries
        :raises TokenRefused: it is not honoured; says why; unchanged
        """
        with self._transaction() as base:
            _check(base, token_id, is_proved, now)
            base.execute(
                'UPDATE token SET used_s = ?, used_by = ? WHERE id = ?',
                (now.timestamp(), used_by, token_id),
            )


def _check(
    base: sqlite3.Connection,
    token_id: str,
    is_proved: Callable[[bytes], bool],
    now: datetime.datetime,
) -> None:
    row = base.execute(
        'SELECT secret, expires_s, used_s, used_by FROM token WHERE id = ?',
        (token_id,),
    ).fetchone()
    if row is None:
        raise errors.TokenRefused(
            'this gateway has no such token: create a new one'
        )
    secret, expires_s, used_s, used_by = row
    if not is_proved(secret):
        raise errors.TokenRefused('the token does not carry its secret')
    if used_s is not None:
        ago = seconds_to_words(max(now.timestamp() - used_s, 0.0))
        raise errors.TokenRefused(
            f'the token was used {ago} ago by {used_by}; a token lets one '
            'PC join once: create a new one'
        )
    if now.timestamp() >= expires_s:
        ago = seconds_to_words(now.timestamp() - expires_s)
        raise errors.TokenRefused(
            f'the token expired {ago} ago: create a new one'
        )
