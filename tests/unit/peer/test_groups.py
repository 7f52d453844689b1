# SPDX-License-Identifier: Apache-2.0
"""What security groups let pass, as nftables is told."""

import msgspec
import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import filters, groups
from tests.support.one_peer import vif

IN, OUT = wire.Direction.INGRESS, wire.Direction.EGRESS
FROM_ONE = 'ether type ip6 ip6 saddr { ::1 }'


def lines(*rules: wire.Rule, direction: wire.Direction = IN) -> list[str]:
    """What these rules add."""
    port = msgspec.structs.replace(vif(), rules=rules)
    plain = groups.chain(vif(), direction)
    return [x for x in groups.chain(port, direction) if x not in plain]


@pytest.mark.parametrize(
    ('rule', 'line'),
    [
        (wire.Rule(IN, 4), 'ether type ip return'),
        (wire.Rule(IN, 6), 'ether type ip6 return'),
        (
            wire.Rule(IN, 4, remotes=('10.0.0.0/8', '10.1.2.3', '11.0.0.1')),
            'ether type ip ip saddr { 10.0.0.0/8, 11.0.0.1 } return',
        ),
        (
            wire.Rule(OUT, 6, remotes=('2001:DB8::/32',)),
            'ether type ip6 ip6 daddr { 2001:db8::/32 } return',
        ),
        (
            wire.Rule(IN, 6, groups.TCP, 22, 22, ('::1',)),
            f'{FROM_ONE} meta l4proto 6 th dport 22-22 return',
        ),
        (
            wire.Rule(OUT, 6, groups.UDP, 1, 65535),
            'ether type ip6 meta l4proto 17 th dport 1-65535 return',
        ),
        (
            wire.Rule(IN, 4, groups.ICMP),
            'ether type ip meta l4proto 1 return',
        ),
        (
            wire.Rule(IN, 4, groups.ICMP, 8, 0),
            'ether type ip meta l4proto 1 icmp type 8 icmp code 0 return',
        ),
        (
            wire.Rule(IN, 6, groups.ICMP6, 128),
            'ether type ip6 meta l4proto 58 icmpv6 type 128 return',
        ),
        (wire.Rule(IN, 4, 47), 'ether type ip meta l4proto 47 return'),
    ],
)
def test_rule_becomes_one_line(rule: wire.Rule, line: str) -> None:
    assert lines(rule, direction=rule.direction) == [line]
    other = OUT if rule.direction is IN else IN
    assert lines(rule, direction=other) == []


def test_group_without_members_lets_nobody_in() -> None:
    assert lines(wire.Rule(IN, 4, remotes=())) == []


@pytest.mark.parametrize('direction', list(wire.Direction))
def test_what_no_rule_allows_is_marked(direction: wire.Direction) -> None:
    for rules in ((), (wire.Rule(direction, 4),)):
        port = msgspec.structs.replace(vif(), rules=rules)
        last = groups.chain(port, direction)[-1]
        assert last == f'meta mark set {groups.MARK:#x}'


@pytest.mark.parametrize(
    'rule',
    [
        wire.Rule(IN, 4, remotes=('1.2.3.4 } accept; flush ruleset; #',)),
        wire.Rule(IN, 4, remotes=('',)),
        wire.Rule(IN, 4, remotes=('2001:db8::1',)),
        wire.Rule(IN, 6, remotes=('10.0.0.1',)),
        wire.Rule(IN, 4, groups.TCP, 23, 22),
        wire.Rule(IN, 4, groups.TCP, 22, None),
        wire.Rule(IN, 4, groups.TCP, None, 22),
        wire.Rule(IN, 4, None, 22, 22),
        wire.Rule(IN, 4, 47, 22, 22),
        wire.Rule(IN, 4, groups.ICMP, 256),
        wire.Rule(IN, 4, groups.ICMP, 8, 256),
        wire.Rule(IN, 4, groups.ICMP, None, 0),
    ],
)
def test_what_is_no_rule_is_refused(rule: wire.Rule) -> None:
    with pytest.raises(errors.Malformed):
        filters.render([msgspec.structs.replace(vif(), rules=(rule,))])


@pytest.mark.parametrize(
    'hostile',
    [
        {'direction': 'ingress; drop'},
        {'version': 5},
        {'protocol': 'tcp accept'},
        {'protocol': 256},
        {'port_min': '22 accept'},
        {'port_max': -1},
        {'remotes': ['10.0.0.1 }']},
        {'remotes': ['10.0.0.1\n']},
        {'remotes': 'any'},
    ],
)
def test_text_of_others_does_not_even_decode(hostile: object) -> None:
    rule = {'direction': 'ingress', 'version': 4}
    assert isinstance(hostile, dict)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(rule | hostile, wire.Rule)
