# SPDX-License-Identifier: Apache-2.0
"""What the guard tells PCs and frees, round by round."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent import futures
from typing import cast

import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.client import local
from p2pcs_nova.virt import guard, view
from tests.support import fake_overlay, one_peer

SSH = wire.Rule(wire.Direction.INGRESS, 4, 6, 22, 22)
PLACEHOLDER = '00000000-0000-4000-8000-00000000abcd'


class Office:
    """A slice of one PC, and a Neutron that a test writes itself."""

    def __init__(self) -> None:
        self.pc = fake_overlay.FakePc(
            'pc1', 'gold', wire.Capacity(8, 8192, 8192)
        )
        self.overlay = fake_overlay.FakeOverlay([self.pc])
        self.neutron = wire.SlicePorts()
        self.released: list[str] = []
        self.pool = futures.ThreadPoolExecutor(2)
        self.restart()

    def restart(self) -> None:
        """A new process knows nothing."""
        self.view = view.View()
        self.guard = guard.Guard(
            self.client,
            'gold',
            self.view,
            lambda: self.neutron,
            self.released.append,
        )

    @property
    def client(self) -> local.LocalClient:
        return cast(local.LocalClient, self.overlay.client())

    def build(self) -> wire.InstanceSpec:
        """An instance on the PC; its port has no rules yet."""
        spec = one_peer.spec_of(one_peer.image_of(b'an image'))
        self.overlay.images[spec.image.digest] = b''
        claim = wire.Claim(spec.instance, spec.need)
        request = wire.SpawnRequest(claim, spec)
        self.client.spawn('gold', request, 1.0)
        self.say(spec)
        return spec

    def say(self, spec: wire.InstanceSpec, *rules: wire.Rule) -> None:
        """What Neutron says from now on."""
        port = wire.SlicePort(
            spec.vifs[0].port, spec.instance, groups=('group',)
        )
        self.neutron = wire.SlicePorts((port,), {'group': rules})

    def delete(self, spec: wire.InstanceSpec) -> None:
        """Nova deletes a server of a PC that is out of reach."""
        self.client.destroy('gold', spec.instance)
        held = wire.HeldAddresses(PLACEHOLDER, spec.instance)
        self.neutron = wire.SlicePorts(held=(held,))

    def look(self) -> int:
        """One round; how many PCs were told something."""
        placements = self.client.placements('gold')
        summary = self.client.slice('gold')
        now = time.monotonic()
        self.view.take(self.view.mark(), summary, placements, now)
        before = self.overlay.requests.count('filter')
        self.guard.look(self.pool)
        return self.overlay.requests.count('filter') - before

    def rules(self, spec: wire.InstanceSpec) -> tuple[wire.Rule, ...]:
        """What the PC filters by."""
        [port] = self.overlay.filters[spec.instance]
        return port.rules


@pytest.fixture
def office() -> Iterator[Office]:
    found = Office()
    yield found
    found.pool.shutdown()


def test_pc_is_told_once_and_again_when_rules_change(office: Office) -> None:
    spec = office.build()
    assert office.look() == 1
    assert office.look() == 0
    office.say(spec, SSH)
    assert office.look() == 1
    assert office.rules(spec) == (SSH,)
    office.say(spec)
    assert office.look() == 1
    assert office.rules(spec) == ()


def test_after_a_restart_everything_is_told_once_more(office: Office) -> None:
    spec = office.build()
    office.look()
    office.say(spec, SSH)
    office.restart()
    assert office.look() == 1
    assert office.rules(spec) == (SSH,)
    assert office.look() == 0


def test_guest_whose_port_was_deleted_is_shut_in(office: Office) -> None:
    spec = office.build()
    office.say(spec, SSH)
    office.look()
    office.neutron = wire.SlicePorts()
    assert office.look() == 1
    assert office.overlay.filters[spec.instance] == ()
    assert office.look() == 0


def test_instance_that_was_built_anew_is_told_again(office: Office) -> None:
    spec = office.build()
    office.look()
    office.client.destroy('gold', spec.instance)
    claim = wire.Claim(spec.instance, spec.need)
    office.client.spawn('gold', wire.SpawnRequest(claim, spec), 1.0)
    assert office.look() == 1
    assert office.look() == 0


def test_pc_out_of_reach_is_told_when_it_is_back(office: Office) -> None:
    spec = office.build()
    office.look()
    office.pc.reachable = False
    office.say(spec, SSH)
    assert office.look() == 0
    office.pc.reachable = True
    assert office.look() == 1
    assert office.rules(spec) == (SSH,)


@pytest.mark.parametrize(
    'error',
    [errors.Unreachable('silence'), errors.WrongState('it is being built')],
)
def test_pc_that_refuses_is_told_again(
    office: Office, error: errors.P2PcsError
) -> None:
    spec = office.build()
    office.say(spec, SSH)
    office.overlay.fail['filter'] = error
    assert office.look() == 1
    del office.overlay.fail['filter']
    assert office.look() == 1
    assert office.rules(spec) == (SSH,)


def test_addresses_are_held_until_the_pc_has_destroyed(
    office: Office,
) -> None:
    spec = office.build()
    office.pc.reachable = False
    office.delete(spec)
    office.look()
    assert office.released == []
    # A new process knows it from Neutron and the gateway.
    office.restart()
    office.look()
    assert office.released == []
    office.pc.reachable = True
    office.look()
    assert office.released == [PLACEHOLDER]


def test_addresses_of_what_the_gateway_still_has_are_not_freed(
    office: Office,
) -> None:
    spec = office.build()
    held = wire.HeldAddresses(PLACEHOLDER, spec.instance)
    office.neutron = wire.SlicePorts(held=(held,))
    office.look()
    assert office.released == []


def test_without_the_gateways_word_nothing_is_freed(office: Office) -> None:
    spec = office.build()
    office.delete(spec)
    office.overlay.fail['graves'] = errors.Unavailable('nobody')
    with pytest.raises(errors.Unavailable):
        office.look()
    assert office.released == []
