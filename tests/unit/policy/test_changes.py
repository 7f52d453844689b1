# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from p2pcs_nova import wire
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.assignment import Pc
from p2pcs_nova.policy.changes import plan
from p2pcs_nova.policy.document import Policy
from p2pcs_nova.policy.partition import NO_MAP, Partition, next_map

OLD = """\
version: 3
slices:
- {name: rome, match: {site: rome}, zone: it}
- {name: oslo, match: {site: oslo}}
"""
PCS = (
    Pc('a' * 32, {'site': 'rome', 'tier': 'gold'}, 'rome', bound=True),
    Pc('b' * 32, {'site': 'oslo'}, 'oslo'),
)
SLOTS = {'rome': 8, 'oslo': 8}
NAMES = {'a' * 32: 'desk-a', 'b' * 32: 'desk-b'}


def read(text: str) -> Policy:
    return reading.read_policy(text, 'policy')


def tried(text: str, *occupied: str) -> wire.PolicyPlan:
    now = Partition(read(OLD))
    return plan(now, read(text), PCS, PCS, NAMES, occupied, SLOTS)


def test_the_same_policy_with_a_higher_version_moves_nobody() -> None:
    found = tried(OLD.replace('3', '4'), 'rome')
    assert found == wire.PolicyPlan(3)


def test_who_moves_is_named_and_who_is_bound_does_not() -> None:
    text = OLD.replace('3', '4').replace('name: ', 'name: new-')
    assert tried(text).moves == (
        wire.PolicyMove('desk-b', 'oslo', 'new-oslo'),
    )


def test_slices_that_come_and_go_are_named() -> None:
    found = tried(OLD.replace('3', '4').replace('name: oslo', 'name: new'))
    assert (found.opened, found.drained) == (('new',), ('oslo',))


def test_what_is_divided_or_merged_is_foreseen() -> None:
    found = tried(OLD.replace('3', '4').replace('zone: it', 'maximum: 4'))
    assert found.opened == ('rome-2',)
    found = tried(
        'version: 4\nsites: [{name: rome, match: {}, rank: tier, slices: '
        '[{name: rome, share: 75%}, {name: few, share: 25%, minimum: 5}]}]'
    )
    assert (found.drained, found.merged) == (('oslo',), ('few',))


@pytest.mark.parametrize(
    ('text', 'fault'),
    [
        (OLD, 'version: 3 is not above 3, which is in force'),
        (
            OLD.replace('3', '4').partition('- {name: oslo')[0],
            'match: desk-b (site: oslo) is left out; a last one',
        ),
        (
            OLD.replace('3', '4').replace('zone: it', 'zone: eu'),
            'rome: zone: slice rome holds instances, so it cannot go from',
        ),
        (
            OLD.replace('3', '4').replace(', zone: it', ''),
            'from zone it to (none)',
        ),
    ],
)
def test_what_the_pcs_do_not_allow_is_a_fault(text: str, fault: str) -> None:
    (found,) = tried(text, 'rome').faults
    assert fault in found


def test_a_pc_with_two_values_may_be_claimed_twice() -> None:
    pcs = [Pc('c' * 32, {'site': ('rome', 'oslo')})]
    found = plan(
        Partition(read(OLD)), read(OLD.replace('3', '4')), pcs, pcs, {}, (), {}
    )
    assert 'would be in rome and in oslo' in found.faults[0]


def test_what_a_pc_says_of_itself_writes_nothing_to_a_terminal() -> None:
    pcs = [Pc('c' * 32, {'site': '\x1b[2J\x1b[1;1Hall is fine\r\n'})]
    found = plan(
        Partition(read(OLD)), read(OLD.replace('3', '4')), pcs, pcs, {}, (), {}
    )
    (fault,) = found.faults
    assert 'all is fine' in fault
    assert fault.isprintable()


def test_the_zone_of_an_empty_slice_may_change() -> None:
    text = OLD.replace('3', '4').replace('zone: it', 'zone: eu')
    assert tried(text, 'oslo').faults == ()


RANKED = """\
version: {}
sites:
- name: rome
  match: {{}}
  rank: tier
  slices:
  - {{name: most, share: 75%, maximum: 100}}
  - {{name: few, share: 25%, minimum: 30, zone: {}}}
"""


@pytest.mark.parametrize(
    ('slots', 'between'),
    [(100, RANKED.format(2, 'it')), (200, OLD), (100, OLD)],
    ids=['merged', 'dropped', 'merged and dropped'],
)
def test_the_zone_of_a_slice_that_is_drained_stays(
    slots: int, between: str
) -> None:
    first = read(RANKED.format(1, 'it'))
    policy, held = read(between), {'few'}
    slices = next_map(first, NO_MAP, {'rome': 200}, held)
    slices = next_map(first, slices, {'rome': slots}, held)
    slices = next_map(policy, slices, {'rome': slots}, held)
    now = Partition(policy, slices)
    assert now.state('few') is wire.SliceState.DRAINING

    def faults(zone: str) -> tuple[str, ...]:
        new = read(RANKED.format(4, zone))
        return plan(now, new, (), (), {}, held, SLOTS).faults

    assert faults('it') == ()
    (fault,) = faults('eu')
    assert 'few holds instances, so it cannot go from zone it to' in fault


def test_the_zone_of_a_part_that_is_drained_stays_that_of_the_slice() -> None:
    first = read(RANKED.format(1, 'it').replace('100', '100, zone: it'))
    slices = next_map(first, NO_MAP, {'rome': 200}, ())
    slices = next_map(first, slices, {'rome': 60}, {'most-2'})
    now = Partition(first, slices)
    assert now.state('most-2') is wire.SliceState.DRAINING
    new = read(RANKED.format(2, 'it'))
    (fault,) = plan(now, new, (), (), {}, {'most-2'}, SLOTS).faults
    assert 'most: zone: slice most-2 holds instances' in fault


def test_a_zone_that_nobody_knows_may_be_any() -> None:
    rows = (wire.SliceRow('rome', wire.SliceState.DRAINING),)
    for now in (Partition(), Partition(slices=wire.SliceMap(0, 1, rows))):
        assert (
            plan(now, read(OLD), PCS, PCS, NAMES, {'rome'}, SLOTS).faults == ()
        )


def test_a_pc_of_a_site_is_not_claimed_by_who_takes_the_others() -> None:
    text = OLD.replace('3', '4').replace('{site: oslo}', '{}')
    assert tried(text).faults == ()
