# SPDX-License-Identifier: Apache-2.0
"""A gateway fails at each request that its nova-compute makes of it.

Almost last of its folder: the lab has two gateways from here on.  Requests
are held before and after they are carried out; those that were not yet are
heard by the daemon when all is over, later than any that lingers could be.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator

import pytest

from devstack.lab import control, services
from devstack.lab.names import FIRST_SERVER
from p2pcs_nova import errors
from tests.conftest import Figure
from tests.support import pcs, programs, scene
from tests.support.gateway_faults import COMPUTE_FAULTS, FAULTS
from tests.support.lab import Lab
from tests.support.second_gateway import SERVED_S, Pair
from tests.support.servers import Bench, Server
from tests.support.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ONE = '/v1/slices/*/instances/' + '-'.join('?' * n for n in (8, 4, 4, 4, 12))
CREATE = {
    'spawn': f'asked PUT {ONE}',
    'spawned': f'answered PUT {ONE}',
    'start': f'asked POST {ONE}/action',
    'started': f'answered POST {ONE}/action',
}
IMAGE = {'image': 'asked HEAD /v1/images/*'}
DELETE = {
    'destroy': f'asked DELETE {ONE}',
    'destroyed': f'answered DELETE {ONE}',
}
LATE = ('spawn', 'start', 'destroy')
"""Commands that the daemon hears of when their term is over."""
REFUSED = (errors.StaleTerm.status, errors.Unavailable.status)
"""Its term is over, or its slice is not commanded here now."""
ROUNDS = 10
NO_BUILD_S = 60.0


@dataclasses.dataclass
class Halfway:
    """Servers of which a request is held."""

    bench: Bench
    lab: Lab
    built: list[str]
    deleted: list[Server]

    def wait_until_settled(self) -> None:
        """Until Nova has come to an end with each of them."""
        until(lambda: all(map(self._is_settled, self.built)), SERVED_S)
        self.bench.delete(*(server.id for server in self.deleted))

    def check(self) -> None:
        """That each is there once, or nothing is left of it anywhere."""
        for server_id in self.built:
            shown = self.bench.show(server_id)
            assert shown.status in ('ACTIVE', 'ERROR')
            wanted = shown.status == 'ACTIVE'
            until(functools.partial(self._is, server_id, wanted), SERVED_S)
            assert scene.held_in_placement(self.lab, server_id) == wanted
        for server in self.deleted:
            until(functools.partial(self._is_gone, server), SERVED_S)

    def _is(self, server_id: str, runs: bool) -> bool:
        return len(pcs.running_on(self.lab, server_id)) == runs

    def _is_gone(self, server: Server) -> bool:
        return not pcs.traces(self.lab, server)

    def _is_settled(self, server_id: str) -> bool:
        shown = self.bench.show(server_id)
        return shown.status in ('ACTIVE', 'ERROR') and not shown.task_state


@contextlib.contextmanager
def halfway(lab: Lab, bench: Bench, pair: Pair) -> Iterator[Halfway]:
    """A request of each kind is held while the body runs."""
    name = pair.slice_of(pair.second)
    deleted = [
        bench.get(bench.create(toll, slice_name=name)) for toll in DELETE
    ]
    with contextlib.ExitStack() as held:
        held.enter_context(pair.tolls(**CREATE, **DELETE))
        built = [bench.create(toll, slice_name=name) for toll in CREATE]
        for server in deleted:
            lab.admin.compute.delete_server(server.id)
        pair.wait_until_held(*CREATE, *DELETE)
        # Last: it keeps others from looking for the same image.
        held.enter_context(pair.tolls(**IMAGE))
        built.append(bench.create('image', slice_name=name))
        pair.wait_until_held(*IMAGE)
        yield Halfway(bench, lab, built, deleted)


def churn(bench: Bench, slice_name: str) -> None:
    """Create and delete what the slice has room for, again and again."""
    for number in range(ROUNDS):
        found = bench.create(f'meanwhile-{number}', slice_name=slice_name)
        bench.wait(found)
        bench.delete(found)


def wait_until_none_is_built(
    lab: Lab, what: str, figure: Figure, begin: float
) -> None:
    """Nothing of anybody's is in BUILD."""
    until(functools.partial(_none_is_built, lab), SERVED_S)
    took_s = time.monotonic() - begin
    figure(f'{what}: nothing in BUILD (goal {NO_BUILD_S:g} s)', took_s)


def _none_is_built(lab: Lab) -> bool:
    return not any(
        lab.admin.compute.servers(all_projects=True, status='BUILD')
    )


def some_server(lab: Lab, bench: Bench, slice_name: str) -> str:
    """One of the slice: the lab's first, which takes room, if it is there."""
    (first,) = lab.admin.compute.servers(
        all_projects=True, name=f'^{FIRST_SERVER}$'
    )
    if first.hypervisor_hostname == slice_name:
        return str(first.id)
    found = bench.create('bystander', slice_name=slice_name)
    bench.wait(found)
    return found


@pytest.mark.parametrize('what', FAULTS)
def test_gateway_fails_at_each_request(
    lab: Lab, bench: Bench, pair: Pair, what: str, figure: Figure
) -> None:
    name = pair.slice_of(pair.second)
    bystander = some_server(lab, bench, name)
    with halfway(lab, bench, pair) as half, FAULTS[what](pair, name):
        begin = time.monotonic()
        pair.wait_until_served(name, f'at requests, {what}', figure)
        half.wait_until_settled()
        wait_until_none_is_built(lab, what, figure, begin)
        churn(bench, name)
    for toll in LATE:
        assert pair.answer(toll) in REFUSED, toll
    pair.slice_of(pair.second)
    half.check()
    assert lab.admin.compute.get_server(bystander).status == 'ACTIVE'
    assert len(pcs.running_on(lab, bystander)) == 1


@pytest.mark.parametrize('what', COMPUTE_FAULTS)
def test_nova_compute_fails_at_each_request(
    lab: Lab, bench: Bench, pair: Pair, what: str, figure: Figure
) -> None:
    """It is replaced where it was; what it has asked comes too late."""
    name = pair.slice_of(pair.second)
    with halfway(lab, bench, pair) as half:
        begin = time.monotonic()
        with COMPUTE_FAULTS[what](pair, name):
            until(lambda: not pair.serves(pair.second, name), SERVED_S)
            until(lambda: pair.serves(pair.second, name), SERVED_S)
            said = f'nova-compute {what} at requests'
            figure(f'{said}: served again', time.monotonic() - begin)
            half.wait_until_settled()
            wait_until_none_is_built(lab, said, figure, begin)
            churn(bench, name)
    for toll in LATE:
        assert pair.answer(toll) in REFUSED, toll
    half.check()


def test_message_queue_is_killed_at_each_request(
    lab: Lab, bench: Bench, pair: Pair, figure: Figure
) -> None:
    name = pair.slice_of(pair.second)
    with halfway(lab, bench, pair) as half:
        programs.kill(lab.control, 'rabbit')
        services.ensure(lab.layout, lab.control, control.rabbit(lab.layout))
    begin = time.monotonic()
    half.wait_until_settled()
    wait_until_none_is_built(lab, 'queue killed', figure, begin)
    half.check()
    bench.wait(bench.create('after-queue', slice_name=name))
