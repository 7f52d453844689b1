# SPDX-License-Identifier: Apache-2.0
"""The gateway program: a nova-compute for each slice, while its term lasts."""

from __future__ import annotations

import configparser
import os
import pathlib
import signal
import time
from collections.abc import Iterator

import pytest

from p2pcs_nova import wire
from p2pcs_nova.terms.holder import TTL_S
from tests.conftest import Figure
from tests.support import gateway_program
from tests.support.gateway_program import Program
from tests.support.gateway_thread import GatewayThread
from tests.support.small_office import office
from tests.support.waiting import until

SLICES = ('gold', 'silver')
POLICY = 'slices: [{name: gold, match: {a: b}}, {name: silver, match: {}}]'


@pytest.fixture
def daemon(tmp_path: pathlib.Path) -> Iterator[GatewayThread]:
    with GatewayThread(tmp_path, office(1), POLICY) as daemon:
        yield daemon


@pytest.fixture
def program(
    tmp_path: pathlib.Path, daemon: GatewayThread
) -> Iterator[Program]:
    with gateway_program.running(tmp_path / 'gw', daemon.socket) as program:
        until(lambda: all(program.acts(name) for name in SLICES))
        yield program


def terms(daemon: GatewayThread) -> list[wire.Counter | None]:
    return [row.term for row in daemon.client.slices().slices]


def pids(program: Program) -> list[int | None]:
    return [program.compute(name) for name in SLICES]


def test_each_slice_has_its_nova_compute_and_its_term(
    daemon: GatewayThread, program: Program
) -> None:
    assert None not in pids(program)
    acting = [program.acts(name) for name in SLICES]
    assert acting == [[str(term)] for term in terms(daemon)]
    told = configparser.ConfigParser(interpolation=None)
    told.read(program.homes / 'gold' / 'nova.conf')
    assert told['DEFAULT']['host'] == told['p2pcs']['slice'] == 'gold'
    rabbit = told['oslo_messaging_rabbit']
    assert rabbit['heartbeat_timeout_threshold'] == '10'


@pytest.mark.parametrize(
    'number',
    [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)],
)
def test_nova_compute_that_ends_or_hangs_is_followed_by_a_later_term(
    daemon: GatewayThread, program: Program, number: signal.Signals
) -> None:
    gold, silver = pids(program)
    before = terms(daemon)
    assert gold is not None
    os.kill(gold, number)
    until(lambda: program.compute('gold') not in (None, gold))
    until(lambda: len(program.acts('gold')) == 2)
    assert program.compute('silver') == silver
    old, new = before[0], terms(daemon)[0]
    assert old is not None
    assert new is not None
    assert new > old
    assert terms(daemon)[1] == before[1]


def test_told_to_stop_it_ends_all_and_gives_the_terms_back(
    daemon: GatewayThread, program: Program
) -> None:
    program.send(signal.SIGTERM)
    assert program.wait() == 0
    assert pids(program) == [None, None]
    assert terms(daemon) == [None, None]


def test_nova_computes_die_with_their_supervisor(program: Program) -> None:
    program.send(signal.SIGKILL)
    program.wait()
    until(lambda: pids(program) == [None, None], TTL_S / 2)


def test_frozen_supervisor_loses_all_and_begins_anew(
    daemon: GatewayThread, program: Program, figure: Figure
) -> None:
    before = terms(daemon)
    gold, silver = pids(program)
    assert silver is not None
    os.kill(silver, signal.SIGSTOP)
    program.send(signal.SIGSTOP)
    begin = time.monotonic()
    until(lambda: program.compute('gold') is None)
    figure('frozen supervisor: nova-compute ended', time.monotonic() - begin)
    until(lambda: terms(daemon) == [None, None])
    # The one that could not end itself does nothing more when it wakes,
    # but perhaps what it was just about.
    acts = program.homes / 'silver' / 'acts'
    done = acts.read_text().count('\n')
    os.kill(silver, signal.SIGCONT)
    until(lambda: program.compute('silver') is None)
    assert acts.read_text().count('\n') <= done + 1
    program.send(signal.SIGCONT)
    until(lambda: all(len(program.acts(name)) == 2 for name in SLICES))
    assert gold not in pids(program)
    assert all(
        new is not None and old is not None and new > old
        for new, old in zip(terms(daemon), before, strict=True)
    )


def test_a_second_one_of_the_same_folder_is_refused(program: Program) -> None:
    second = Program(program.folder, 'nowhere')
    second.start()
    assert second.wait() == 1
    assert None not in pids(program)


def test_slice_is_served_again_when_its_daemon_is_back(
    tmp_path: pathlib.Path, daemon: GatewayThread, program: Program
) -> None:
    before, running = terms(daemon), pids(program)
    daemon.stop()
    with GatewayThread(tmp_path, office(1), POLICY) as again:
        until(lambda: terms(again) == before)
        assert pids(program) == running
