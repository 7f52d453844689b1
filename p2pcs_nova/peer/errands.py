# SPDX-License-Identifier: Apache-2.0
"""Work that goes on when whoever asked for it has gone away.

A build or a stop is not half done because a connection broke: it runs in
the service's nursery, the request only waits for it.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, TypeVarTuple

import trio

from p2pcs_nova import errors

LOG = logging.getLogger(__name__)

T = TypeVar('T')
Ts = TypeVarTuple('Ts')


@dataclasses.dataclass
class _Outcome(Generic[T]):
    """What came out: ``value`` holds one item, or ``error`` is set."""

    ended: trio.Event = dataclasses.field(default_factory=trio.Event)
    value: list[T] = dataclasses.field(default_factory=list)
    error: Exception | None = None


class Errands:
    """Runs work in a nursery and hands its result to who waits.

    :param on_failure: look what is left of something that has failed
    """

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._nursery: trio.Nursery | None = None

    def open(self, nursery: trio.Nursery) -> None:
        """From now on work runs in this nursery."""
        self._nursery = nursery

    def close(self) -> None:
        """Take no more work."""
        self._nursery = None

    async def run(self, work: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Do it, and wait for it as long as we are not cancelled.

        :raises Unavailable: the daemon is starting or ending
        """
        if self._nursery is None:
            raise errors.Unavailable('the daemon is starting or ending')
        result: _Outcome[T] = _Outcome()
        self._nursery.start_soon(self._do, result, work, *args)
        await result.ended.wait()
        if result.error is not None:
            raise result.error
        if not result.value:
            raise errors.Unavailable('the daemon is ending')
        return result.value[0]

    async def _do(
        self,
        result: _Outcome[T],
        work: Callable[[*Ts], Awaitable[T]],
        *args: *Ts,
    ) -> None:
        try:
            result.value.append(await work(*args))
        except Exception as error:
            # Raised again where somebody waits; the service lives on.
            if not isinstance(error, errors.P2PcsError):
                LOG.exception('an operation failed')
            result.error = error
            self._on_failure()
        finally:
            result.ended.set()
