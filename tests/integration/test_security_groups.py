# SPDX-License-Identifier: Apache-2.0
"""Security groups: who gets in, how soon, and what no group opens."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devstack.lab.layout import pc_address
from tests.conftest import Figure
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.servers import Bench, Server, wait_for_login
from tests.support.waiting import until

pytestmark = pytest.mark.lab

SSH = 22
CONNECT_S = 1.0
"""How long a dropped connection is waited for."""
BANNER = 'SSH-2.0'
SOON_S = 10.0
"""What is promised: rules are enforced so soon."""


@pytest.fixture(scope='module')
def shut_group(lab: Lab) -> Iterator[str]:
    """A group that lets nothing in, by its name; ends after its servers."""
    made = lab.demo.network.create_security_group(name='shut')
    yield made.name
    lab.demo.network.delete_security_group(made)


@pytest.fixture(scope='module')
def shut_server(lab: Lab, shut_group: str, module_bench: Bench) -> str:
    """A server that is being built in that group."""
    return module_bench.create('shut', security_groups=[{'name': shut_group}])


@pytest.fixture(scope='module')
def pair(
    lab: Lab, shut_server: str, module_bench: Bench
) -> tuple[Server, Server]:
    """Two guests that one can log in at, by demo's default group."""
    ids = [module_bench.create(f'guarded-{n}') for n in (1, 2)]
    first, second = [module_bench.get(found) for found in ids]
    for server in (first, second):
        wait_for_login(lab, server)
    return first, second


@pytest.fixture
def make_group(lab: Lab) -> Iterator[Callable[[str], str]]:
    """Makes groups that let nothing in; they end with the test."""
    made: list[str] = []

    def make(name: str) -> str:
        group = lab.demo.network.create_security_group(name=name)
        made.append(group.id)
        return str(group.id)

    yield make
    for group in made:
        lab.demo.network.delete_security_group(group)


@pytest.fixture
def regroup(lab: Lab) -> Iterator[Callable[..., None]]:
    """Puts a server's port into other groups; at the end into its own."""
    before: dict[str, list[str]] = {}

    def put(server: Server, *groups: str) -> None:
        port = lab.demo.network.get_port(server.port)
        before.setdefault(server.port, port.security_group_ids)
        lab.demo.network.update_port(port, security_groups=list(groups))

    yield put
    for port, groups in before.items():
        lab.demo.network.update_port(port, security_groups=groups)


def let_ssh_in(lab: Lab, group: str, **remote: str) -> Any:
    """A rule for ssh."""
    return lab.demo.network.create_security_group_rule(
        security_group_id=group,
        direction='ingress',
        ethertype='IPv4',
        protocol='tcp',
        port_range_min=SSH,
        port_range_max=SSH,
        **remote,
    )


def gets_in(server: Server) -> bool:
    """Whether a new connection from the LAN reaches sshd."""
    try:
        with socket.create_connection((server.address, SSH), CONNECT_S):
            return True
    except OSError:
        return False


def gets_through(lab: Lab, source: Server, target: Server) -> bool:
    """Whether a new connection of one guest reaches another's sshd."""
    said = lab.ssh(
        source.address,
        f'nc -w 2 {target.address} {SSH} </dev/null | head -c 7; true',
    )
    return said == BANNER


def seconds_until(condition: Callable[[], bool]) -> float:
    """How long it takes; fails if much longer than promised."""
    begin = time.monotonic()
    until(condition, 6 * SOON_S)
    return time.monotonic() - begin


def test_rule_lets_in_and_without_it_nobody_gets_in(
    lab: Lab,
    pair: tuple[Server, Server],
    make_group: Callable[[str], str],
    regroup: Callable[..., None],
    figure: Figure,
) -> None:
    server, _ = pair
    group = make_group('closed')
    regroup(server, group)
    took = seconds_until(lambda: not gets_in(server))
    figure('security group: another group, ssh refused', took)
    rule = let_ssh_in(lab, group, remote_ip_prefix='198.18.0.0/15')
    took = seconds_until(lambda: gets_in(server))
    figure('security group: rule added, ssh works', took)
    lab.demo.network.delete_security_group_rule(rule)
    took = seconds_until(lambda: not gets_in(server))
    figure('security group: rule removed, ssh refused', took)


def test_remote_group_lets_in_its_members_only(
    lab: Lab,
    pair: tuple[Server, Server],
    make_group: Callable[[str], str],
    regroup: Callable[..., None],
    figure: Figure,
) -> None:
    friend, server = pair
    friends, closed = make_group('friends'), make_group('friends-only')
    own = lab.demo.network.get_port(friend.port).security_group_ids
    regroup(server, closed)
    until(lambda: not gets_through(lab, friend, server))
    let_ssh_in(lab, closed, remote_group_id=friends)
    regroup(friend, *own, friends)
    took = seconds_until(lambda: gets_through(lab, friend, server))
    figure('security group: a member more gets in', took)
    assert not gets_in(server)
    regroup(friend, *own)
    took = seconds_until(lambda: not gets_through(lab, friend, server))
    figure('security group: a member less is kept out', took)


def test_server_that_begins_without_a_rule_is_shut(
    lab: Lab, shut_server: str, shut_group: str, module_bench: Bench
) -> None:
    server = module_bench.get(shut_server)

    def is_up() -> bool:
        assert not gets_in(server)
        console = lab.demo.compute.get_server_console_output(server.id)
        return 'login:' in console['output']

    until(is_up, 180.0)
    assert not gets_in(server)
    # It was the rules, and nothing else.
    group = lab.demo.network.find_security_group(
        shut_group, ignore_missing=False
    )
    let_ssh_in(lab, group.id, remote_ip_prefix='0.0.0.0/0')
    wait_for_login(lab, server)


def test_guest_reaches_other_pcs_but_not_its_own(
    lab: Lab, pair: tuple[Server, Server]
) -> None:
    server, _ = pair
    own = pcs.number_of(pcs.where(lab, server.id))
    other = next(n for n in lab.layout.pcs() if n != own)
    for number, answers in ((other, True), (own, False)):
        said = lab.ssh(
            server.address, f'ping -c 1 -W 2 {pc_address(number)} || true'
        )
        assert ('1 packets received' in said) is answers, number
