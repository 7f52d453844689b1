# SPDX-License-Identifier: Apache-2.0
"""Never more promised than offered; each promise has an end."""

import uuid

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.reservations import Loan, Reservations

OFFER = wire.Offer(wire.Capacity(4, 4096, 4096), networks=('office',))
SMALL = wire.Capacity(1, 1024, 1024)
HOLD_S = 30.0


def claim_of(
    need: wire.Capacity = SMALL,
    instance: str = '',
    networks: tuple[str, ...] = (),
) -> wire.Claim:
    return wire.Claim(instance or str(uuid.uuid4()), need, networks)


def right_of(instance: str, n: int = 1, slice_: str = 'gold') -> wire.RunRight:
    return wire.RunRight(
        instance, wire.Counter(1, n), 'a' * 32, slice_, f'sha256:{"0" * 64}'
    )


@pytest.fixture
def book() -> Reservations:
    return Reservations(OFFER, HOLD_S)


def test_grant_ends_at_its_deadline(book: Reservations) -> None:
    grant = book.claim('gold', claim_of(), 'one', now=100.0)
    assert book.deadline() == grant.deadline == 130.0
    assert book.promised() == SMALL
    assert book.expire(130.0)
    assert book.promised() == wire.Capacity()
    assert book.deadline() is None


def test_loan_is_of_what_is_free_and_ends_with_the_run_right(
    book: Reservations,
) -> None:
    claim = claim_of()
    right = right_of(claim.instance)
    book.claim('gold', claim, 'one', now=0.0)
    book.confirm('one', right, SMALL, now=1.0)
    with pytest.raises(errors.NoSpace, match='3072 are left'):
        book.lend(right, Loan.COPY, 3073)
    offer = book.offer
    book.set_offer(wire.Offer(wire.Capacity(), reason='it is starting'))
    with pytest.raises(errors.NoSpace, match='offers nothing: it is starti'):
        book.lend(right, Loan.COPY, 1)
    book.set_offer(offer)
    book.lend(right, Loan.COPY, 3072)
    with pytest.raises(errors.Full, match='0 there'):
        book.claim('gold', claim_of(), 'two', now=1.0)
    book.take_back(right, Loan.COPY)
    book.lend(right, Loan.MEMORY, 100)
    assert book.held().disk_mb == SMALL.disk_mb + 100
    book.drop(right.instance, right.epoch)
    assert book.held() == wire.Capacity()


def test_claim_of_what_is_here_needs_no_more_room_than_it_has(
    book: Reservations,
) -> None:
    most = wire.Capacity(4, 4096, 4000)
    claim = claim_of(most)
    old, new = right_of(claim.instance), right_of(claim.instance, n=2)
    book.claim('gold', claim, 'one', now=0.0)
    book.confirm('one', old, most, now=0.0)
    book.lend(old, Loan.MEMORY, 96)
    assert book.holds(claim.instance, 'gold')
    assert not book.holds(claim.instance, 'silver')
    book.claim('gold', claim, 'two', now=0.0)
    assert book.promised() == OFFER.total
    with pytest.raises(errors.Full):
        book.claim('gold', claim_of(), 'three', now=0.0)
    book.drop(old.instance, old.epoch)
    with pytest.raises(errors.Held):
        book.claim('gold', claim_of(), 'three', now=0.0)
    book.confirm('two', new, most, now=0.0)
    book.drop(old.instance, old.epoch)
    assert book.held() == most


def test_confirmed_grant_never_ends(book: Reservations) -> None:
    claim = claim_of()
    book.claim('gold', claim, 'one', now=0.0)
    book.confirm('one', right_of(claim.instance), SMALL, now=1.0)
    book.expire(1e9)
    assert book.held() == SMALL
    book.drop(claim.instance, wire.Counter(1, 1))
    assert book.held() == wire.Capacity()


def test_repeated_claim_renews_the_same_grant(book: Reservations) -> None:
    claim = claim_of()
    first = book.claim('gold', claim, 'one', now=0.0)
    again = book.claim('gold', claim, 'two', now=10.0)
    assert again.id == first.id == 'one'
    assert again.deadline == 40.0
    assert book.promised() == SMALL


def test_full_by_run_rights_is_told_from_held_by_claims(
    book: Reservations,
) -> None:
    big = wire.Capacity(3, 1024, 1024)
    first = claim_of(big)
    book.claim('gold', first, 'one', now=0.0)
    with pytest.raises(errors.Held, match='3 vCPUs asked, 1 there'):
        book.claim('gold', claim_of(big), 'two', now=0.0)
    book.confirm('one', right_of(first.instance), big, now=0.0)
    with pytest.raises(errors.Full):
        book.claim('gold', claim_of(big), 'two', now=0.0)


def test_what_could_never_be_served_is_not_offered(
    book: Reservations,
) -> None:
    with pytest.raises(errors.NotOffered, match='5 vCPUs asked, 4 there'):
        book.claim('gold', claim_of(wire.Capacity(5, 1, 1)), 'one', now=0.0)
    with pytest.raises(errors.NotOffered, match='network lab'):
        book.claim('gold', claim_of(networks=('lab',)), 'one', now=0.0)
    book.claim('gold', claim_of(networks=('office',)), 'one', now=0.0)


