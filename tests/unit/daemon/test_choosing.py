# SPDX-License-Identifier: Apache-2.0
"""Which slice a PC chooses, and when."""

from __future__ import annotations

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pcs_nova import wire
from p2pcs_nova.daemon import choosing
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.document import Ratios
from p2pcs_nova.policy.partition import Partition, next_map

pytestmark = pytest.mark.trio

RANKED = """\
version: 2
sites:
- name: rome
  match: {site: rome}
  rank: score
  slices: [{name: gold, share: 50%}, {name: rest, share: rest}]
"""
SIMPLE = 'slices: [{name: rome, match: {site: rome}, ratios: {vcpus: 2}}]'
ME, OTHER = 'a' * 32, 'b' * 32


def partition(text: str) -> Partition:
    return Partition(reading.read_policy(text, 'policy'))


def record(
    score: int, slice_: str = '', site: str = 'rome'
) -> wire.PeerRecord:
    return wire.PeerRecord(
        'pc',
        wire.Offer(wire.Capacity(1, 1, 1)),
        {'site': site, 'score': str(score)},
        wire.Capacity(),
        slice_,
    )


class Pc:
    """One PC's choice; the others' records are as they are."""

    def __init__(self) -> None:
        self.records: dict[str, wire.PeerRecord] = {}
        self.bound = ''
        self.chosen: list[tuple[str, frozenset[str], Ratios]] = []
        self.choosing = choosing.Choosing(
            ME,
            records=lambda: self.records,
            bound=lambda: self.bound,
            choose=self._choose,
        )

    async def _choose(
        self, name: str, drained: frozenset[str], ratios: Ratios
    ) -> None:
        await trio.lowlevel.checkpoint()
        self.chosen.append((name, drained, ratios))
        mine = self.records[ME]
        self.records[ME] = msgspec.structs.replace(
            mine, slice=self.bound or name
        )

    @property
    def slice(self) -> str:
        return self.records[ME].slice


@pytest.fixture
def pc(nursery: trio.Nursery) -> Pc:
    found = Pc()
    nursery.start_soon(found.choosing.run)
    return found


async def test_where_there_is_nothing_to_rank_it_chooses_at_once(
    pc: Pc, autojump_clock: MockClock
) -> None:
    pc.records[ME] = record(1)
    pc.choosing.follow(partition(SIMPLE))
    await trio.sleep(0.1)
    assert pc.chosen == [('rome', frozenset(), Ratios(vcpus=2.0))]


async def test_it_first_hears_of_the_others_then_goes_by_its_rank(
    pc: Pc, autojump_clock: MockClock
) -> None:
    pc.records[ME] = record(1)
    pc.choosing.follow(partition(RANKED))
    await trio.sleep(1)
    assert pc.chosen == []
    pc.records[OTHER] = record(2)
    await trio.sleep(30)
    assert pc.slice == 'rest'
    pc.records[OTHER] = record(0, 'gold')
    pc.choosing.look_again()
    await trio.sleep(30)
    assert pc.slice == 'rest'
    del pc.records[OTHER]
    pc.records['c' * 32] = record(0)
    pc.records['d' * 32] = record(-1)
    pc.records['e' * 32] = record(-2)
    pc.choosing.look_again()
    await trio.sleep(30)
    assert pc.slice == 'gold'


async def test_who_holds_a_claim_stays_until_it_is_gone(
    pc: Pc, autojump_clock: MockClock
) -> None:
    pc.bound = 'rest'
    pc.records[ME] = record(9, 'rest')
    for number in range(5):
        pc.records[f'{number:032x}'] = record(number)
    pc.choosing.follow(partition(RANKED))
    await trio.sleep(30)
    assert pc.slice == 'rest'
    pc.bound = ''
    pc.choosing.look_again()
    await trio.sleep(30)
    assert pc.slice == 'gold'


async def test_whom_the_policy_leaves_out_is_in_no_slice(
    pc: Pc, autojump_clock: MockClock
) -> None:
    pc.records[ME] = record(1, 'rome', site='oslo')
    pc.choosing.follow(partition(SIMPLE))
    await trio.sleep(30)
    assert pc.slice == ''


async def test_it_knows_the_slices_that_take_nothing_new(
    pc: Pc, autojump_clock: MockClock
) -> None:
    old, new = partition(SIMPLE), partition(RANKED)
    slices = next_map(new.policy, old.map, {}, {'rome'})
    pc.records[ME] = record(1, 'rome')
    pc.choosing.follow(Partition(new.policy, slices))
    await trio.sleep(30)
    assert pc.chosen[-1][1] == {'rome'}
    assert pc.slice in ('gold', 'rest')
