# SPDX-License-Identifier: Apache-2.0
"""What slices do not do yet leaves a server, and Placement, as they were."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from openstack import exceptions

from devstack.lab.names import IMAGE
from devstack.lab.settings import NOVA_POLICY
from tests.support import pcs, scene
from tests.support.lab import Lab
from tests.support.servers import Bench
from tests.support.waiting import until

pytestmark = pytest.mark.lab

WAITED_FOR = '2.30'
"""An API version in which a live migration is answered when it is begun."""
TOLD = '2.84'
"""The first API version that tells why an action failed."""


class Mover:
    """Asks for one server's moves, and sees what becomes of it."""

    def __init__(self, lab: Lab, bench: Bench) -> None:
        self._lab = lab
        self._bench = bench
        self._compute = lab.admin.compute
        self.id = bench.create('mover')
        bench.wait(self.id)
        self.before = self.state()

    def state(self) -> dict[str, Any]:
        """What no refusal may change."""
        server = self._compute.get_server(self.id)
        placed = pcs.placed(self._lab, self.id)
        assert placed is not None
        held = self._lab.admin.placement.get(f'/allocations/{self.id}')
        return {
            'status': server.status,
            'slice': server.compute_host,
            'flavor': server.flavor.original_name,
            'pc': placed.peer_name,
            'epoch': placed.status.epoch,
            'state': placed.status.state,
            'held': {
                provider: share['resources']
                for provider, share in held.json()['allocations'].items()
            },
        }

    def ask(self, body: dict[str, Any], version: str = '2.79') -> Any:
        """The API's answer to an action that an administrator asks for."""
        path = f'/servers/{self.id}/action'
        return self._compute.post(path, json=body, microversion=version)

    def is_refused(self, body: dict[str, Any], said: str) -> None:
        """Asked for, it is scheduled and then refused with these words."""
        exceptions.raise_from_response(self.ask(body))
        until(lambda: said in self.told())
        self.is_as_before()

    def is_as_before(self) -> None:
        """Nothing has changed, and nothing is going on."""
        self._bench.wait(self.id)
        until(lambda: self.state() == self.before)
        assert set(self.migrations()) <= {'error', 'failed'}

    def migrations(self) -> list[str]:
        """The states of all moves."""
        path = f'/os-migrations?instance_uuid={self.id}'
        found = self._compute.get(path, microversion='2.80').json()
        return [one['status'] for one in found['migrations']]

    def told(self) -> str:
        """Why the last action failed."""
        compute = self._compute
        path = f'/servers/{self.id}/os-instance-actions'
        (last, *_) = compute.get(path, microversion=TOLD).json()[
            'instanceActions'
        ]
        events = compute.get(
            f'{path}/{last["request_id"]}', microversion=TOLD
        ).json()['instanceAction']['events']
        return ' '.join(str(one['details']) for one in events)


@pytest.fixture(scope='module')
def mover(lab: Lab, module_bench: Bench) -> Mover:
    """One server for all tests of this file."""
    return Mover(lab, module_bench)


@contextlib.contextmanager
def allowing_resize(lab: Lab) -> Iterator[None]:
    """As where the operator has not taken our rules for Nova's API."""
    path = lab.layout.etc('nova') / NOVA_POLICY
    rules = path.read_text()
    lines = rules.splitlines(keepends=True)
    path.write_text(''.join(x for x in lines if 'servers:resize' not in x))
    try:
        yield
    finally:
        path.write_text(rules)


def test_cold_migration_is_refused(mover: Mover) -> None:
    mover.is_refused({'migrate': None}, 'cannot be migrated yet; it stays')


def test_resize_is_refused_by_the_driver_where_the_api_allows_it(
    lab: Lab, mover: Mover
) -> None:
    larger = lab.admin.compute.find_flavor('m1.small', ignore_missing=False)
    resize = {'resize': {'flavorRef': larger.id}}
    assert mover.ask(resize).status_code == 403
    with allowing_resize(lab):
        mover.is_refused(resize, 'cannot be resized yet; it stays')


def test_live_migration_is_refused(mover: Mover) -> None:
    wish = {'os-migrateLive': {'host': None, 'block_migration': 'auto'}}
    mover.is_refused(wish, 'cannot be migrated yet; it stays')
    answer = mover.ask(wish, WAITED_FOR)
    assert answer.status_code == 400
    assert 'Live migration is refused: a server of' in answer.text
    mover.is_as_before()


def test_evacuation_is_refused(lab: Lab, mover: Mover) -> None:
    with scene.believed_down(lab, mover.before['slice']):
        mover.is_refused({'evacuate': {}}, 'cannot be evacuated yet; it stays')


def test_server_that_boots_from_a_volume_is_refused_in_words(
    lab: Lab, bench: Bench
) -> None:
    image = lab.demo.image.find_image(IMAGE, ignore_missing=False).id
    disk = {
        'boot_index': 0,
        'uuid': image,
        'source_type': 'image',
        'destination_type': 'volume',
        'volume_size': 1,
    }
    found = bench.create('from-volume', block_device_mapping_v2=[disk])
    fault = bench.wait(found, 'ERROR').fault['message']
    assert 'can neither boot from a volume nor have one yet' in fault
    assert pcs.placed(lab, found) is None
    bench.delete(found)
