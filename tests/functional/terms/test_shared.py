# SPDX-License-Identifier: Apache-2.0
"""Several gateways take terms by a real etcd."""

from __future__ import annotations

import itertools
import pathlib
import signal
import time
from collections.abc import Iterator

import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.bootclock import boottime
from p2pcs_nova.etcd import Cluster, Etcd, Get, Put
from p2pcs_nova.terms.holder import TTL_S, Lapsed
from p2pcs_nova.terms.shared import OneOfSeveral, era_key
from tests.conftest import Figure
from tests.support import etcd_server
from tests.support.waiting import until

pytestmark = pytest.mark.etcd

PREFIX = '/office'
ERA = 3


@pytest.fixture(scope='module')
def server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[etcd_server.Server]:
    with etcd_server.running(tmp_path_factory.mktemp('etcd')) as server:
        yield server


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Of this test: they share a server."""
    return f'/{request.node.name}'


def gateway(
    server: etcd_server.Server, prefix: str, name: str
) -> OneOfSeveral:
    server.begin_era(prefix, ERA)
    one = OneOfSeveral(name, prefix, server.connect, boottime)
    one.renew()
    one.want(True)
    return one


def test_slice_has_one_gateway_and_the_next_one_a_higher_term(
    server: etcd_server.Server, prefix: str
) -> None:
    a, b = (gateway(server, prefix, name) for name in 'ab')
    first = a.take('gold')
    assert first is not None
    assert first.era == ERA
    assert b.take('gold') is None
    assert a.shares() == b.shares()
    assert dict(b.shares().holders) == {'gold': 'a'}
    assert b.shares().gateways == {'a', 'b'}
    a.give_back(wire.Command('gold', first))
    second = b.take('gold')
    assert second is not None
    assert second > first
    # A word that comes late takes nothing from the next one.
    a.give_back(wire.Command('gold', first))
    assert a.take('gold') is None


def test_term_outlives_as_many_renewals_as_its_holder_likes(
    server: etcd_server.Server, prefix: str
) -> None:
    a = gateway(server, prefix, 'a')
    term = a.take('gold')
    assert term is not None
    before = boottime()
    until_s = a.renew()
    assert before + TTL_S <= until_s <= boottime() + TTL_S
    (row,) = server.connect().read(Get(f'{prefix}/slices/gold'))[0]
    assert (row.created, row.value) == (term.n, b'a')


def test_time_counts_from_before_the_question(
    server: etcd_server.Server, prefix: str
) -> None:
    # A second passes from each look at the clock to the next.
    clock = itertools.count(100.0).__next__
    a = OneOfSeveral('a', prefix, server.connect, clock)
    assert [a.renew(), a.renew()] == [100.0 + TTL_S, 101.0 + TTL_S]


def test_renewal_that_is_too_late_by_our_clock_is_not_asked_for(
    server: etcd_server.Server, prefix: str
) -> None:
    now = 100.0
    a = OneOfSeveral('a', prefix, server.connect, lambda: now)
    now = a.renew()
    with pytest.raises(Lapsed, match='not renewed in time'):
        a.renew()


def test_holder_that_is_silent_loses_all_and_finds_out_before_it_acts(
    server: etcd_server.Server, prefix: str, figure: Figure
) -> None:
    a, b = (gateway(server, prefix, name) for name in 'ab')
    first = a.take('gold')
    until_s = a.renew()
    assert first is not None
    begin = time.monotonic()
    while (second := b.take('gold')) is None:
        b.renew()
        time.sleep(0.1)
    figure('etcd: a silent holder is followed', time.monotonic() - begin)
    assert boottime() > until_s
    assert second > first
    with pytest.raises(Lapsed):
        a.renew()
    assert b.shares().gateways == {'b'}


def test_answer_that_was_lost_leaves_no_slice_without_a_gateway(
    server: etcd_server.Server, prefix: str
) -> None:
    a, b = (gateway(server, prefix, name) for name in 'ab')
    term = a.take('gold')
    # As if it had never heard of its success.
    a._held.clear()
    assert dict(a.shares().holders) == {}
    assert dict(b.shares().holders) == {'gold': 'a'}
    assert a.take('gold') == term


def test_end_of_a_gateway_frees_its_slices_at_once(
    server: etcd_server.Server, prefix: str
) -> None:
    a, b = (gateway(server, prefix, name) for name in 'ab')
    a.take('gold')
    a.close()
    assert b.shares().gateways == {'b'}
    assert b.take('gold') is not None


def test_gateway_that_wants_nothing_is_not_counted(
    server: etcd_server.Server, prefix: str
) -> None:
    a, b = (gateway(server, prefix, name) for name in 'ab')
    a.want(False)
    assert b.shares().gateways == {'b'}
    a.want(True)
    assert b.shares().gateways == {'a', 'b'}


def test_without_an_era_there_is_no_term(
    server: etcd_server.Server, prefix: str
) -> None:
    a = OneOfSeveral('a', prefix, server.connect, boottime)
    a.renew()
    with pytest.raises(errors.Unavailable, match='no era has begun'):
        a.take('gold')
    server.connect().transact((), [Put(era_key(prefix), b'seven')])
    with pytest.raises(errors.Unavailable, match='no number'):
        a.take('gold')
    server.begin_era(prefix, 7)
    term = a.take('gold')
    assert term is not None
    assert term.era == 7


def test_member_that_does_not_answer_is_passed_over(
    server: etcd_server.Server, tmp_path: pathlib.Path, prefix: str
) -> None:
    with etcd_server.running(tmp_path / 'dead') as dead:
        endpoints = (dead.endpoint, server.endpoint)
    cluster = Cluster(endpoints, etcd_server.TIMEOUT_S)
    server.begin_era(prefix, ERA)
    a = OneOfSeveral('a', prefix, lambda: Etcd(cluster), boottime)
    a.renew()
    assert a.take('gold') is not None


def test_without_etcd_nothing_is_taken_and_nothing_is_lost_in_time(
    tmp_path: pathlib.Path,
) -> None:
    with etcd_server.running(tmp_path / 'etcd') as server:
        a = gateway(server, PREFIX, 'a')
        term = a.take('gold')
        assert term is not None
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(errors.Unavailable, match='timed out'):
            a.renew()
        with pytest.raises(errors.Unavailable):
            a.take('silver')
        server.process.send_signal(signal.SIGCONT)
        until(lambda: renews(a))
        server.stop()
        with pytest.raises(errors.Unavailable, match='refused'):
            a.renew()
        server.start()
        a.renew()
        (row,) = server.connect().read(Get(f'{PREFIX}/slices/gold'))[0]
        assert row.created == term.n


def renews(one: OneOfSeveral) -> bool:
    try:
        one.renew()
    except errors.Unavailable:
        return False
    return True
