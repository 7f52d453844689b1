# SPDX-License-Identifier: Apache-2.0
"""Two gateways share the slices by etcd, and one follows the other."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import time
from collections.abc import Iterator

import pytest

from p2pcs_nova import wire
from p2pcs_nova.gateway.etcd_ledger import EtcdLedger
from tests.conftest import Figure
from tests.support import etcd_server, gateway_program
from tests.support.gateway_program import Program
from tests.support.gateway_thread import GatewayThread
from tests.support.small_office import office
from tests.support.waiting import until

pytestmark = pytest.mark.etcd

PREFIX = '/office'
SLICES = ('gold', 'silver')
POLICY = 'slices: [{name: gold, match: {a: b}}, {name: silver, match: {}}]'


@dataclasses.dataclass(frozen=True)
class Gateway:
    """One machine: its daemon, and its gateway program."""

    daemon: GatewayThread
    program: Program

    def terms(self) -> dict[str, wire.Counter]:
        """Of the slices that its daemon commands."""
        rows = self.daemon.client.slices().slices
        return {row.name: row.term for row in rows if row.term is not None}

    def computes(self) -> dict[str, int]:
        """The processes of the slices that it serves."""
        found = {name: self.program.compute(name) for name in SLICES}
        return {name: pid for name, pid in found.items() if pid is not None}

    def serves(self, *names: str) -> bool:
        """Whether it serves these, and no other."""
        return self.terms().keys() == self.computes().keys() == set(names)


@contextlib.contextmanager
def gateway(
    folder: pathlib.Path, etcd: etcd_server.Server
) -> Iterator[Gateway]:
    folder.mkdir()
    ledger = EtcdLedger(etcd.connect(), PREFIX)
    with (
        GatewayThread(folder, office(1), POLICY, ledger) as daemon,
        gateway_program.running(
            folder / 'gw',
            daemon.socket,
            etcd_endpoints=etcd.endpoint,
            etcd_prefix=PREFIX,
        ) as program,
    ):
        yield Gateway(daemon, program)


@pytest.fixture
def etcd(tmp_path: pathlib.Path) -> Iterator[etcd_server.Server]:
    with etcd_server.running(tmp_path / 'etcd') as server:
        server.begin_era(PREFIX)
        yield server


@pytest.fixture
def two(
    tmp_path: pathlib.Path, etcd: etcd_server.Server
) -> Iterator[tuple[Gateway, Gateway]]:
    """Two that have one slice each."""
    with (
        gateway(tmp_path / 'a', etcd) as a,
        gateway(tmp_path / 'b', etcd) as b,
    ):
        until(lambda: len(a.computes()) == len(b.computes()) == 1)
        until(lambda: a.terms().keys() == a.computes().keys())
        until(lambda: b.terms().keys() == b.computes().keys())
        yield a, b


def test_slices_of_a_gateway_that_is_killed_are_served_by_the_other(
    two: tuple[Gateway, Gateway], figure: Figure
) -> None:
    a, b = two
    before = a.terms() | b.terms()
    assert before.keys() == set(SLICES)
    (taken,) = a.computes()
    a.program.send(signal.SIGKILL)
    begin = time.monotonic()
    until(lambda: b.serves(*SLICES))
    figure('killed gateway: its slice is taken over', time.monotonic() - begin)
    assert b.terms()[taken] > before[taken]


@pytest.mark.slow
def test_gateway_that_stops_hands_its_slices_over_at_once(
    two: tuple[Gateway, Gateway], figure: Figure
) -> None:
    a, b = two
    a.program.send(signal.SIGTERM)
    begin = time.monotonic()
    assert a.program.wait() == 0
    until(lambda: b.serves(*SLICES))
    figure('stopped gateway: handed over', time.monotonic() - begin)
    assert a.terms() == {}


def test_frozen_gateway_finds_out_that_another_one_serves_its_slice(
    two: tuple[Gateway, Gateway], figure: Figure
) -> None:
    a, b = two
    ((mine, pid),) = a.computes().items()
    acts = a.program.homes / mine / 'acts'
    until(acts.exists)
    a.program.send(signal.SIGSTOP)
    os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    until(lambda: mine in b.terms() and mine in b.computes())
    figure('frozen gateway: its slice is taken over', time.monotonic() - begin)
    done = acts.read_text().count('\n')
    os.kill(pid, signal.SIGCONT)
    until(lambda: a.program.compute(mine) != pid)
    assert acts.read_text().count('\n') <= done + 1
    assert a.terms() == {}
    # Awake again, it begins anew, and has its share.
    a.program.send(signal.SIGCONT)
    until(lambda: len(a.computes()) == len(b.computes()) == 1)
    until(lambda: a.terms().keys() == a.computes().keys())


def test_etcd_that_has_lost_its_data_is_not_served_by(
    tmp_path: pathlib.Path, etcd: etcd_server.Server
) -> None:
    with gateway(tmp_path / 'a', etcd) as one:
        until(lambda: one.program.acts('gold'))
        before = one.program.acts('gold')
        etcd.restore(None)
        assert one.program.wait() == os.EX_CONFIG
        assert one.program.log.splitlines()[-1].endswith(
            'restore it, or run `p2pcs-manage era raise --lost --ca-dir DIR` '
            'on this gateway, then start p2pcs-gateway again'
        )
        one.program.start()
        assert one.program.wait() == os.EX_CONFIG
        assert one.computes() == {}
        assert one.program.acts('gold') == before


@pytest.mark.slow
def test_without_etcd_nobody_serves_for_longer_than_a_term(
    two: tuple[Gateway, Gateway], etcd: etcd_server.Server
) -> None:
    before = two[0].terms() | two[1].terms()
    etcd.stop()
    for one in two:
        until(one.serves)
    etcd.start()
    until(lambda: all(len(one.computes()) == 1 for one in two))
    until(lambda: (two[0].terms() | two[1].terms()).keys() == set(SLICES))
    after = two[0].terms() | two[1].terms()
    assert all(after[name] > before[name] for name in SLICES)


@pytest.mark.slow
def test_slices_of_a_gateway_whose_daemon_is_gone_go_to_the_other(
    two: tuple[Gateway, Gateway],
) -> None:
    a, b = two
    a.daemon.stop()
    until(lambda: a.computes() == {} and b.serves(*SLICES))
