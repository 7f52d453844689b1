# SPDX-License-Identifier: Apache-2.0
"""When a gateway writes the slice map, and from what."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ed25519
from trio.testing import MockClock

from gossip.descriptor import Member
from p2pcs_nova import errors, wire
from p2pcs_nova.daemon import map_writer, policies
from p2pcs_nova.policy import signing
from p2pcs_nova.policy.in_force import InForce

pytestmark = pytest.mark.trio

ROOT = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
FIRST = """\
version: 1
slot: {vcpus: 1}
slices: [{name: all, match: {}, maximum: 10}]
"""
SECOND = 'version: 2\nslices: [{name: new, match: {}}]'


def pc(vcpus: int, slice_: str = '', used: int = 0) -> wire.PeerRecord:
    return wire.PeerRecord(
        'pc',
        wire.Offer(wire.Capacity(vcpus)),
        {},
        wire.Capacity(used),
        slice_,
    )


class Gateway:
    """A gateway's map writer over what it is told."""

    def __init__(self) -> None:
        self.records: Sequence[wire.PeerRecord] = ()
        self.occupied: set[str] = set()
        self.is_deaf = False
        self.is_busy = False
        """Nova may still send servers to slices that are drained."""
        self.asked = 0
        self.elected = True
        self.policies = policies.Policies(
            InForce(),
            ROOT.public_key().public_bytes_raw(),
            keep=self._keep,
            publish=lambda _: None,
            ask=self._ask,
            others=list,
            gateway_key=lambda _: None,
            rng=random.Random(1),
        )
        self.writer = map_writer.MapWriter(
            self.policies,
            'a' * 32,
            KEY,
            elected=lambda: self.elected,
            records=lambda: self.records,
            needed=self._needed,
        )

    async def _needed(self) -> set[str]:
        await trio.lowlevel.checkpoint()
        if self.is_deaf:
            raise errors.Unavailable('etcd: gone')
        self.asked += 1
        return self.occupied

    async def _keep(self, bundle: wire.PolicyBundle) -> None:
        await trio.lowlevel.checkpoint()

    async def _ask(self, member: Member) -> wire.PolicyBundle:
        raise AssertionError('nobody is there')

    async def apply(self, text: str) -> None:
        await self.policies.apply(signing.sign_policy(text, ROOT))

    async def report_idle(self) -> None:
        """As p2pcs-gateway does."""
        while True:
            await trio.sleep(10)
            now = self.policies.in_force.map
            idle = tuple(
                row.name
                for row in now.rows
                if row.state is wire.SliceState.DRAINING
            )
            if idle and not self.is_busy:
                self.writer.hear(
                    wire.HostsReport(now.policy, now.generation, idle=idle)
                )

    @property
    def states(self) -> dict[str, str]:
        rows = self.policies.in_force.map.rows
        return {row.name: row.state.value for row in rows}


@pytest.fixture
def gateway(nursery: trio.Nursery) -> Gateway:
    found = Gateway()
    nursery.start_soon(found.writer.run)
    nursery.start_soon(found.report_idle)
    return found


async def test_a_new_policy_has_its_map_at_once_and_old_slices_are_drained(
    gateway: Gateway, autojump_clock: MockClock
) -> None:
    await gateway.apply(FIRST)
    await trio.sleep(3)
    assert gateway.states == {'all': 'open'}
    gateway.occupied = {'all'}
    await gateway.apply(SECOND)
    await trio.sleep(3)
    assert gateway.states == {'new': 'open', 'all': 'draining'}


async def test_a_slice_is_closed_when_neither_book_nor_pc_has_anything_in_it(
    gateway: Gateway, autojump_clock: MockClock
) -> None:
    await gateway.apply(FIRST)
    await trio.sleep(60)
    gateway.occupied = {'all'}
    gateway.records = [pc(1, 'all', used=1)]
    await gateway.apply(SECOND)
    await trio.sleep(10)
    gateway.occupied = set()
    await trio.sleep(10)
    assert gateway.states['all'] == 'draining'
    gateway.records = [pc(1, 'all')]
    await trio.sleep(10)
    assert gateway.states['all'] == 'closed'


