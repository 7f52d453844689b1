# SPDX-License-Identifier: Apache-2.0
"""Slices change while servers run: one comes, is drained, and goes."""

from __future__ import annotations

import contextlib
import pathlib
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openstack import exceptions

from devstack.lab import (
    overlay,
    passwords,
    schemas,
    services,
)
from devstack.lab.layout import SLICES
from devstack.lab.settings import Settings
from p2pcs_nova.hosts import plan
from tests.conftest import Figure
from tests.support import pcs, scene
from tests.support.catalogue import flavor
from tests.support.lab import Lab
from tests.support.servers import Bench, wait_for_login
from tests.support.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PCS = 8
MOVE = re.compile(r'(pc\d+): \S+ -> (\S+)')
"""As ``policy diff`` tells of one."""
NEW = 'bronze'
REMOVED_S = 300.0
"""Until Nova has nothing of it: it believes in a silent host for a minute."""
ZONE = 'annex'
TIER = 'CUSTOM_P2PCS_TIER_3'
NOTHING_TO_HEAL = 4
"""Exit code of nova-manage."""
BY_TIER = """\
version: {version}
slices:
- {{name: gold, match: {{tier: gold}}}}
- {{name: silver, match: {{tier: silver}}}}
"""
THREE = """\
version: {version}
sites:
- name: all
  match: {{}}
  rank: {rank}
  slices:
  - {{name: gold, share: 25%}}
  - {{name: silver, share: 50%}}
  - {{name: bronze, share: rest, zone: annex}}
"""
TWO = """\
version: {version}
sites:
- name: all
  match: {{}}
  rank: {rank}
  slices:
  - {{name: gold, share: 50%}}
  - {{name: silver, share: rest}}
"""


class Operator:
    """What he types on the control plane."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._version = 1
        self.settings = Settings(
            lab.layout, passwords.load(lab.layout.passwords)
        )

    def manage(self, *words: str) -> str:
        return overlay.manage(self.lab.layout, self.lab.control, *words)

    def apply(self, text: str, rank: str = 'none') -> None:
        """Put a policy in force; it is there when PCs are as it says."""
        after = self.put(text, rank)
        until(
            lambda: (
                after.items()
                <= {
                    pc: slice_
                    for slice_ in (*SLICES, NEW)
                    for pc in pcs.pcs_of_slice(self.lab, slice_)
                }.items()
            )
        )

    def put(self, text: str, rank: str = 'none') -> dict[str, str]:
        """The same, at once; says who is to move where."""
        self._version += 1
        path = self.lab.layout.lab / 'policy.yaml'
        path.write_text(text.format(version=self._version, rank=rank))
        told = self.manage('policy', 'diff', str(path)).splitlines()
        moves = [MOVE.fullmatch(line) for line in told]
        after = {found[1]: found[2] for found in moves if found}
        authority = str(self.lab.layout.control / 'ca')
        self.manage('policy', 'apply', '--ca-dir', authority, str(path))
        return after

    def nova_manage(self, *words: str) -> None:
        """Run it; whatever it finds wrong is an error."""
        schemas.manage_openstack(
            self.settings,
            self.lab.control,
            'nova-manage',
            f'--config-file={self.nova_conf}',
            *words,
        )

    @property
    def nova_conf(self) -> pathlib.Path:
        return self.lab.layout.etc('nova') / 'nova.conf'

    def publish(self) -> str:
        return self.manage(
            'slice', 'publish', '--nova-conf', str(self.nova_conf)
        )


@pytest.fixture
def operator(lab: Lab) -> Operator:
    return Operator(lab)


def service_of(lab: Lab, name: str) -> Any:
    """The nova-compute of a slice, as Nova knows it; None if it does not."""
    found = lab.admin.compute.services(binary='nova-compute', host=name)
    return next(iter(found), None)


def provider_of(lab: Lab, name: str) -> Any:
    """A slice in Placement; None if it is not there."""
    found = lab.admin.placement.resource_providers(name=name)
    return next(iter(found), None)


def traits_of(lab: Lab, name: str) -> set[str]:
    """Those of a slice in Placement."""
    provider = provider_of(lab, name)
    if provider is None:
        return set()
    answer = lab.admin.placement.get(
        f'/resource_providers/{provider.id}/traits', microversion='1.6'
    )
    return set(answer.json()['traits'])


def zones(lab: Lab) -> dict[str, tuple[str | None, list[str]]]:
    """Zone and hosts of each aggregate of ours."""
    return {
        one.name.removeprefix(plan.PREFIX): (one.availability_zone, one.hosts)
        for one in lab.admin.compute.aggregates()
        if one.name.startswith(plan.PREFIX)
    }


def has_room(lab: Lab, name: str) -> bool:
    """Whether Nova has a slice's host, in its aggregate, with room."""
    if provider_of(lab, name) is None or name not in zones(lab):
        return False
    known = scene.inventories(lab, name)
    return (
        zones(lab)[name][1] == [name]
        and 'VCPU' in known
        and not known['VCPU']['reserved']
    )


def is_removed(lab: Lab, name: str) -> bool:
    """Whether nothing of a slice is left in Nova, Placement or the lab."""
    return (
        services.find(lab.control, services.kept_name(name)) is None
        and service_of(lab, name) is None
        and provider_of(lab, name) is None
        and name not in zones(lab)
    )


def sizes(lab: Lab) -> list[int]:
    """How many PCs gold, silver and the new slice have."""
    return [len(pcs.pcs_of_slice(lab, name)) for name in (*SLICES, NEW)]


