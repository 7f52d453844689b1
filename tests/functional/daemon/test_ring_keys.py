# SPDX-License-Identifier: Apache-2.0
"""Real daemons whose ring key is renewed while they run, or sleep."""

from __future__ import annotations

import datetime
import os
import pathlib
import signal
from collections.abc import Iterator
from concurrent import futures

import pytest

from p2pcs_nova.identity.store import IdentityStore
from tests.support import daemons, waiting
from tests.support.daemons import Machine, Office


@pytest.fixture
def office(tmp_path: pathlib.Path) -> Iterator[Office]:
    with daemons.office(tmp_path) as place:
        yield place


def keys_of(machine: Machine) -> tuple[tuple[int, bytes], ...]:
    """What it has stored."""
    folder = machine.folder / 'state' / 'identity'
    return IdentityStore(folder).load().ring_keys


def is_alive(office: Office, pc: Machine) -> bool:
    row = daemons.peer_row(office.gateway, pc.name)
    return row is not None and row.state == 'alive'


def send(pc: Machine, number: signal.Signals) -> None:
    assert pc.process is not None
    os.kill(pc.process.pid, number)


def renew(office: Office) -> int:
    """Give the overlay a new key; its number."""
    with office.gateway.client as client:
        client.renew_ring_key()
    return office.gateway.status().ring_key


def test_everybody_fetches_a_new_key_and_stays_a_member(
    office: Office,
) -> None:
    pcs = [office.joined(f'pc{number}') for number in range(3)]
    for pc in pcs:
        pc.start()
    waiting.until(lambda: all(is_alive(office, pc) for pc in pcs))
    before = keys_of(pcs[0])

    number = renew(office)

    waiting.until(lambda: all(pc.status().ring_key == number for pc in pcs))
    after = keys_of(office.gateway)
    assert after[:-1] == before
    assert all(keys_of(pc) == after for pc in pcs)
    pcs[0].stop()
    pcs[0].start()
    waiting.until(lambda: pcs[0].status().members_alive == 4)
    waiting.until(lambda: all(is_alive(office, pc) for pc in pcs))


@pytest.mark.slow
def test_two_gateways_may_renew_it_at_once(
    office: Office, tmp_path: pathlib.Path
) -> None:
    second = office.machine('gw2')
    office.authority.enrol(
        second.folder / 'state',
        'gw2',
        second.host,
        7400,
        datetime.datetime.now(datetime.UTC),
    )
    second.start()
    pcs = [office.joined(f'pc{number}') for number in range(2)]
    for pc in pcs:
        pc.start()
    everybody = [office.gateway, second, *pcs]
    waiting.until(
        lambda: all(one.status().members_alive == 4 for one in everybody)
    )
    old = keys_of(office.gateway)[-1]

    def renewed(gateway: Machine) -> None:
        with gateway.client as client:
            client.renew_ring_key()

    with futures.ThreadPoolExecutor() as pool:
        list(pool.map(renewed, (office.gateway, second)))

    waiting.until(
        lambda: (
            len({keys_of(one)[-1] for one in everybody} | {old}) == 2
            and keys_of(second)[-1] != old
        )
    )
    pcs[0].stop()
    pcs[0].start()
    waiting.until(lambda: pcs[0].status().members_alive == 4)


def test_who_slept_through_three_keys_comes_back_who_was_put_out_does_not(
    office: Office,
) -> None:
    pcs = [office.joined(name) for name in ('awake', 'asleep', 'stolen')]
    for pc in pcs:
        pc.start()
    awake, asleep, stolen = pcs
    waiting.until(lambda: all(is_alive(office, pc) for pc in pcs))
    for pc in (asleep, stolen):
        send(pc, signal.SIGSTOP)

    with office.gateway.client as client:
        client.revoke(daemons.peer_id(stolen))
    for _ in range(2):
        number = renew(office)
    waiting.until(lambda: awake.status().ring_key == number)
    waiting.until(lambda: not is_alive(office, asleep))
    assert keys_of(asleep)[-1] not in keys_of(office.gateway)
    for pc in (asleep, stolen):
        send(pc, signal.SIGCONT)

    waiting.until(lambda: asleep.status().ring_key == number)
    waiting.until(lambda: is_alive(office, asleep))
    waiting.until(lambda: 'put out' in stolen.run('status').stdout)
    assert stolen.status().ring_key < number
    assert not is_alive(office, stolen)


def test_who_was_off_through_three_keys_comes_back(office: Office) -> None:
    """It remembers nobody: only where it has found the overlay before."""
    pc = office.joined('off')
    pc.start()
    waiting.until(lambda: is_alive(office, pc))
    pc.stop()
    for _ in range(3):
        number = renew(office)
    assert keys_of(pc)[-1] not in keys_of(office.gateway)

    pc.start()

    waiting.until(lambda: pc.status().ring_key == number)
    waiting.until(lambda: is_alive(office, pc))
