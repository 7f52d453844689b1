# SPDX-License-Identifier: Apache-2.0
"""Whose commands this PC obeys, and which run rights it believes."""

from __future__ import annotations

from collections.abc import Callable

import trio

from p2pcs_nova import errors, run_right, wire
from p2pcs_nova.peer.steps import Passed, Step
from p2pcs_nova.peer.store import Store
from p2pcs_nova.peer.terms import Terms

GatewayKey = Callable[[str], bytes | None]
"""Raw public key of a peer that is a gateway; None if it is not."""


class Authority:
    """The checks that come before everything else.

    :param terms: those that were stored
    """

    def __init__(
        self,
        store: Store,
        terms: Terms,
        peer_id: str,
        gateway_key: GatewayKey,
        passed: Passed,
    ) -> None:
        self._store = store
        self._terms = terms
        self._peer_id = peer_id
        self._gateway_key = gateway_key
        self._passed = passed

    async def obey(self, command: wire.Command) -> None:
        """Whether this gateway may command its slice now.

        :raises StaleTerm: a later one may
        """
        if self._terms.check(command):
            await trio.to_thread.run_sync(
                self._store.put_term, command.slice, command.term
            )
            self._passed(Step.TERM_STORED, '')
            self._terms.accept(command)
            # A higher one may have come while this one was stored.
            self._terms.check(command)

    def check_right(
        self, command: wire.Command, instance: str, request: wire.BuildRequest
    ) -> wire.RunRight:
        """The run right of a build request, if all of it agrees.

        :raises BadRunRight: it does not; says where
        """
        signed, spec = request.run_right, request.spec
        key = self._gateway_key(signed.signer)
        if key is None:
            raise errors.BadRunRight(f'{signed.signer} is no gateway')
        right = run_right.open_run_right(signed, key)
        for name, here, there in (
            ('peer', right.peer, self._peer_id),
            ('slice', right.slice, command.slice),
            ('instance', right.instance, instance),
            ('instance', spec.instance, instance),
            ('image', right.image, spec.image.digest),
        ):
            if here != there:
                raise errors.BadRunRight(
                    f'the run right is for {name} {here}, not {there}'
                )
        return right