async def test_a_site_is_divided_only_when_its_pcs_are_known(
    gateway: Gateway, autojump_clock: MockClock
) -> None:
    await gateway.apply(FIRST)
    await trio.sleep(3)
    gateway.records = [pc(8)] * 2
    await trio.sleep(3)
    assert gateway.states == {'all': 'open'}
    await trio.sleep(map_writer.SETTLE_S)
    assert gateway.states == {'all': 'open', 'all-2': 'open'}


async def test_who_is_not_elected_writes_nothing(
    gateway: Gateway, autojump_clock: MockClock
) -> None:
    gateway.elected = False
    await gateway.apply(FIRST)
    await trio.sleep(60)
    assert gateway.states == {}
    gateway.elected = True
    await trio.sleep(10)
    assert gateway.states == {'all': 'open'}


async def test_a_site_whose_pcs_are_off_stays_as_it_is(
    gateway: Gateway, autojump_clock: MockClock
) -> None:
    await gateway.apply(FIRST)
    gateway.records = [pc(8)] * 2
    await trio.sleep(60)
    gateway.records = []
    await trio.sleep(60)
    assert gateway.states == {'all': 'open', 'all-2': 'open'}


async def test_a_pc_keeps_a_slice_alive_and_makes_none(
    gateway: Gateway, autojump_clock: MockClock
) -> None:
    await gateway.apply(FIRST)
    gateway.records = [pc(1, 'all', used=1), pc(1, 'compute1', used=1)]
    await trio.sleep(60)
    await gateway.apply(SECOND)
    await trio.sleep(60)
    assert gateway.states == {'new': 'open', 'all': 'draining'}


async def test_the_word_of_a_pc_makes_one_slice_more_at_most(
    gateway: Gateway, autojump_clock: MockClock
) -> None:
    await gateway.apply(FIRST.replace('maximum: 10', 'maximum: 200'))
    gateway.records = [pc(100), pc(2**40)]
    await trio.sleep(60)
    assert gateway.states == {'all': 'open', 'all-2': 'open'}


async def test_no_slice_is_closed_while_the_books_cannot_be_read(
    gateway: Gateway, autojump_clock: MockClock
) -> None:
    await gateway.apply(FIRST)
    await trio.sleep(60)
    gateway.is_deaf = True
    await gateway.apply(SECOND)
    await trio.sleep(60)
    assert gateway.states == {'new': 'open', 'all': 'draining'}
    gateway.is_deaf = False
    await trio.sleep(20)
    assert gateway.states == {'new': 'open', 'all': 'closed'}


async def test_no_slice_is_closed_while_a_server_may_be_on_its_way_to_it(
    gateway: Gateway, autojump_clock: MockClock
) -> None:
    gateway.is_busy = True
    await gateway.apply(FIRST)
    await trio.sleep(60)
    await gateway.apply(SECOND)
    await trio.sleep(3600)
    assert gateway.states == {'new': 'open', 'all': 'draining'}
    gateway.is_busy = False
    await trio.sleep(20)
    assert gateway.states == {'new': 'open', 'all': 'closed'}
    # One that another slice has refused, and that had this one as the next.
    now = gateway.policies.in_force.map
    gateway.is_busy = True
    gateway.writer.hear(
        wire.HostsReport(now.policy, now.generation, busy=('all',))
    )
    await trio.sleep(20)
    assert gateway.states == {'new': 'open', 'all': 'draining'}


async def test_the_books_are_left_alone_while_nothing_is_drained(
    gateway: Gateway, autojump_clock: MockClock
) -> None:
    await gateway.apply(FIRST)
    await trio.sleep(60)
    asked = gateway.asked
    await trio.sleep(3600)
    assert gateway.asked == asked


async def test_a_closed_slice_is_forgotten_when_nova_has_nothing_of_it(
    gateway: Gateway, autojump_clock: MockClock
) -> None:
    await gateway.apply(FIRST)
    await trio.sleep(60)
    await gateway.apply(SECOND)
    await trio.sleep(60)
    assert gateway.states == {'new': 'open', 'all': 'closed'}
    now = gateway.policies.in_force.map
    for gone, left in (
        (
            wire.HostsReport(2, now.generation - 1, gone=('all',)),
            {'new', 'all'},
        ),
        (wire.HostsReport(2, now.generation, gone=('all', 'new')), {'new'}),
    ):
        gateway.writer.hear(gone)
        await trio.sleep(10)
        assert gateway.states.keys() == left
