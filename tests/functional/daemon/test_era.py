# SPDX-License-Identifier: Apache-2.0
"""Real daemons: an admin has terms come from etcd, and not any more."""

from __future__ import annotations

import configparser
import contextlib
import os
import pathlib
import signal
from collections.abc import Iterator

import msgspec
import pytest

from p2pcs_nova import errors, wire
from tests.support import (
    daemons,
    etcd_papers,
    etcd_server,
    gateway_program,
    waiting,
)
from tests.support.daemons import Machine, Manage, Office
from tests.support.gateway_program import Program

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

POLICY = 'version: 1\nslices: [{name: all, match: {}}]\n'


@pytest.fixture
def office(tmp_path: pathlib.Path) -> Iterator[Office]:
    with daemons.office(tmp_path, POLICY) as place:
        yield place


@pytest.fixture
def terms(tmp_path: pathlib.Path) -> Iterator[dict[str, str]]:
    """Options for an etcd that demands a certificate."""
    papers = etcd_papers.make(tmp_path / 'papers')
    with etcd_server.running(tmp_path / 'etcd', papers) as server:
        yield {
            'etcd_endpoints': server.endpoint,
            'etcd_ca_file': str(papers.ca),
            'etcd_cert_file': str(papers.client_certificate),
            'etcd_key_file': str(papers.client_key),
        }


def restart(gateway: Machine, terms: dict[str, str]) -> None:
    """Its daemon is told to take terms so."""
    gateway.stop()
    conf = configparser.ConfigParser(interpolation=None)
    conf.read(gateway.conf)
    conf['terms'] = terms
    with gateway.conf.open('w') as file:
        conf.write(file)
    gateway.start()


@contextlib.contextmanager
def program(office: Office, terms: dict[str, str]) -> Iterator[Program]:
    """p2pcs-gateway, which is told the same."""
    folder = office.gateway.folder
    with gateway_program.running(
        folder / 'gw', str(folder / 'sock'), **terms
    ) as found:
        yield found


def term_of(office: Office, running: Program) -> wire.Counter:
    """By which the slice is served, as soon as it is."""
    waiting.until(lambda: running.compute('all') is not None)
    (row,) = office.gateway.client.slices().slices
    assert row.term is not None
    running.send(signal.SIGTERM)
    assert running.wait() == 0
    return row.term


def era_on(machine: Machine) -> int:
    """Of the word that a machine has; 0 for none."""
    with machine.client as client:
        signed = client.policy().era
    if signed is None:
        return 0
    return msgspec.json.decode(signed.payload, type=wire.Era).number


def wait_for_era(machine: Machine, number: int) -> None:
    """A machine has heard of it."""
    waiting.until(lambda: era_on(machine) == number)


def test_gateway_goes_to_etcd_and_back_by_an_admins_word_alone(
    office: Office,
    manage: Manage,
    terms: dict[str, str],
    tmp_path: pathlib.Path,
) -> None:
    pc = office.joined('pc1')
    pc.start()
    ca = ('--ca-dir', str(tmp_path / 'ca'))
    with program(office, {}) as running:
        found = [term_of(office, running)]
    assert 'it may go on' in manage('era', 'show')
    for number, told in enumerate((terms, terms | {'alone': 'true'}), 2):
        restart(office.gateway, told)
        with program(office, told) as running:
            assert running.wait() == os.EX_CONFIG
            last = running.log.splitlines()[-1]
            assert 'run `p2pcs-manage era raise --ca-dir DIR`' in last
            assert 'refused: terms ' in manage('era', 'show')
            said = manage('era', 'raise', *ca, '--reason', 'it moves')
            assert f'era {number} is in force' in said
            running.start()
            found.append(term_of(office, running))
        assert 'it may go on' in manage('era', 'show')
        wait_for_era(pc, number)
    assert [term.era for term in found] == [1, 2, 3]

    with office.gateway.client as client:
        era = client.era().era
        assert era is not None
        assert (era.number, era.reason, era.lost) == (3, 'it moves', 0)
        signed = office.authority.sign_era(era)
        client.raise_era(signed)
        with pytest.raises(errors.BadPolicy, match='not signed by the key'):
            client.raise_era(wire.SignedEra(signed.payload, bytes(64)))
        older = wire.Era(2, era.gateway, era.place)
        with pytest.raises(errors.StalePolicy, match='era 3 is in force'):
            client.raise_era(office.authority.sign_era(older))
    # It outlives the daemon, and is on the PC too.
    office.gateway.stop()
    (office.gateway.folder / 'state' / 'policy.json').unlink()
    office.gateway.start()
    wait_for_era(office.gateway, 3)
