# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from p2pcs_nova import errors, wire, wishes

Said = Mapping[str, str | Sequence[str]]


@pytest.mark.parametrize(
    ('extra_specs', 'hints', 'expected'),
    [
        ({}, {}, wire.Wishes()),
        (
            {'hw:cpu_policy': 'shared', 'p2pcs:slice': 'gold'},
            {'group': ['6e6c6e6c-0000-4000-8000-000000000000']},
            wire.Wishes(slice='gold'),
        ),
        (
            {'p2pcs:not_owner': 'anna'},
            {'p2pcs:slice': ['gold'], 'p2pcs:query': 'cores >= 8'},
            wire.Wishes('gold', 'cores >= 8', 'anna'),
        ),
        (
            {'p2pcs:slice': 'gold', 'p2pcs:query': 'kvm'},
            {'p2pcs:slice': ['gold'], 'p2pcs:query': ['kvm']},
            wire.Wishes('gold', 'kvm'),
        ),
        (
            {'p2pcs:query': 'kvm', 'p2pcs:not_owner': 'anna'},
            {'p2pcs:query': 'cores > 2', 'p2pcs:not_owner': ['bruno']},
            wire.Wishes('', 'kvm', 'anna', 'cores > 2', 'bruno'),
        ),
    ],
    ids=['none', 'flavor', 'both', 'the same twice', 'joined'],
)
def test_wishes_of_flavor_and_hints_are_one(
    extra_specs: dict[str, str], hints: Said, expected: wire.Wishes
) -> None:
    assert wishes.read_wishes(extra_specs, hints) == expected


@pytest.mark.parametrize(
    ('extra_specs', 'hints', 'said'),
    [
        (
            {'p2pcs:slice': 'gold'},
            {'p2pcs:slice': ['silver']},
            'p2pcs:slice: the flavor says gold, the hint silver',
        ),
        ({'p2pcs:slise': 'gold'}, {}, 'p2pcs:slise is not known; known: '),
        ({}, {'p2pcs:slice': ['a', 'b']}, 'must have one value'),
        ({}, {'p2pcs:query': []}, 'must have one value'),
        ({'p2pcs:query': ''}, {}, 'p2pcs:query is empty'),
        ({'p2pcs:slice': 'No Slice'}, {}, 'p2pcs:slice: '),
        ({}, {'p2pcs:query': ['x' * 1001]}, 'p2pcs:query: '),
        ({}, {'p2pcs:query': ['kvm \ud800']}, 'p2pcs:query holds half a'),
    ],
)
def test_what_is_no_wish_is_refused_by_name(
    extra_specs: dict[str, str], hints: Said, said: str
) -> None:
    with pytest.raises(errors.Malformed) as refusal:
        wishes.read_wishes(extra_specs, hints)
    assert said in refusal.value.message
    assert len(refusal.value.message) < 200
