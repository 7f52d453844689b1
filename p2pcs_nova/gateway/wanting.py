# SPDX-License-Identifier: Apache-2.0
"""Which PCs a user's wishes allow.

A wish is a hard limit: a PC of which nothing is known is not allowed, and
one that does not say what a query asks is not taken by it.
"""

from __future__ import annotations

from collections.abc import Iterator

from p2pcs_nova import errors, query, wire
from p2pcs_nova.gateway import view as views

OWNER = 'owner'
"""The attribute that names whom a PC belongs to."""


class Matcher:
    """Tells of each PC whether these wishes allow it.

    :raises Malformed: a query is none; says where in which, and why
    """

    def __init__(self, wishes: wire.Wishes, view: views.View) -> None:
        self._wishes = wishes
        self._view = view
        self._owners = {wishes.not_owner, wishes.hint_not_owner} - {''}
        self._queries: list[query.Matcher] = []
        if wishes.query or wishes.hint_query:
            self._queries = [
                one.among(view.said())
                for one in parse(wishes, view.vocabulary())
            ]

    def refresh(self) -> bool:
        """Rank the PCs as they are now; whether that changes anything."""
        old = self._queries
        if not any(one.ranks for one in old):
            return False
        self._queries = [
            one.query.among(self._view.said()) if one.ranks else one
            for one in old
        ]
        return any(
            new.ranks != before.ranks
            for new, before in zip(self._queries, old, strict=True)
        )

    def mismatch(self, one: views.PeerView, slice_: str) -> str:
        """Why a PC of this slice is not allowed; '' if it is."""
        wishes = self._wishes
        if wishes.slice and slice_ != wishes.slice:
            return 'of another slice'
        if self._owners or self._queries:
            if one.record is None:
                return 'not yet known'
            said = one.record.attributes
            if said.get(OWNER) in self._owners:
                return 'of that owner'
            if not all(one.takes(said) for one in self._queries):
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


def parse(
    wishes: wire.Wishes, vocabulary: wire.Vocabulary
) -> Iterator[query.Query]:
    """The queries, of which all must be true.

    :raises Malformed: one is none; says which, where in it, and why
    """
    both = wishes.query and wishes.hint_query
    for text, whose in (
        (wishes.query, ' of the flavor' if both else ''),
        (wishes.hint_query, ' of the hint'),
    ):
        if text:
            try:
                yield query.parse(text, vocabulary)
            except query.QueryError as error:
                raise errors.Malformed(
                    f'p2pcs:query{whose}: {error}'
                ) from None