def test_pc_is_bound_to_one_slice_while_it_holds_anything(
    book: Reservations,
) -> None:
    mine = claim_of()
    book.claim('gold', mine, 'one', now=0.0)
    assert book.slice() == 'gold'
    with pytest.raises(errors.Held, match='gold'):
        book.claim('silver', claim_of(), 'two', now=0.0)
    right = right_of(mine.instance)
    book.confirm('one', right, SMALL, now=0.0)
    with pytest.raises(errors.OtherSlice, match='gold'):
        book.claim('silver', claim_of(), 'two', now=0.0)
    book.drop(right.instance, right.epoch)
    assert book.slice() == ''
    book.claim('silver', claim_of(), 'two', now=0.0)
    assert book.slice() == 'silver'


def test_only_grant_of_an_instance_may_move_to_another_slice(
    book: Reservations,
) -> None:
    claim = claim_of()
    book.claim('gold', claim, 'one', now=0.0)
    book.claim('silver', claim, 'two', now=0.0)
    assert book.slice() == 'silver'


@pytest.mark.parametrize(
    ('instance', 'slice_', 'need'),
    [
        ('00000000-0000-0000-0000-000000000002', 'gold', SMALL),
        ('00000000-0000-0000-0000-000000000001', 'silver', SMALL),
        (
            '00000000-0000-0000-0000-000000000001',
            'gold',
            wire.Capacity(2, 1024, 1024),
        ),
    ],
)
def test_grant_confirms_only_what_it_was_made_for(
    book: Reservations, instance: str, slice_: str, need: wire.Capacity
) -> None:
    claim = claim_of(instance='00000000-0000-0000-0000-000000000001')
    book.claim('gold', claim, 'one', now=0.0)
    with pytest.raises(errors.ReservationGone):
        book.confirm('one', right_of(instance, slice_=slice_), need, now=0.0)
    assert book.promised() == SMALL
    assert book.held() == wire.Capacity()


def test_expired_grant_cannot_be_confirmed(book: Reservations) -> None:
    claim = claim_of()
    book.claim('gold', claim, 'one', now=0.0)
    with pytest.raises(errors.ReservationGone):
        book.confirm('one', right_of(claim.instance), SMALL, now=HOLD_S)


def test_smaller_offer_keeps_promises_and_gives_no_more(
    book: Reservations,
) -> None:
    claim = claim_of()
    book.claim('gold', claim, 'one', now=0.0)
    book.set_offer(wire.Offer(wire.Capacity(), reason='libvirt is away'))
    assert book.free() == wire.Capacity()
    assert book.promised() == SMALL
    with pytest.raises(errors.NotOffered, match='libvirt is away'):
        book.claim('gold', claim_of(), 'two', now=0.0)


needs = st.builds(
    wire.Capacity,
    st.integers(0, 5),
    st.integers(0, 5000),
    st.integers(0, 5000),
)
uuids = st.sampled_from([str(uuid.UUID(int=n)) for n in range(4)])


class Promises(RuleBasedStateMachine):
    """Claims, confirmations, loans, releases and time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Reservations(OFFER, HOLD_S)
        self.now = 0.0
        self.ids = 0
        self.granted: dict[str, tuple[str, wire.Claim]] = {}
        self.holds: dict[tuple[str, wire.Counter], wire.Capacity] = {}
        self.loans: dict[tuple[str, wire.Counter, Loan], int] = {}

    @rule(
        instance=uuids, need=needs, slice_=st.sampled_from(['gold', 'silver'])
    )
    def claim(self, instance: str, need: wire.Capacity, slice_: str) -> None:
        self.ids += 1
        claim = claim_of(need, instance)
        before = self.book.promised()
        try:
            grant = self.book.claim(slice_, claim, str(self.ids), self.now)
        except errors.P2PcsError:
            assert before.fits(self.book.promised())
            return
        assert grant.deadline > self.now
        self.granted[grant.id] = (slice_, claim)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        grant = data.draw(st.sampled_from(sorted(self.granted)))
        slice_, claim = self.granted[grant]
        self.ids += 1
        right = right_of(claim.instance, self.ids, slice_)
        try:
            self.book.confirm(grant, right, claim.need, self.now)
        except errors.ReservationGone:
            del self.granted[grant]
            return
        for key in [key for key in self.holds if key[0] == right.instance]:
            del self.holds[key]
            for loan in Loan:
                self.loans.pop((*key, loan), None)
        self.holds[right.instance, right.epoch] = claim.need

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.book.release(data.draw(st.sampled_from(sorted(self.granted))))

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.holds)))
        self.book.drop(*key)
        del self.holds[key]
        for loan in Loan:
            self.loans.pop((*key, loan), None)

    @precondition(lambda self: self.holds)
    @rule(
        data=st.data(),
        loan=st.sampled_from(Loan),
        disk_mb=st.integers(0, 5000),
    )
    def lend(self, data: st.DataObject, loan: Loan, disk_mb: int) -> None:
        instance, epoch = data.draw(st.sampled_from(sorted(self.holds)))
        key = instance, epoch, loan
        right = right_of(instance, epoch.n)
        self.book.take_back(right, loan)
        self.loans.pop(key, None)
        free = self.book.free().disk_mb
        try:
            self.book.lend(right, loan, disk_mb)
        except errors.NoSpace:
            assert disk_mb > free
        else:
            self.loans[key] = disk_mb

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.book.expire(self.now)

    @invariant()
    def promises_never_exceed_the_offer(self) -> None:
        assert OFFER.total.fits(self.book.promised())

    @invariant()
    def what_is_held_was_confirmed_or_lent(self) -> None:
        assert self.book.held() == sum(
            self.holds.values(),
            wire.Capacity(disk_mb=sum(self.loans.values())),
        )

    @invariant()
    def free_and_promised_are_the_offer(self) -> None:
        assert self.book.free() + self.book.promised() == OFFER.total


TestPromises = Promises.TestCase
