# SPDX-License-Identifier: Apache-2.0
"""Which PCs a user's wishes allow.

A wish is a hard limit: a PC of which nothing is known is not allowed, and
one that does not say what a query asks is not taken by it.
"""

from __future__ import annotations

from p2pcs_nova import errors, query, wire
from p2pcs_nova.gateway import view as views

OWNER = 'owner'
"""The attribute that names whom a PC belongs to."""


class Matcher:
    """Tells of each PC whether these wishes allow it.

    :raises Malformed: the query is none; says where in it, and why
    """

    def __init__(self, wishes: wire.Wishes, view: views.View) -> None:
        self._wishes = wishes
        self._view = view
        self._query: query.Matcher | None = None
        if wishes.query:
            self._query = _parse(wishes.query, view).among(view.said())

    def refresh(self) -> bool:
        """Rank the PCs as they are now; whether that changes anything."""
        old = self._query
        if old is None or not old.ranks:
            return False
        self._query = old.query.among(self._view.said())
        return self._query.ranks != old.ranks

    def mismatch(self, one: views.PeerView, slice_: str) -> str:
        """Why a PC of this slice is not allowed; '' if it is."""
        wishes = self._wishes
        if wishes.slice and slice_ != wishes.slice:
            return 'of another slice'
        if wishes.not_owner or self._query:
            if one.record is None:
                return 'not yet known'
            said = one.record.attributes
            if wishes.not_owner and said.get(OWNER) == wishes.not_owner:
                return 'of that owner'
            if self._query and not self._query.takes(said):
                return 'not matching the query'
        return ''


def check_slice(wishes: wire.Wishes, view: views.View) -> None:
    """Refuse a wish for a slice that there is not.

    :raises Malformed: names those that there are
    """
    if wishes.slice and wishes.slice not in view.partition.open:
        raise errors.Malformed(
            f'there is no slice {wishes.slice}; the policy has '
            f'{", ".join(view.partition.open)}'
        )


def _parse(text: str, view: views.View) -> query.Query:
    try:
        return query.parse(text, view.vocabulary())
    except query.QueryError as error:
        raise errors.Malformed(f'p2pcs:query: {error}') from None
