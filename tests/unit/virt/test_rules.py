# SPDX-License-Identifier: Apache-2.0
"""From Neutron's word on a slice to what its PCs are told."""

from __future__ import annotations

from p2pcs_nova import wire
from p2pcs_nova.virt import rules
from tests.support import one_peer

SSH = wire.Rule(wire.Direction.INGRESS, 4, 6, 22, 22)
OUT = wire.Rule(wire.Direction.EGRESS, 4)
SPEC = one_peer.spec_of(one_peer.image_of(b'an image'), vifs=2)
FIRST, SECOND = (vif.port for vif in SPEC.vifs)


def port(name: str, *groups: str, secured: bool = True) -> wire.SlicePort:
    return wire.SlicePort(
        name, SPEC.instance, ('198.19.0.7',), secured, groups
    )


def test_port_has_the_rules_of_all_its_groups_once() -> None:
    known = wire.SlicePorts(
        (port(FIRST, 'a', 'b'),), {'a': (SSH, OUT), 'b': (OUT,)}
    )
    [found] = rules.port_filters(known)[SPEC.instance]
    assert len(found.rules) == 2
    assert set(found.rules) == {SSH, OUT}


def test_order_of_the_answer_does_not_matter() -> None:
    one, two = port(FIRST, 'a', 'b'), port(SECOND)
    known = wire.SlicePorts((one, two), {'a': (SSH, OUT), 'b': ()})
    again = wire.SlicePorts((two, one), {'b': (), 'a': (OUT, SSH)})
    assert rules.port_filters(known) == rules.port_filters(again)


def test_port_without_security_has_no_rules() -> None:
    known = wire.SlicePorts((port(FIRST, 'a', secured=False),), {'a': (SSH,)})
    [found] = rules.port_filters(known)[SPEC.instance]
    assert not found.secured
    assert found.rules == ()


def test_port_that_neutron_does_not_name_stays_shut() -> None:
    spec = rules.filtered(
        SPEC, (wire.PortFilter(FIRST, ('198.19.0.7',), rules=(SSH,)),)
    )
    first, second = spec.vifs
    assert first.rules == (SSH,)
    assert first.ips == ('198.19.0.7',)
    assert second == SPEC.vifs[1]
    assert second.secured
    assert second.rules == ()
