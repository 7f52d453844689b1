# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from gossip.descriptor import Address
from p2pcs_nova.daemon import addresses


def test_seeds_that_are_no_addresses_are_left_out() -> None:
    seeds = ['198.18.0.2:7400', 'nonsense', '[::1]:7400', '1.2.3.4:x', '']
    seeds += ['1.2.3.4:99999', '1.2.3.4:-1', '0.0.0.0:7400', '1.2.3.4:0']
    assert addresses.parse_seeds(seeds) == [
        Address('198.18.0.2', 7400),
        Address('::1', 7400),
    ]


@pytest.mark.parametrize(
    ('advertised', 'bound', 'expected'),
    [
        ('198.18.0.2', '0.0.0.0', '198.18.0.2'),
        ('', '198.18.0.3', '198.18.0.3'),
        ('', '0.0.0.0', '127.0.0.1'),
    ],
    ids=['advertised', 'bound', 'route'],
)
def test_own_address(advertised: str, bound: str, expected: str) -> None:
    seeds = [Address('127.0.0.9', 7400)]
    found = addresses.own_address(advertised, bound, 7400, seeds)
    assert found == Address(expected, 7400)


def test_no_route_and_no_option_names_the_option() -> None:
    with pytest.raises(addresses.NoAddress, match='advertise_address'):
        addresses.own_address('', '0.0.0.0', 7400, [])
