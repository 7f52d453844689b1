# SPDX-License-Identifier: Apache-2.0
"""Finding a PC for an instance: claim, choose, sign, build, try the next.

The rules of one spawn:

1. some PCs are asked at once; the first grant starts a short time of
   grace, then the best grant is taken and the others are released;
2. every attempt has its own epoch, written down before the PC is told;
   an attempt that failed becomes a grave before the next begins;
3. *full*, *draining* and their like are final for this spawn: another PC
   must serve; *held* is not: when nothing else is left, the spawn waits
   for a while and asks again;
4. it is given up when every PC of the slice has refused, or when its time
   is over; one PC's word never speaks for the others;
5. a PC that granted and then did not build, whatever its reason, comes
   after the others for a while: else the one that promises most would
   delay every spawn;
6. a PC is not asked again before it has answered the release of an earlier
   grant: the release would end the new one;
7. what is built anew stays on its PC, whatever wishes and policy say by
   now, and stays what it was if that PC does not grant the room; another PC
   serves only after its own has failed to build it, and has destroyed it:
   no address is to be on two PCs.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import random
import uuid
from collections.abc import Callable, Iterable

import msgspec
import trio

from p2pcs_nova import errors, texts, wire
from p2pcs_nova.gateway import book as books
from p2pcs_nova.gateway import candidates as choosing
from p2pcs_nova.gateway import groups, signals, store, wanting
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import peers as asking
from p2pcs_nova.gateway import view as views
from p2pcs_nova.policy.document import Slice

LOG = logging.getLogger(__name__)

Built = tuple[store.InstanceRow, wire.InstanceStatus]
"""Where an instance was built, and its PC's answer."""
TELLING = (errors.ImageRefused, errors.Unsupported)
"""What the driver hears as it is, if every PC that was asked says so; not
that our term is over, which ends the driver: a slice may have one PC only."""


@dataclasses.dataclass(frozen=True)
class Tools:
    """What every spawn of a gateway uses."""

    book: books.Book
    view: views.View
    peers: asking.Peers
    sign: Callable[[wire.RunRight], wire.Signed]
    rng: random.Random
    options: config.Options
    nursery: trio.Nursery
    """For claims that are answered after their spawn went on."""
    changed: signals.Signal
    """A PC came or went, or has carried out a tombstone."""
    capacity_freed: signals.Signal
    """A grant was given back."""
    buried: signals.Signal
    """There is a grave more."""
    faulty: dict[str, float] = dataclasses.field(default_factory=dict)
    """When PCs failed to build what they had granted."""
    choices: dict[str, groups.Choice] = dataclasses.field(default_factory=dict)
    """PCs that are about to get a run right, by instance."""

    def company(self, spec: wire.InstanceSpec) -> groups.Company:
        """Where the others of its server group are."""
        return groups.find_company(
            spec.group,
            self.book.rows.of_group(spec.group),
            self.choices.values(),
            (spec.instance,),
        )

    def distrusted(self) -> frozenset[str]:
        """The PCs that failed to build not long ago."""
        since = trio.current_time() - self.options.distrust_s
        return frozenset(p for p, at in self.faulty.items() if at > since)


