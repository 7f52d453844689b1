# SPDX-License-Identifier: Apache-2.0
"""Three clients at once want more than all PCs together can take."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import json
import pathlib
import re
import time
from collections.abc import Iterator
from concurrent import futures

import pytest

from devstack.lab.inside.cloud import connect
from devstack.lab.layout import CONTROL, DEFAULT_PCS, SLICES
from devstack.lab.overlay import OFFER
from tests.conftest import Figure
from tests.support import pcs, scene
from tests.support.catalogue import flavor, image
from tests.support.lab import Lab
from tests.support.servers import Bench
from tests.support.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PCS, ROOM_EACH = 8, 3
CLIENTS, EACH = 3, 10
SHAPE = {'vcpus': 1, 'ram': OFFER['memory_mb'] // 4 + 1, 'disk': 1}
"""A PC has room for three, four PCs together nearly for sixteen: so Placement
lets more through than there is room for."""
SETTLE_TIMEOUT_S = 900.0
CLAIMS = re.compile(r'instance (?P<uuid>\S+): spawn .*; claims: (?P<said>.*)')


@contextlib.contextmanager
def quota(lab: Lab, **wanted: int) -> Iterator[None]:
    """Demo may have so much meanwhile."""
    path = f'/os-quota-sets/{lab.demo.current_project_id}'
    compute = lab.admin.compute
    before = compute.get(path).json()['quota_set']
    compute.put(path, json={'quota_set': wanted})
    try:
        yield
    finally:
        old = {name: before[name] for name in wanted}
        compute.put(path, json={'quota_set': old})


@pytest.fixture
def eight(lab: Lab) -> Iterator[None]:
    """As many PCs, and Placement knows it."""
    with contextlib.ExitStack() as undo:
        for _ in range(PCS - DEFAULT_PCS):
            undo.enter_context(pcs.added(lab))
        until(
            lambda: (
                sum(
                    scene.inventories(lab, name)['VCPU']['total']
                    for name in SLICES
                )
                == PCS * OFFER['vcpus']
            )
        )
        yield


def another_client(lab: Lab) -> Lab:
    """With connections of its own."""
    words = json.loads(lab.layout.passwords.read_text())
    return dataclasses.replace(
        lab, demo=connect('demo', words['demo'], 'demo')
    )


def check_offers(lab: Lab) -> None:
    """No PC holds more than it offers."""
    for name, pc in pcs.pcs(lab).items():
        said = pcs.status(pc)
        assert said.offer is not None
        assert said.offer.total.fits(said.used), name


def heard(lab: Lab, uuids: set[str]) -> collections.Counter[str]:
    """What PCs have answered to claims for these, as the gateway logs it."""
    found: collections.Counter[str] = collections.Counter()
    for line in lab.layout.log(CONTROL, pcs.DAEMON).read_text().splitlines():
        match = CLAIMS.search(line)
        if match is not None and match['uuid'] in uuids:
            for part in match['said'].split(', '):
                count, _, word = part.partition(' ')
                found[word] += int(count) if word else 0
    return found


def test_exactly_as_many_find_a_place_as_there_is_room_for(
    lab: Lab, eight: None, tmp_path: pathlib.Path, figure: Figure
) -> None:
    """Guests do nothing, so that two processors can carry them."""
    blank = tmp_path / 'blank'
    blank.write_bytes(bytes(2**20))
    limits = {'instances': 40, 'cores': 40, 'ram': 40 * SHAPE['ram']}
    with contextlib.ExitStack() as undo:
        undo.enter_context(quota(lab, **limits))
        size = undo.enter_context(flavor(lab, 'test.third', {}, **SHAPE))
        disk = undo.enter_context(image(lab, 'test-blank', blank, 'raw'))
        clients = [
            undo.enter_context(Bench(another_client(lab)))
            for _ in range(CLIENTS)
        ]
        begin = time.monotonic()
        owners = create(clients, size, disk)

        def settled() -> bool:
            check_offers(lab)
            return all(
                server.status in ('ACTIVE', 'ERROR')
                and server.task_state is None
                for server in (owners[found].show(found) for found in owners)
            )

        until(settled, SETTLE_TIMEOUT_S, 1.0)
        figure('30 servers at once: settled', time.monotonic() - begin)
        shown = {found: owners[found].show(found) for found in owners}
        placed = {
            f for f, server in shown.items() if server.status == 'ACTIVE'
        }
        counts = heard(lab, set(shown))
        met = 100 * (counts['held'] + counts['full']) / counts.total()
        figure('30 servers at once: claims that met others', met, '%')
        assert len(placed) == PCS * ROOM_EACH
        check_pcs(lab, placed)
        for lost in shown.keys() - placed:
            check_lost(lab, lost, shown[lost].fault['message'])


def create(clients: list[Bench], size: str, disk: str) -> dict[str, Bench]:
    """All at once; who asked for which server."""

    def ask(number: int) -> list[str]:
        make = functools.partial(clients[number].create, image=disk)
        return [make(f'many-{number}-{n}', size) for n in range(EACH)]

    with futures.ThreadPoolExecutor(CLIENTS) as pool:
        return {
            found: clients[number]
            for number, ids in enumerate(pool.map(ask, range(CLIENTS)))
            for found in ids
        }


def check_pcs(lab: Lab, placed: set[str]) -> None:
    """Each PC runs three of them, and each of them runs once."""
    domains = collections.Counter(
        uuid
        for pc in pcs.pcs(lab).values()
        for uuid in lab.inside(pc, 'virsh', '-q', 'list', '--uuid').split()
    )
    assert dict.fromkeys(placed, 1).items() <= domains.items()
    for name, pc in pcs.pcs(lab).items():
        mine = {row.instance for row in pcs.status(pc).instances}
        assert len(mine & placed) == ROOM_EACH, name


def check_lost(lab: Lab, uuid: str, fault: str) -> None:
    """Why is told, and nothing is held for it."""
    assert 'No valid host was found' in fault
    assert re.search(r'\d+ PCs: ', fault), fault
    assert pcs.placed(lab, uuid) is None
    assert not scene.held_in_placement(lab, uuid)