@pytest.fixture
def eight(lab: Lab) -> Iterator[None]:
    """As many PCs, two of them on each of four floors."""
    with contextlib.ExitStack() as undo:
        for _ in range(PCS - len(lab.layout.pcs())):
            undo.enter_context(pcs.added(lab))
        yield


@pytest.mark.usefixtures('eight')
def test_slices_come_are_drained_and_go_by_themselves_and_no_server_is_lost(
    lab: Lab, operator: Operator, figure: Figure
) -> None:
    with Bench(lab) as bench:
        kept = [
            bench.create(f'kept-{name}', hints={'p2pcs:slice': name})
            for name in SLICES
        ]
        on = {found: _pc_of(lab, bench, found) for found in kept}
        _come(lab, bench, operator, figure)
        # Live: another attribute, another cut, and the slice has servers.
        here = _land(lab, bench)
        operator.apply(TWO, 'cpu_score')
        _drain(lab, bench, operator, here)
        begun = time.monotonic()
        until(lambda: is_removed(lab, NEW), REMOVED_S)
        figure('slices: a closed one is removed', time.monotonic() - begun)
        assert sizes(lab) == [4, 4, 0]
        # It comes again: Nova has known a host of this name before.
        operator.apply(THREE, 'cpu_score')
        until(lambda: has_room(lab, NEW), 120.0)
        assert sizes(lab) == [2, 4, 2]
        again = bench.create('again', hints={'p2pcs:slice': NEW})
        assert _pc_of(lab, bench, again) in pcs.pcs_of_slice(lab, NEW)
        bench.delete(again)
        # One more is on its way there when the slice is to go.
        late = bench.create('late', hints={'p2pcs:slice': NEW})
        operator.put(BY_TIER)
        until(lambda: bench.show(late).status in ('ACTIVE', 'ERROR'), 180.0)
        bench.delete(late)
        until(lambda: is_removed(lab, NEW), REMOVED_S)
        for found in kept:
            assert _pc_of(lab, bench, found) == on[found]
            assert pcs.running_on(lab, found) == [on[found]]
        _audit(lab, operator)
    assert operator.publish() == 'all is as it should be\n'


def _come(lab: Lab, bench: Bench, operator: Operator, figure: Figure) -> None:
    """Three slices by rank; nobody tells Nova of them."""
    begun = time.monotonic()
    operator.apply(THREE, 'floor')
    figure('slices: the PCs have moved', time.monotonic() - begun)
    assert sizes(lab) == [2, 4, 2]
    until(lambda: has_room(lab, NEW), 120.0)
    figure('slices: a new host has room', time.monotonic() - begun)
    assert zones(lab) == {
        'gold': (None, ['gold']),
        'silver': (None, ['silver']),
        NEW: (ZONE, [NEW]),
    }
    until(lambda: TIER in traits_of(lab, NEW))
    until(lambda: 'CUSTOM_P2PCS_TIER_1' in traits_of(lab, 'gold'))
    assert 'HW_CPU_X86_SSE42' in traits_of(lab, NEW)


def _land(lab: Lab, bench: Bench) -> list[str]:
    """Servers in the new slice, by each way to say so."""
    there = pcs.pcs_of_slice(lab, NEW)
    with flavor(lab, 'test-tier', {f'trait:{TIER}': 'required'}) as tier:
        asked = [
            bench.create('by-slice', hints={'p2pcs:slice': NEW}),
            bench.create('by-tier', tier),
            bench.create('by-zone', availability_zone=ZONE),
        ]
        query = {'p2pcs:query': 'floor == 1 && cpu_score >= p(0)'}
        queried = bench.create('by-query', hints=query)
        for found in asked:
            assert _pc_of(lab, bench, found) in there
        assert _pc_of(lab, bench, queried) in ('pc1', 'pc2')
        bench.delete(queried, *asked[1:])
    server = bench.get(asked[0])
    wait_for_login(lab, server)
    # What the trait says of its processor is so.
    assert lab.ssh(server.address, 'grep', '-c', 'sse4_2', '/proc/cpuinfo')
    return asked[:1]


def _pc_of(lab: Lab, bench: Bench, found: str) -> str:
    """The PC that an ACTIVE server is on."""
    bench.wait(found)
    return pcs.where(lab, found)


def _drain(
    lab: Lab, bench: Bench, operator: Operator, here: list[str]
) -> None:
    """Servers in a slice outlive the policy that has it no more."""
    (found,) = here
    on = pcs.where(lab, found)
    until(lambda: f'{NEW}: draining' in operator.manage('policy', 'show'))
    until(lambda: service_of(lab, NEW).status == 'disabled')
    with pytest.raises(exceptions.BadRequestException, match='not available'):
        bench.create('too-late', availability_zone=ZONE)
    assert bench.show(found).status == 'ACTIVE'
    assert pcs.running_on(lab, found) == [on]
    assert pcs.pcs_of_slice(lab, NEW) == [on]

    bench.delete(found)
    until(lambda: f'{NEW}: closed' in operator.manage('policy', 'show'))
    until(lambda: on not in pcs.pcs_of_slice(lab, NEW))


def _audit(lab: Lab, operator: Operator) -> None:
    """Placement and Nova say the same of all servers."""
    operator.nova_manage('placement', 'audit', '--verbose')
    healed = operator.settings.venv('bin/nova-manage')
    command = f'{healed} --config-file={operator.nova_conf} placement '
    command += f'heal_allocations --dry-run; test $? = {NOTHING_TO_HEAL}'
    lab.inside(lab.control, 'sh', '-c', command)
