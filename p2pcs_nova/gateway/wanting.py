# SPDX-License-Identifier: Apache-2.0
"""Which PCs a user's wishes allow.  Pure.

A wish is a hard limit: a PC of which nothing is known is not allowed.
"""

from __future__ import annotations

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import view as views

OWNER = 'owner'
"""The attribute that names whom a PC belongs to."""


class Matcher:
    """Tells of each PC whether these wishes allow it.

    :raises Unsupported: they hold a query
    """

    def __init__(self, wishes: wire.Wishes) -> None:
        self._wishes = wishes
        if wishes.query:
            raise errors.Unsupported('p2pcs:query is not yet supported')

    def mismatch(self, one: views.PeerView, slice_: str) -> str:
        """Why a PC of this slice is not allowed; '' if it is."""
        wishes = self._wishes
        if wishes.slice and slice_ != wishes.slice:
            return 'of another slice'
        if wishes.not_owner:
            if one.record is None:
                return 'not yet known'
            if one.record.attributes.get(OWNER) == wishes.not_owner:
                return 'of that owner'
        return ''
