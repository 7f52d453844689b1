# SPDX-License-Identifier: Apache-2.0
"""Whether a PC takes part, and for which slice.

Whoever has a say has it here: the owner, who drains his PC; the operator,
who puts it out or drains a slice; the policy, by which it chooses its
slice; and what it holds, which binds it to the slice that it is in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from p2pcs_nova import errors
from p2pcs_nova.peer.steps import Passed, Step
from p2pcs_nova.peer.store import Loaded, Store

LOG = logging.getLogger(__name__)


class Standing:
    """Of one PC, as long as its daemon runs.

    :param bound: the slice that it holds anything for; '' if free
    :param on_change: it is to be told of
    """

    def __init__(
        self,
        store: Store,
        loaded: Loaded,
        bound: Callable[[], str],
        on_change: Callable[[], None],
        passed: Passed,
    ) -> None:
        self._store = store
        self._bound = bound
        self._on_change = on_change
        self._passed = passed
        self._draining = loaded.draining
        self._chosen = loaded.slice
        self._drained: frozenset[str] = frozenset()
        """Slices that take nothing new."""
        self._out: dict[str, str] = {}
        """Why this PC is to take no part, by cause."""

    @property
    def bound(self) -> str:
        """The slice that this PC holds anything for; '' if free."""
        return self._bound()

    @property
    def slice(self) -> str:
        """The slice that this PC is in; '' if none."""
        return self.bound or self._chosen

    @property
    def draining(self) -> bool:
        """Whether its owner has closed it to new claims."""
        return self._draining

    @property
    def out(self) -> str:
        """Why it takes no part; '' if it does."""
        return '; '.join(self._out.values())

    def take_part(self) -> None:
        """Whether this PC takes commands that make anything run.

        :raises PutOut: it does not
        """
        for reason in self._out.values():
            raise errors.PutOut(reason)

    def take_new(self, slice_: str) -> None:
        """Whether this PC takes anything new for a slice.

        :raises PutOut: it takes no part
        :raises Draining: the PC, or the slice, takes nothing new
        :raises OtherSlice: this PC is in another one
        """
        self.take_part()
        if self._draining:
            raise errors.Draining('this PC takes no new instances')
        if slice_ in self._drained:
            raise errors.Draining(f'slice {slice_} is being drained')
        if self.slice and self.slice != slice_:
            raise errors.OtherSlice(f'this PC is in slice {self.slice} now')

    def put_out(self, why: str, reason: str) -> None:
        """Take no part from now on.

        :param why: one of several causes, each of which suffices
        :param reason: for people; '' when this cause is over
        """
        self._out.pop(why, None)
        if reason:
            self._out[why] = reason

    async def drain(self, draining: bool) -> None:
        """Close the PC to new claims, or open it again; durable."""
        await trio.to_thread.run_sync(self._store.put_draining, draining)
        self._passed(Step.DRAIN_STORED, '')
        self._draining = draining
        self._on_change()

    async def choose(self, name: str, drained: frozenset[str]) -> None:
        """Be in this slice, as soon as nothing is held for another one.

        :param name: '' for none
        :param drained: slices that take nothing new
        """
        self._drained = drained
        if name == self._chosen:
            return
        LOG.info(
            'this PC is in %s now, not in %s',
            f'slice {name}' if name else 'no slice',
            f'slice {self._chosen}' if self._chosen else 'any',
        )
        self._chosen = name
        self._on_change()
        try:
            await trio.to_thread.run_sync(self._store.put_slice, name)
        except errors.NoSpace as error:
            # It is found anew after the next start.
            LOG.warning('the slice is not stored: %s', error)
