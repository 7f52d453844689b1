# SPDX-License-Identifier: Apache-2.0
"""From Neutron's word on a slice to what its PCs are told."""

from __future__ import annotations

import msgspec

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


def test_what_no_pc_would_take_for_its_length_is_cut() -> None:
    groups = {
        str(number): tuple(
            wire.Rule(
                wire.Direction.INGRESS,
                4,
                protocol=6,
                port_min=700 * number + port,
                port_max=700 * number + port,
            )
            for port in range(700)
        )
        for number in (1, 2)
    }
    port = wire.SlicePort(
        '6b1a6f0e-0b3c-4c87-9f3a-2f1d3f0a9f10', 'a', groups=('1', '2')
    )
    [told] = rules.port_filters(wire.SlicePorts((port,), groups))['a']
    request = wire.FilterRequest((told,))
    sent = msgspec.json.encode(request)
    assert msgspec.json.decode(sent, type=wire.FilterRequest) == request
