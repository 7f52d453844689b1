# SPDX-License-Identifier: Apache-2.0
"""What the driver asks of instances: spawn, act, look, copy, destroy.

One spawn of an instance at a time: a repeated one waits for the first and
gets its answer, since the driver may have lost the connection and not the
will.  A deletion ends a spawn that is going on.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

import msgspec
import trio

from p2pcs_nova import bodies, errors, imaging, texts, wire
from p2pcs_nova.gateway import claims, graves, reconciler, states, store
from p2pcs_nova.gateway import peers as asking

T = TypeVar('T')

LOG = logging.getLogger(__name__)


class Flight:
    """A spawn that is going on."""

    def __init__(self, slice_: str) -> None:
        self.slice = slice_
        self.scope = trio.CancelScope()
        self.done = trio.Event()
        self.placed: wire.Placed | None = None
        self.error: errors.P2PcsError = errors.WrongState(
            'it was deleted while it was built'
        )

    async def wait(self) -> wire.Placed:
        """Its answer, for everybody who asked for it."""
        await self.done.wait()
        if self.placed is None:
            raise errors.from_code(self.error.code, self.error.message)
        return self.placed


class Instances:
    """The instances of all slices of a gateway."""

    def __init__(
        self,
        tools: claims.Tools,
        heard: states.States,
        clock: Callable[[], float],
    ) -> None:
        self._tools = tools
        self._heard = heard
        self._clock = clock
        self.graves = graves.Graves(tools)
        self._flights: dict[str, Flight] = {}

    def in_hand(self, instance: str) -> bool:
        """Whether a spawn of it is going on."""
        return instance in self._flights

    def stop(self, slice_: str, reason: errors.P2PcsError) -> None:
        """End the spawns of a slice that is not commanded any more.

        What they have written is settled by whoever commands it next.
        """
        for flight in self._flights.values():
            if flight.slice == slice_:
                flight.error = reason
                flight.scope.cancel()

    # -- answers from memory ------------------------------------------------

    def rows(self, slice_: str) -> list[wire.Placed]:
        """All instances of a slice that is commanded here, by uuid."""
        rows = self._tools.book.rows.of_slice(slice_)
        rows.sort(key=lambda row: row.instance)
        return [self.placed(row) for row in rows]

    def placed(
        self, row: store.InstanceRow, silent: bool = False
    ) -> wire.Placed:
        """Where a row's instance is, and how it was last heard.

        :param silent: its PC has just failed to answer
        """
        word = self._heard.word(row, self._clock())
        peer = self._tools.view.peer(row.peer)
        return wire.Placed(
            status=wire.InstanceStatus(
                instance=row.instance,
                epoch=row.epoch,
                slice=row.slice,
                state=word.state,
                need=row.spec.need,
                detail=word.detail,
            ),
            peer=row.peer,
            peer_name=row.peer_name if peer.record is None else peer.name,
            reachable=peer.reachable and not silent,
        )

    def _row(self, slice_: str, instance: str) -> store.InstanceRow:
        row = self._tools.book.rows.get(instance)
        if row is None or row.slice != slice_:
            raise errors.NotFound(f'slice {slice_} has no instance {instance}')
        return row

    def _placed_row(self, slice_: str, instance: str) -> store.InstanceRow:
        row = self._row(slice_, instance)
        if row.state is not store.RowState.PLACED:
            raise errors.WrongState('it is still being built')
        return row

    # -- spawn --------------------------------------------------------------

    async def spawn(
        self, slice_: str, request: wire.SpawnRequest
    ) -> wire.Placed:
        """Build it on some PC; answers when PLUGGED.

        If it is built anew, and that fails, the look at it tells whether it
        is still the epoch that was to be replaced: then it is as it was.

        :raises NoPeerFits: every PC of the slice refused
        :raises ImageRefused: each of them for this reason
        :raises Unsupported: likewise
        :raises WrongState: another slice has it, or it was deleted
        :raises StaleTerm: the slice is another's meanwhile, who settles it
        :raises Unavailable: the ledger does not answer; it is settled later
        :raises Malformed: claim and spec do not belong together, or the
            wishes are none; nothing is begun
        """
        spec, claim = request.spec, request.claim
        if claim.instance != spec.instance or not claim.need.fits(spec.need):
            raise errors.Malformed('claim and spec do not belong together')
        row = self._tools.book.rows.get(spec.instance)
        flight = self._flights.get(spec.instance)
        owner = flight or row
        if owner is not None and owner.slice != slice_:
            raise errors.WrongState(f'slice {owner.slice} has this instance')
        if flight is None:
            if row is None and request.instead_of is not None:
                raise errors.WrongState('it was deleted')
            if (
                row is not None
                and row.state is store.RowState.PLACED
                and row.epoch != request.instead_of
            ):
                return self.placed(row)
            spawn = claims.Spawn(self._tools, slice_, request)
            flight = self._flights[spec.instance] = Flight(slice_)
            self._tools.nursery.start_soon(self._fly, flight, request, spawn)
        return await flight.wait()

    async def _fly(
        self,
        flight: Flight,
        request: wire.SpawnRequest,
        spawn: claims.Spawn,
    ) -> None:
        instance = request.claim.instance
        try:
            with flight.scope:
                row, status = await spawn.run()
                self._heard.answered(row, status, self._clock())
                flight.placed = self.placed(row)
        except errors.P2PcsError as error:
            flight.error = error
        except Exception:
            LOG.exception(
                '[%s] instance %s', texts.or_dash(request.request_id), instance
            )
            flight.error = errors.P2PcsError('the gateway failed; see its log')
        finally:
            del self._flights[instance]
            self._heard.touch(flight.slice)
            flight.done.set()
        self._log(flight, request, spawn.claims_to_text())

    def _log(
        self, flight: Flight, request: wire.SpawnRequest, claims_: str
    ) -> None:
        """The outcome of a spawn, in one line."""
        placed = flight.placed
        outcome = (
            f'{flight.error.code}: {flight.error}'
            if placed is None
            else f'on {placed.peer_name} ({placed.peer})'
        )
        LOG.info(
            '[%s] instance %s: spawn in slice %s: %s; claims: %s',
            texts.or_dash(request.request_id),
            request.claim.instance,
            flight.slice,
            outcome,
            claims_ or 'none',
        )

    # -- everything else ----------------------------------------------------

    async def look(
        self, slice_: str, instance: str, request_id: str, *, fresh: bool
    ) -> wire.Placed:
        """Its state as last heard.

        :param fresh: from its PC, if that answers soon
        :raises NotFound: the slice has no such instance
        """
        row = self._row(slice_, instance)
        if not fresh or self.in_hand(instance) or not self._reachable(row):
            return self.placed(row)
        try:
            status = await self._ask(
                row,
                self._tools.options.fresh_timeout_s,
                lambda remote: remote.instance(instance),
                request_id,
            )
        except errors.NotFound:
            self._heard.answered(
                row, reconciler.lost_status(row), self._clock()
            )
        except errors.Unreachable:
            return self.placed(row, silent=True)
        except errors.P2PcsError as error:
            LOG.info(
                '[%s] instance %s: %s',
                texts.or_dash(request_id),
                instance,
                error,
            )
        else:
            self._heard.answered(row, status, self._clock())
        return self.placed(row)

    async def act(
        self,
        slice_: str,
        instance: str,
        request: wire.ActionRequest,
        request_id: str,
    ) -> wire.Placed:
        """Start, stop, reboot, pause, suspend; answers when it is done.

        :raises Unreachable: its PC does not answer; asked or not
        :raises WrongState: its state does not allow it; it is unchanged
        :raises Malformed: an action that only the gateway itself may take
        """
        row = self._placed_row(slice_, instance)
        if request.action in wire.GATEWAYS_OWN:
            raise errors.Malformed(f'{request.action} is for no caller')
        status = await self._ask(
            row,
            self._tools.options.action_timeout_s,
            lambda remote: remote.action(
                instance, msgspec.structs.replace(request, epoch=row.epoch)
            ),
            request_id,
            more_s=request.timeout_s,
        )
        self._heard.answered(row, status, self._clock())
        LOG.info(
            '[%s] instance %s: %s on %s: %s',
            texts.or_dash(request_id),
            instance,
            request.action,
            row.peer_name,
            status.state,
        )
        return self.placed(row)

    async def filter(
        self,
        slice_: str,
        instance: str,
        request: wire.FilterRequest,
        request_id: str,
    ) -> None:
        """What may pass at its ports; answers when its PC has done it.

        :raises Unreachable: its PC does not answer; asked or not
        :raises WrongState: it is still being built
        """
        row = self._placed_row(slice_, instance)
        await self._ask(
            row,
            self._tools.options.filter_timeout_s,
            lambda remote: remote.filter(
                instance, msgspec.structs.replace(request, epoch=row.epoch)
            ),
            request_id,
        )
        LOG.info(
            '[%s] instance %s: what may pass at its ports is told to %s',
            texts.or_dash(request_id),
            instance,
            row.peer_name,
        )

    @contextlib.asynccontextmanager
    async def snapshot(
        self,
        slice_: str,
        instance: str,
        request: wire.SnapshotRequest,
        request_id: str,
    ) -> AsyncIterator[bodies.Body]:
        """A copy of its disk as qcow2, while its PC sends it.

        :raises ImageRefused: what comes is not what its PC should send
        :raises Unreachable: its PC does not answer
        :raises WrongState: it is still being built; see also
            :meth:`_one_word`
        """
        row = self._placed_row(slice_, instance)
        LOG.info(
            '[%s] instance %s: %s copies its disk',
            texts.or_dash(request_id),
            instance,
            row.peer_name,
        )
        with self._one_word(row):
            async with (
                self._tools.peers.snapshot(
                    row.peer,
                    slice_,
                    instance,
                    msgspec.structs.replace(request, epoch=row.epoch),
                    self._tools.options.snapshot_silence_s,
                    request_id=request_id,
                ) as sent,
                imaging.inspected_copy(sent, row.spec.root_mb) as body,
            ):
                yield body
        LOG.info(
            '[%s] instance %s: %d MiB of its disk have passed',
            texts.or_dash(request_id),
            instance,
            body.size_bytes >> 20,
        )

    async def console(
        self, slice_: str, instance: str, length: int, request_id: str
    ) -> wire.Console:
        """The last ``length`` bytes of its serial console."""
        said = await self._ask(
            self._row(slice_, instance),
            self._tools.options.read_timeout_s,
            lambda remote: remote.console(instance, length),
            request_id,
        )
        return wire.Console(instance, said.output[-length:] if length else b'')

    async def diagnostics(
        self, slice_: str, instance: str, request_id: str
    ) -> wire.Diagnostics:
        """Counters of its domain."""
        return await self._ask(
            self._row(slice_, instance),
            self._tools.options.read_timeout_s,
            lambda remote: remote.diagnostics(instance),
            request_id,
        )

    async def destroy(
        self, slice_: str, instance: str, request_id: str
    ) -> wire.Destroyed:
        """Destroy it; a PC out of reach will do so when it is back.

        Succeeds too if there is no such instance.

        :raises Unavailable: it may be, or may still run
        """
        flight = self._flights.get(instance)
        if flight is not None and flight.slice == slice_:
            flight.scope.cancel()
            await flight.done.wait()
        await self._tools.book.bury(slice_, instance)
        if instance not in self._tools.book.rows:
            self._heard.forget(instance)
        self._heard.touch(slice_)
        self._tools.buried.notify()
        left = await self.graves.wait(slice_, instance)
        LOG.info(
            '[%s] instance %s: destroyed%s',
            texts.or_dash(request_id),
            instance,
            ''.join(f'; a tombstone waits for {g.peer_name}' for g in left),
        )
        return wire.Destroyed(not left, left[0].peer_name if left else '')

    def _reachable(self, row: store.InstanceRow) -> bool:
        return self._tools.view.peer(row.peer).reachable

    async def _ask(
        self,
        row: store.InstanceRow,
        timeout_s: float,
        call: Callable[[asking.RemotePeer], Awaitable[T]],
        request_id: str,
        more_s: float = 0.0,
    ) -> T:
        """Ask the row's PC; see also :meth:`_one_word`."""
        with self._one_word(row):
            return await self._tools.peers.ask(
                row.peer,
                row.slice,
                timeout_s,
                call,
                request_id=request_id,
                more_s=more_s,
            )

    @contextlib.contextmanager
    def _one_word(self, row: store.InstanceRow) -> Iterator[None]:
        """While the row's PC is asked.

        :raises WrongState: it says that our term is over, which it is not:
            one PC's word must not end the driver, which speaks to others
        """
        try:
            yield
        except errors.StaleTerm as error:
            if not self._tools.peers.may_ask(row.slice):
                raise
            raise errors.WrongState(
                f'{row.peer_name} says: {error.message}'
            ) from None
