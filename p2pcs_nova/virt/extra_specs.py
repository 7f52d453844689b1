# SPDX-License-Identifier: Apache-2.0
"""What Nova's API takes as ``p2pcs:`` extra specs of a flavor.

Found by the entry point ``nova.api.extra_spec_validators``; asked by the
API from microversion 2.86 on.  What there is to be named the gateway daemon
of this machine tells.  Without one a query is checked all the same, but for
the names in it that operators may have made up; the build checks those.
"""

from __future__ import annotations

import contextlib
from typing import Any

import nova.conf
from nova import exception
from nova.api.validation.extra_specs import base

from p2pcs_nova import attributes, errors, query, wire, wishes
from p2pcs_nova.client import local
from p2pcs_nova.virt import conf

CONF = nova.conf.CONF
conf.register(CONF)

ASK_TIMEOUT_S = 2.0
"""Silence after which the daemon is done without."""


class WishValidator(base.ExtraSpecValidator):  # type: ignore[misc]
    """One of our keys."""

    def validate(self, name: str, value: str) -> None:
        """Check a value as the build will.

        :raises ValidationError: Nova's; says where and why
        """
        super().validate(name, value)
        try:
            check(wishes.read_wishes({name: value}, {}), known())
        except errors.Malformed as error:
            raise exception.ValidationError(
                f'Validation failed; {error.message}'
            ) from None


def known() -> wire.Wishable | None:
    """What a wish can name; None if the daemon does not say."""
    client = local.LocalClient(CONF.p2pcs.socket, ASK_TIMEOUT_S)
    with contextlib.suppress(errors.P2PcsError):
        return client.wishable()
    return None


def check(wished: wire.Wishes, there: wire.Wishable | None) -> None:
    """Whether these wishes can be.

    :raises Malformed: they cannot; says where and why
    """
    if there and wished.slice and wished.slice not in there.slices:
        raise errors.Malformed(
            f'p2pcs:slice: there is no slice {wished.slice}; the policy has '
            f'{", ".join(there.slices)}'
        )
    if wished.query:
        try:
            if there:
                query.parse(wished.query, there.attributes)
            else:
                query.parse(wished.query, attributes.KNOWN, is_whole=False)
        except query.QueryError as error:
            raise errors.Malformed(f'p2pcs:query: {error}') from None


def register() -> list[Any]:
    """All keys, for Nova."""
    texts = {
        'p2pcs:slice': 'The slice that the server is in.',
        'p2pcs:query': 'What is true of the PC that the server is on, in '
        "the query language: cores >= 8 && country in ['IT', 'FR'].",
        'p2pcs:not_owner': 'Whom the PC that the server is on does not '
        'belong to.',
    }
    return [
        WishValidator(name=name, description=text, value={'type': str})
        for name, text in texts.items()
    ]
