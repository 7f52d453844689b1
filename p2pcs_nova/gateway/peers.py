# SPDX-License-Identifier: Apache-2.0
"""Asking one PC, by the slice's term, within a deadline."""

from __future__ import annotations

import contextlib
import logging
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

import trio

from p2pcs_nova import bodies, errors, texts, wire
from p2pcs_nova.gateway import commands as terms
from p2pcs_nova.gateway import view as views

LOG = logging.getLogger(__name__)

T = TypeVar('T')


class RemotePeer(Protocol):
    """What a gateway asks of a PC; entered for one operation.

    Raises the errors of :mod:`p2pcs_nova.errors`, and Unreachable for
    every failure of the connection.
    """

    async def __aenter__(self) -> RemotePeer: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None: ...

    async def claim(self, claim: wire.Claim) -> wire.Reservation: ...

    async def release(self, reservation: str) -> None: ...

    async def build(
        self,
        instance: str,
        request: wire.BuildRequest,
    ) -> wire.InstanceStatus: ...

    async def action(
        self,
        instance: str,
        request: wire.ActionRequest,
    ) -> wire.InstanceStatus: ...

    async def filter(
        self,
        instance: str,
        request: wire.FilterRequest,
    ) -> None: ...

    def snapshot(
        self, instance: str, request: wire.SnapshotRequest
    ) -> bodies.Opened: ...

    async def tombstone(self, tombstone: wire.Tombstone) -> None: ...

    async def instances(self) -> wire.InstanceList: ...

    async def instance(self, instance: str) -> wire.InstanceStatus: ...

    async def right(self, instance: str) -> wire.HeldRight: ...

    async def console(self, instance: str, length: int) -> wire.Console: ...

    async def diagnostics(self, instance: str) -> wire.Diagnostics: ...

    async def story(self, instance: str) -> wire.Chapter: ...


Connect = Callable[[str, wire.Command, float, str], RemotePeer]
"""Peer id, authority, seconds that a call may take, request id; raises
Unreachable if the peer's address is not known."""


class Peers:
    """Asks PCs in the name of this gateway."""

    def __init__(
        self, connect: Connect, view: views.View, commands: terms.Commands
    ) -> None:
        self._connect = connect
        self._view = view
        self._commands = commands

    def may_ask(self, slice_: str) -> bool:
        """Whether the slice's PCs are commanded from here now."""
        return self._commands.holds(slice_)

    def any_slice(self) -> str:
        """One whose term speaks for us to a PC of no slice.

        :raises Unavailable: we command none now
        """
        held = self._commands.held()
        if not held:
            raise errors.Unavailable('this gateway commands no slice now')
        return min(held)

    async def ask(
        self,
        peer: str,
        slice_: str,
        timeout_s: float,
        call: Callable[[RemotePeer], Awaitable[T]],
        *,
        request_id: str = '',
        more_s: float = 0.0,
    ) -> T:
        """One operation on one PC.

        :param more_s: what the operation itself was given, beside the
            time that the PC has to answer
        :raises Unreachable: the PC is known to be away, and was not
            asked; or it did not answer in time: the outcome is not known
        :raises Unavailable: we do not command the slice now; not asked
        :raises P2PcsError: what the PC answered; also for an answer that
            nobody expected, so that no PC can bring the gateway down
        """
        one = self._reachable(peer)
        command = self._commands.command(slice_)
        try:
            with trio.fail_after(timeout_s + more_s):
                async with self._connect(
                    peer, command, timeout_s, request_id
                ) as remote:
                    return await call(remote)
        except trio.TooSlowError:
            raise errors.Unreachable(
                f'{one.name} did not answer within {timeout_s + more_s:g} s'
            ) from None
        except errors.P2PcsError:
            raise
        except Exception as error:
            LOG.exception(
                '[%s] asking %s failed', texts.or_dash(request_id), one.name
            )
            raise errors.P2PcsError(
                f'asking {one.name} failed: {error!r}'
            ) from error

    @contextlib.asynccontextmanager
    async def snapshot(
        self,
        peer: str,
        slice_: str,
        instance: str,
        request: wire.SnapshotRequest,
        silence_s: float,
        *,
        request_id: str = '',
    ) -> AsyncIterator[bodies.Body]:
        """A copy of an instance's disk, while it comes.

        :param silence_s: between two pieces of it
        :raises Unreachable: the PC is away, or has fallen silent
        """
        self._reachable(peer)
        command = self._commands.command(slice_)
        async with (
            self._connect(peer, command, silence_s, request_id) as remote,
            remote.snapshot(instance, request) as body,
        ):
            yield body

    def _reachable(self, peer: str) -> views.PeerView:
        one = self._view.peer(peer)
        if not one.reachable:
            raise errors.Unreachable(
                f'{one.name} is out of reach ({one.liveness})'
            )
        return one
