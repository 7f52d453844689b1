# SPDX-License-Identifier: Apache-2.0
"""Slices change while servers run: one comes, is drained, and goes."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import pytest
from openstack import exceptions

from devstack.lab import (
    overlay,
    passwords,
    schemas,
    services,
)
from devstack.lab.settings import Settings
from p2pcs_nova.hosts import plan
from tests.conftest import Figure
from tests.support import pcs, scene
from tests.support.lab import Lab
from tests.support.servers import Bench
from tests.support.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.slow]

NEW = 'bronze'
ZONE = 'annex'
NOTHING_TO_HEAL = 4
"""Exit code of nova-manage."""
TWO = """\
version: 3
slices:
- {name: gold, match: {tier: gold}}
- {name: silver, match: {tier: silver}}
"""
THREE = f"""\
version: 2
sites:
- name: first
  match: {{tier: gold}}
  slices: [{{name: gold, share: 100%}}]
- name: second
  match: {{tier: silver}}
  rank: speed
  slices:
  - {{name: silver, share: 50%}}
  - {{name: {NEW}, share: rest, zone: {ZONE}}}
"""


class Operator:
    """What he types on the control plane."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.settings = Settings(
            lab.layout, passwords.load(lab.layout.passwords)
        )

    def manage(self, *words: str) -> str:
        return overlay.manage(self.lab.layout, self.lab.control, *words)

    def apply(self, text: str) -> None:
        path = self.lab.layout.lab / 'policy.yaml'
        path.write_text(text)
        authority = str(self.lab.layout.control / 'ca')
        self.manage('policy', 'apply', '--ca-dir', authority, str(path))

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


def has_room(lab: Lab, name: str) -> bool:
    if not list(lab.admin.placement.resource_providers(name=name)):
        return False
    known = scene.inventories(lab, name)
    return 'VCPU' in known and not known['VCPU']['reserved']


def is_retired(lab: Lab, operator: Operator, name: str) -> bool:
    """Whether Nova knows a host no more, and nobody brings it back."""
    operator.publish()
    process = services.find(lab.control, services.kept_name(name))
    return process is None and service_of(lab, name) is None


def test_a_slice_comes_is_drained_and_goes_and_no_server_is_lost(
    lab: Lab, operator: Operator, figure: Figure
) -> None:
    begun = time.monotonic()
    operator.apply(THREE)
    until(lambda: len(pcs.pcs_of_slice(lab, NEW)) == 1, 60.0)
    figure('slices: a PC in a new slice', time.monotonic() - begun)
    until(lambda: service_of(lab, NEW), 120.0)
    operator.nova_manage('cell_v2', 'discover_hosts', '--by-service')
    assert f"name='{plan.PREFIX}{NEW}'" in operator.publish()
    until(lambda: has_room(lab, NEW), 60.0)
    figure('slices: a new host has room', time.monotonic() - begun)
    with Bench(lab) as bench:
        _drain(lab, bench, operator)
    until(lambda: is_retired(lab, operator, NEW), 120.0)
    names = [one.name for one in lab.admin.compute.aggregates()]
    assert f'{plan.PREFIX}{NEW}' not in names
    assert f'{plan.PREFIX}gold' in names
    assert operator.publish() == ''
    operator.nova_manage('placement', 'audit', '--verbose')
    healed = operator.settings.venv('bin/nova-manage')
    command = f'{healed} --config-file={operator.nova_conf} placement '
    command += f'heal_allocations --dry-run; test $? = {NOTHING_TO_HEAL}'
    lab.inside(lab.control, 'sh', '-c', command)


def _drain(lab: Lab, bench: Bench, operator: Operator) -> None:
    """A server in the new slice outlives the policy that has it no more."""
    here = bench.create('in-the-annex', availability_zone=ZONE)
    shown = bench.wait(here)
    assert shown.availability_zone == ZONE
    (on,) = pcs.pcs_of_slice(lab, NEW)
    assert pcs.where(lab, here) == on

    operator.apply(TWO)
    until(lambda: f'{NEW}: draining' in operator.manage('policy', 'show'))
    operator.publish()
    assert service_of(lab, NEW).status == 'disabled'
    with pytest.raises(exceptions.BadRequestException, match='not available'):
        bench.create('too-late', availability_zone=ZONE)
    assert bench.show(here).status == 'ACTIVE'
    assert pcs.running_on(lab, here) == [on]
    assert pcs.pcs_of_slice(lab, NEW) == [on]

    bench.delete(here)
    until(lambda: f'{NEW}: closed' in operator.manage('policy', 'show'))
    until(lambda: on in pcs.pcs_of_slice(lab, 'silver'))
