# SPDX-License-Identifier: Apache-2.0
"""Capacity that a PC has promised, and what is left of its offer.

Three kinds of promise draw on one offer.  A *grant* answers a claim and
ends at its deadline unless it is confirmed.  A *hold* belongs to a run
right and ends with it.  A *loan* is disk that an instance takes for a
while beside its need: its memory while it is suspended, a copy while a
snapshot is taken.  The rules:

1. all together never exceed the offer at the moment when a grant or a
   loan is given;
2. one grant for one instance: a repeated claim renews it;
3. while anything is promised, every promise is for one slice;
4. one hold for one instance: its next run right takes the place of the one
   before, and the claim for it needs no room beside that.

Sans-IO: ``now`` is in seconds of CLOCK_BOOTTIME (a sleeping PC's
promises run out too), ids come from the caller.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable

from p2pcs_nova import errors, wire


@dataclasses.dataclass(frozen=True)
class Grant:
    """An unconfirmed promise."""

    id: str
    slice: str
    claim: wire.Claim
    deadline: float


@dataclasses.dataclass(frozen=True)
class Hold:
    """What one epoch of an instance takes."""

    epoch: wire.Counter
    slice: str
    need: wire.Capacity


HoldKey = tuple[str, wire.Counter]
"""Instance and epoch."""


class Loan(enum.Enum):
    """What disk beside an instance's need is for."""

    MEMORY = 'memory'
    COPY = 'copy'