class Spawn:
    """One spawn, from its request to its answer.

    :raises Malformed: the wishes are none; nothing is begun.  Those of what
        is built anew are read when another PC must serve
    """

    def __init__(
        self, tools: Tools, slice_: str, request: wire.SpawnRequest
    ) -> None:
        self._tools = tools
        self._slice = slice_
        self._request = request
        self._wanted: wanting.Matcher | None = None
        if request.instead_of is None:
            self._read_wishes()
        self._former: set[wire.Counter] = set()
        """Epochs that have run, and may still."""
        if request.has_run:
            graves = tools.book.graves.of_instance(request.claim.instance)
            self._former |= {grave.epoch for grave in graves}
        self._refused: dict[str, errors.P2PcsError] = {}
        self._asked: set[str] = set()
        """PCs that have not yet answered."""
        self._grants: dict[str, wire.Reservation] = {}
        self._open = False
        """Whether a grant is wanted now."""
        self._patience = trio.current_time()
        """Until when what is only held is waited for."""
        self._answered = signals.Signal()
        self._claims: collections.Counter[str] = collections.Counter()
        """What PCs have answered."""
        options = tools.view.partition.options(slice_) or Slice(slice_)
        self._placing = options.placing

    async def run(self) -> Built:
        """Build the instance on some PC of the slice.

        No grant is kept, and attempts that failed are graves:

        :raises NoPeerFits: every PC refused
        :raises ImageRefused: each of them for this reason
        :raises Unsupported: likewise
        :raises Malformed: another PC must serve, and the wishes are none

        What has been written of the last attempt stays:

        :raises StaleTerm: the slice is another gateway's meanwhile
        :raises Unavailable: the ledger does not answer
        """
        timeout_s = self._tools.options.spawn_timeout_s
        try:
            with trio.move_on_after(timeout_s):
                return (
                    await self._resume()
                    or await self._stay()
                    or await self._search()
                )
            if self._old() is None:
                await self._bury()
            raise errors.NoPeerFits(
                f'none within {timeout_s:g} s; {self._reasons()}'
            )
        finally:
            self._open = False
            self._release_all()

    async def _resume(self) -> Built | None:
        """Go on with an attempt of before the gateway's restart.

        A build is idempotent: the PC answers for one that it has begun,
        and refuses the reservation of one that it has never heard of.
        """
        row = self._tools.book.rows.get(self._request.claim.instance)
        if row is None or row == self._old():
            return None
        if row.spec != _without_secrets(self._request.spec):
            await self._bury()
            return None
        nobody = uuid.UUID(int=self._tools.rng.getrandbits(128), version=4)
        status = await self._attempt(row, str(nobody))
        return None if status is None else (row, status)

    # -- in its own place ---------------------------------------------------

    def _old(self) -> store.InstanceRow | None:
        """What is to be replaced, as long as it is not."""
        row = self._tools.book.rows.get(self._request.claim.instance)
        if row is None or row.epoch != self._request.instead_of:
            return None
        return row

    async def _stay(self) -> Built | None:
        """Build it anew where it is; None if another PC must serve.

        :raises NoPeerFits: nothing has changed, or it may still run there
        """
        old = self._old()
        if old is None:
            return None
        await self._ask([old.peer])
        if not self._grants:
            raise errors.NoPeerFits(
                f'{self._name(old.peer)}, which has it, does not take it: '
                f'{self._refused[old.peer].message}'
            )
        row = await self._write_row(old.peer)
        status = await self._attempt(row, self._grants.pop(old.peer).id)
        # To be forgotten: whoever builds an epoch has ended those before.
        self._tools.buried.notify()
        if status is not None:
            return row, status
        self._former.add(old.epoch)
        return None

    async def _wait_until_gone(self) -> None:
        """Until nothing of earlier epochs is left on any PC.

        :raises NoPeerFits: that cannot be said
        """
        with trio.move_on_after(self._tools.options.destroy_timeout_s):
            while self._left_behind():
                await self._tools.changed.wait()
        if names := ', '.join(sorted(self._left_behind())):
            raise errors.NoPeerFits(
                f'{names} has still to destroy what was built before; '
                f'{self._reasons()}'
            )

    def _left_behind(self) -> set[str]:
        """The PCs that earlier epochs may still run on, by name."""
        instance = self._request.claim.instance
        return {
            grave.peer_name
            for grave in self._tools.book.graves.of_instance(instance)
            if grave.epoch in self._former
        }

    # -- searching ----------------------------------------------------------

    async def _search(self) -> Built:
        await self._wait_until_gone()
        if self._slice not in self._tools.view.partition.open:
            words = [_word(error) for error in self._refused.values()]
            refused = choosing.reasons_to_text(words) if words else ''
            raise errors.NoPeerFits(
                f'slice {self._slice} is being drained'
                + (f'; {refused}' if refused else '')
            )
        if self._wanted is None:
            self._read_wishes()
        self._be_patient()
        while True:
            await self._gather()
            if self._grants:
                placed = await self._take_best()
                if placed is not None:
                    return placed
                self._be_patient()
            elif not self._left():
                await self._wait_for_held()

    def _be_patient(self) -> None:
        """A build that failed may have taken long: it is not to count."""
        wait_s = self._tools.options.held_wait_s
        self._patience = trio.current_time() + wait_s

    def _read_wishes(self) -> None:
        """From now on they limit who may be asked.

        :raises Malformed: they are none
        """
        wishes, view = self._request.wishes, self._tools.view
        wanting.check_slice(wishes, view)
        self._wanted = wanting.Matcher(wishes, view)

    def _mismatch(self, one: views.PeerView) -> str:
        if self._wanted is None:
            return ''
        return self._wanted.mismatch(one, self._slice)

    def _screen(self) -> choosing.Screening:
        tools = self._tools
        holdings = tools.book.rows.holdings
        members = tools.view.members(self._slice, holdings)
        return choosing.screen(
            members,
            holdings,
            self._request.claim,
            self._mismatch,
            tools.company(self._request.spec),
        )

    def _left(self) -> list[choosing.Candidate]:
        """PCs that have neither refused nor still owe an answer."""
        last = self._tools.distrusted()
        return [
            dataclasses.replace(one, suspect=True) if one.peer in last else one
            for one in self._screen().candidates
            if one.peer not in self._refused and one.peer not in self._asked
        ]

    async def _gather(self) -> None:
        """Claim on some PCs that may have room."""
        chosen = choosing.sample(
            self._left(),
            self._tools.options.claim_width,
            self._tools.rng,
            self._placing,
        )
        await self._ask([one.peer for one in chosen])

    async def _ask(self, peers: Iterable[str]) -> None:
        """Claim on these; back with grants, or when all have refused."""
        self._open = True
        for peer in peers:
            self._asked.add(peer)
            self._tools.nursery.start_soon(self._claim, peer)
        while self._asked and not self._grants:
            await self._answered.wait()
        with trio.move_on_after(self._tools.options.claim_grace_s):
            while self._asked:
                await self._answered.wait()
        self._open = False

    async def _claim(self, peer: str) -> None:
        """One claim; a grant that nobody wants any more is released."""
        tools = self._tools
        try:
            grant = await tools.peers.ask(
                peer,
                self._slice,
                tools.options.claim_timeout_s,
                lambda remote: remote.claim(self._request.claim),
                request_id=self._request.request_id,
            )
        except errors.P2PcsError as error:
            self._claims[_word(error)] += 1
            self._refuse(peer, error)
        else:
            self._claims['granted'] += 1
            if self._open:
                self._grants[peer] = grant
            else:
                await self._release(peer, grant)
        finally:
            self._asked.discard(peer)
            self._answered.notify()

    def _release_all(self) -> None:
        grants, self._grants = self._grants, {}
        for peer, grant in grants.items():
            self._asked.add(peer)
            self._tools.nursery.start_soon(self._give_back, peer, grant)

    async def _give_back(self, peer: str, grant: wire.Reservation) -> None:
        try:
            await self._release(peer, grant)
        finally:
            self._asked.discard(peer)
            self._answered.notify()

    async def _release(self, peer: str, grant: wire.Reservation) -> None:
        tools = self._tools
        try:
            await tools.peers.ask(
                peer,
                self._slice,
                tools.options.claim_timeout_s,
                lambda remote: remote.release(grant.id),
                request_id=self._request.request_id,
            )
        except errors.P2PcsError as error:
            self._say('release on %s failed: %s', self._name(peer), error)
            self._refuse(peer, error)
        tools.capacity_freed.notify()

    async def _wait_for_held(self) -> None:
        """Pause if something is only held, else give the spawn up.

        :raises P2PcsError: there is nothing to wait for, or no more time
        """
        held = [
            peer
            for peer, error in self._refused.items()
            if isinstance(error, errors.Held)
        ]
        if not held or trio.current_time() >= self._patience:
            raise self._refusal()
        pause_s = self._tools.options.held_retry_s * self._tools.rng.uniform(
            0.1, 1.0
        )
        with trio.move_on_after(pause_s):
            await self._tools.capacity_freed.wait()
        for peer in held:
            del self._refused[peer]

    # -- building -----------------------------------------------------------

    async def _take_best(self) -> Built | None:
        """Build on the best grant's PC; None if that failed."""
        peer = self._choose()
        if peer is None:
            self._release_all()
            return None
        taken = self._grants.pop(peer)
        self._release_all()
        try:
            row = await self._write_row(peer)
        finally:
            del self._tools.choices[self._request.claim.instance]
        status = await self._attempt(row, taken.id)
        return None if status is None else (row, status)

    def _choose(self) -> str | None:
        """The best grant's PC, noted at once for others of the group.

        None: they have been quicker, and no grant is of use any more.
        """
        tools, spec = self._tools, self._request.spec
        company = tools.company(spec)
        grants = {
            peer: grant
            for peer, grant in self._grants.items()
            if not company.refusal(peer)
        }
        if not grants:
            return None
        peer = choosing.best(
            grants, spec.need, tools.distrusted(), self._placing, company
        )
        tools.choices[spec.instance] = groups.Choice(spec, peer)
        return peer

    async def _write_row(self, peer: str) -> store.InstanceRow:
        """Sign the run right of a new epoch, and write it down."""
        tools, spec = self._tools, self._request.spec
        epoch = await tools.book.next_epoch(self._slice)
        right = wire.RunRight(
            instance=spec.instance,
            epoch=epoch,
            peer=peer,
            slice=self._slice,
            image=spec.image.digest,
        )
        row = store.InstanceRow(
            instance=spec.instance,
            slice=self._slice,
            peer=peer,
            peer_name=self._name(peer),
            epoch=epoch,
            state=store.RowState.PLACING,
            run_right=tools.sign(right),
            spec=_without_secrets(spec),
        )
        await tools.book.place(row)
        return row

    async def _attempt(
        self, row: store.InstanceRow, reservation: str
    ) -> wire.InstanceStatus | None:
        """Build the row's epoch on its PC; None if another must serve."""
        self._say(
            'epoch %s builds on %s (%s)', row.epoch, row.peer_name, row.peer
        )
        result = await self._build(row, reservation)
        if isinstance(result, wire.InstanceStatus):
            self._tools.faulty.pop(row.peer, None)
            if await self._tools.book.set_placed(row):
                return result
            result = errors.StaleEpoch('deleted while it was built')
        else:
            self._tools.faulty[row.peer] = trio.current_time()
        self._say('%s failed: %s: %s', row.peer_name, result.code, result)
        await self._bury()
        self._refuse(row.peer, result)
        return None

    async def _build(
        self, row: store.InstanceRow, reservation: str
    ) -> wire.InstanceStatus | errors.P2PcsError:
        """Wait for the build, no longer than its PC is alive."""
        tools = self._tools
        request = wire.BuildRequest(
            reservation, row.run_right, self._request.spec
        )
        result: wire.InstanceStatus | errors.P2PcsError
        result = errors.Unreachable(f'{row.peer_name} fell silent')
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_if_lost, row.peer, nursery)
            try:
                result = await tools.peers.ask(
                    row.peer,
                    self._slice,
                    tools.options.build_timeout_s,
                    lambda remote: remote.build(row.instance, request),
                    request_id=self._request.request_id,
                )
            except errors.P2PcsError as error:
                result = error
            nursery.cancel_scope.cancel()
        if (
            isinstance(result, wire.InstanceStatus)
            and result.state is wire.InstanceState.FAILED
        ):
            return errors.HypervisorFailed(texts.printable(result.detail))
        return result

    async def _stop_if_lost(self, peer: str, nursery: trio.Nursery) -> None:
        tools = self._tools
        while tools.view.peer(peer).reachable:
            await tools.changed.wait()
        nursery.cancel_scope.cancel()

    async def _bury(self) -> None:
        """Make the attempt a grave, and have its PC told."""
        instance = self._request.claim.instance
        await self._tools.book.bury(self._slice, instance)
        self._tools.buried.notify()

    # -- saying -------------------------------------------------------------

    def claims_to_text(self) -> str:
        """How many claims were answered how, for a log's line."""
        counted = sorted(self._claims.items())
        return ', '.join(f'{count} {word}' for word, count in counted)

    def _refuse(self, peer: str, error: errors.P2PcsError) -> None:
        self._refused[peer] = error

    def _refusal(self) -> errors.P2PcsError:
        """The error of a spawn that every PC has refused."""
        refusals = list(self._refused.values())
        screened = self._screen().refused
        if refusals and not screened.keys() - self._refused.keys():
            first = refusals[0]
            if isinstance(first, TELLING) and all(
                error.code == first.code for error in refusals
            ):
                return first
        return errors.NoPeerFits(self._reasons())

    def _reasons(self) -> str:
        reasons = dict(self._screen().refused)
        reasons |= {
            peer: _word(error) for peer, error in self._refused.items()
        }
        return choosing.reasons_to_text(list(reasons.values()))

    def _name(self, peer: str) -> str:
        return self._tools.view.peer(peer).name

    def _say(self, text: str, *arguments: object) -> None:
        LOG.info(
            '[%s] instance %s: ' + text,
            texts.or_dash(self._request.request_id),
            self._request.claim.instance,
            *arguments,
        )


def _word(error: errors.P2PcsError) -> str:
    """The code of an error, to be read by people."""
    return error.code.replace('-', ' ')


def _without_secrets(spec: wire.InstanceSpec) -> wire.InstanceSpec:
    """The spec as it is kept: no config drive, so no user's secrets."""
    return msgspec.structs.replace(spec, config_drive=())
