# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from devstack.lab import preflight

HEAD = (
    'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\t'
    'MTU\tWindow\tIRTT\n'
)


def route(interface: str, destination: str, mask: str) -> str:
    return (
        f'{interface}\t{destination}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0'
    )


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
        route('eth0', '00000000', '00000000'),  # default
        route('eth0', '000200C0', '00FFFFFF'),  # 192.0.2.0/24
        route('p2pcs0', '000012C6', '0000FEFF'),  # our own cable
    ],
)
def test_routes_elsewhere_are_no_problem(line: str) -> None:
    assert preflight.route_problem(HEAD + line + '\n') is None


@pytest.mark.parametrize(
    ('line', 'network'),
    [
        (route('tun0', '000012C6', '0000FEFF'), '198.18.0.0/15'),
        (route('tun0', '000013C6', '00FFFFFF'), '198.19.0.0/24'),
        (route('tun0', '000000C6', '000000FF'), '198.0.0.0/8'),
    ],
)
def test_route_into_the_labs_addresses_is_named(
    line: str, network: str
) -> None:
    problem = preflight.route_problem(HEAD + line + '\n')
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
