# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from devstack.lab import preflight


def test_debian_12_will_do() -> None:
    text = 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\nVERSION_ID="12"\n'
    assert preflight.distribution_problem(text) is None


@pytest.mark.parametrize(
    'text',
    [
        'PRETTY_NAME="Debian GNU/Linux 13"\nID=debian\nVERSION_ID="13"\n',
        'PRETTY_NAME="Ubuntu 12"\nID=ubuntu\nVERSION_ID="12"\n',
        '',
    ],
)
def test_other_distributions_are_named_and_refused(text: str) -> None:
    problem = preflight.distribution_problem(text)
    assert problem is not None
    assert 'needs Debian 12' in problem


@pytest.mark.parametrize(
    'line',
    [
        'default via 192.0.2.1 dev eth0',
        '192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.2',
        'broadcast 192.0.2.255 dev eth0 table local proto kernel',
        '198.18.0.0/15 dev p2pcs0 scope link',  # our own cable
        '128.0.0.0/1 via 10.8.0.1 dev tun0',  # a VPN takes half the world
        'unreachable 203.0.113.7',
    ],
)
def test_routes_elsewhere_are_no_problem(line: str) -> None:
    assert preflight.route_problem(f'{line}\n') is None


@pytest.mark.parametrize(
    ('line', 'network'),
    [
        ('198.18.0.0/15 via 10.8.0.1 dev tun0', '198.18.0.0/15'),
        ('198.19.0.0/24 dev tun0 table 100', '198.19.0.0/24'),
        ('198.0.0.0/8 dev tun0', '198.0.0.0/8'),
        ('local 198.18.0.7 dev tun0 table local', '198.18.0.7/32'),
    ],
)
def test_route_into_the_labs_addresses_is_named(
    line: str, network: str
) -> None:
    problem = preflight.route_problem(f'default dev eth0\n{line}\n')
    assert problem is not None
    assert problem.startswith(f'{network} is routed to tun0')


def test_too_little_memory_is_a_problem() -> None:
    assert preflight.memory_problem('MemAvailable: 16000000 kB\n', 4) is None
    problem = preflight.memory_problem('MemAvailable: 7340032 kB\n', 20)
    assert problem is not None
    assert problem.startswith('7.0 GB')
    assert problem.endswith('a lab of 20 PCs needs 9.2 GB')


def test_too_little_room_for_files_is_a_problem() -> None:
    assert preflight.disk_problem('/', 6_000_000_000, 5.0) is None
    problem = preflight.disk_problem('/', 1_500_000_000, 5.0)
    assert problem == '1.5 GB are free in /: the lab needs 5 GB'