class Reservations:
    """All promises of one PC.

    :param hold_s: seconds that a grant lasts
    """

    def __init__(self, offer: wire.Offer, hold_s: float) -> None:
        self._offer = offer
        self._hold_s = hold_s
        self._grants: dict[str, Grant] = {}
        self._holds: dict[str, Hold] = {}
        """By instance."""
        self._loans: dict[HoldKey, dict[Loan, int]] = {}
        """MiB of disk."""

    @property
    def offer(self) -> wire.Offer:
        """What claims are measured against."""
        return self._offer

    def set_offer(self, offer: wire.Offer) -> None:
        """A changed offer; what was promised stays promised."""
        self._offer = offer

    # -- what is promised ---------------------------------------------------

    def held(self) -> wire.Capacity:
        """The sum of the run rights' needs and loans."""
        return sum(map(self._held_by, self._holds), wire.Capacity())

    def promised(self) -> wire.Capacity:
        """Everything: run rights and unconfirmed grants."""
        return self._with_grants(self.held(), self._grants.values())

    def holds(self, instance: str, slice_: str) -> bool:
        """Whether this instance of the slice is here."""
        hold = self._holds.get(instance)
        return hold is not None and hold.slice == slice_

    def free(self) -> wire.Capacity:
        """What a further claim may ask for; never below zero."""
        return self._offer.total.less(self.promised())

    def slice(self) -> str:
        """The slice that this PC is bound to; '' if nothing is promised."""
        for hold in self._holds.values():
            return hold.slice
        for grant in self._grants.values():
            return grant.slice
        return ''

    # -- grants -------------------------------------------------------------

    def claim(
        self, slice_: str, claim: wire.Claim, new_id: str, now: float
    ) -> Grant:
        """Promise what the claim needs, or say why not.

        :param new_id: id of the grant, unless an older one is renewed
        :raises NotOffered: this PC could never serve it
        :raises OtherSlice: run rights bind it to another slice
        :raises Full: run rights leave too little
        :raises Held: grants leave too little, or bind it to another slice;
            they may expire soon
        """
        self.expire(now)
        self._check_offered(claim)
        mine = self._grant_of(claim.instance)
        others = [g for g in self._grants.values() if g is not mine]
        self._check_slice(slice_, others)
        held = self.held().less(self._held_by(claim.instance))
        if not self._offer.total.fits(held + claim.need):
            raise errors.Full(
                self._shortage(claim.need, self._offer.total.less(held))
            )
        taken = self._with_grants(held, others)
        if not self._offer.total.fits(taken + claim.need):
            raise errors.Held(
                self._shortage(claim.need, self._offer.total.less(taken))
            )
        grant = Grant(
            id=mine.id if mine else new_id,
            slice=slice_,
            claim=claim,
            deadline=now + self._hold_s,
        )
        self._grants[grant.id] = grant
        return grant

    def release(self, grant_id: str) -> None:
        """End a grant; one that is unknown has ended already."""
        self._grants.pop(grant_id, None)

    def expire(self, now: float) -> bool:
        """End every grant whose deadline has come; whether one did."""
        gone = [i for i, g in self._grants.items() if g.deadline <= now]
        for grant_id in gone:
            del self._grants[grant_id]
        return bool(gone)

    def deadline(self) -> float | None:
        """When the next grant ends."""
        return min((g.deadline for g in self._grants.values()), default=None)

    # -- holds --------------------------------------------------------------

    def check(
        self,
        grant_id: str,
        right: wire.RunRight,
        need: wire.Capacity,
        now: float,
    ) -> None:
        """Whether a grant can be turned into the hold of a run right.

        :raises ReservationGone: it has ended, or is another instance's,
            another slice's or smaller than ``need``
        """
        self.expire(now)
        grant = self._grants.get(grant_id)
        if grant is None:
            raise errors.ReservationGone(
                'the reservation has expired or was released'
            )
        if (
            grant.claim.instance != right.instance
            or grant.slice != right.slice
            or not grant.claim.need.fits(need)
        ):
            raise errors.ReservationGone(
                'the reservation was made for something else'
            )

    def confirm(
        self,
        grant_id: str,
        right: wire.RunRight,
        need: wire.Capacity,
        now: float,
    ) -> None:
        """Turn a grant into the hold of a run right.

        :raises ReservationGone: see :meth:`check`; nothing changed
        """
        self.check(grant_id, right, need, now)
        del self._grants[grant_id]
        self.hold(right, need)

    def hold(self, right: wire.RunRight, need: wire.Capacity) -> None:
        """Count a run right, for instance one found in the store."""
        before = self._holds.get(right.instance)
        if before is not None:
            self.drop(right.instance, before.epoch)
        self._holds[right.instance] = Hold(right.epoch, right.slice, need)

    def drop(self, instance: str, epoch: wire.Counter) -> None:
        """Give back what an epoch took; nothing if it took nothing."""
        hold = self._holds.get(instance)
        if hold is not None and hold.epoch == epoch:
            del self._holds[instance]
        self._loans.pop((instance, epoch), None)

    # -- loans --------------------------------------------------------------

    def lend(self, right: wire.RunRight, loan: Loan, disk_mb: int) -> None:
        """Promise disk beside the need of a run right.

        :raises NoSpace: so much of the offer is not left; nothing changed
        """
        free = self.free().disk_mb
        if disk_mb > free:
            left = (
                f'{free} are left of what this PC offers'
                if self._offer.total != wire.Capacity()
                else f'and this PC offers nothing: {self._offer.reason}'
            )
            raise errors.NoSpace(
                f'{disk_mb} MiB of disk are needed for its {loan.value}, '
                f'{left}'
            )
        self.count_loan(right, loan, disk_mb)

    def count_loan(
        self, right: wire.RunRight, loan: Loan, disk_mb: int
    ) -> None:
        """Count a loan that was given before the daemon started."""
        key = right.instance, right.epoch
        self._loans.setdefault(key, {})[loan] = disk_mb

    def take_back(self, right: wire.RunRight, loan: Loan) -> None:
        """End a loan; nothing if there is none."""
        self._loans.get((right.instance, right.epoch), {}).pop(loan, None)

    # -- sums ---------------------------------------------------------------

    def _held_by(self, instance: str) -> wire.Capacity:
        hold = self._holds.get(instance)
        if hold is None:
            return wire.Capacity()
        loans = self._loans.get((instance, hold.epoch), {})
        return hold.need + wire.Capacity(disk_mb=sum(loans.values()))

    def _with_grants(
        self, held: wire.Capacity, grants: Iterable[Grant]
    ) -> wire.Capacity:
        """So much more as they ask beside what their instances hold."""
        more = (
            one.claim.need.less(self._held_by(one.claim.instance))
            for one in grants
        )
        return sum(more, held)

    # -- checks -------------------------------------------------------------

    def _grant_of(self, instance: str) -> Grant | None:
        for grant in self._grants.values():
            if grant.claim.instance == instance:
                return grant
        return None

    def _check_offered(self, claim: wire.Claim) -> None:
        missing = sorted(set(claim.networks) - set(self._offer.networks))
        if missing:
            raise errors.NotOffered(
                f'network {", ".join(missing)} is not offered here'
                + (f': {self._offer.reason}' if self._offer.reason else '')
            )
        if not self._offer.total.fits(claim.need):
            raise errors.NotOffered(
                self._shortage(claim.need, self._offer.total)
                + (f': {self._offer.reason}' if self._offer.reason else '')
            )

    def _check_slice(self, slice_: str, others: list[Grant]) -> None:
        bound = {h.slice for h in self._holds.values()} - {slice_}
        if bound:
            raise errors.OtherSlice(
                f'this PC serves slice {", ".join(sorted(bound))} now'
            )
        asked = {g.slice for g in others} - {slice_}
        if asked:
            raise errors.Held(
                f'slice {", ".join(sorted(asked))} has claimed this PC'
            )

    @staticmethod
    def _shortage(need: wire.Capacity, there: wire.Capacity) -> str:
        short = [
            f'{getattr(need, name)} {unit} asked, {getattr(there, name)} there'
            for name, unit in (
                ('vcpus', 'vCPUs'),
                ('memory_mb', 'MiB memory'),
                ('disk_mb', 'MiB disk'),
            )
            if getattr(need, name) > getattr(there, name)
        ]
        return ', '.join(short)
