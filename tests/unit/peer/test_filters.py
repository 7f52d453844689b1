# SPDX-License-Identifier: Apache-2.0
"""What nftables is told of a port."""

import ipaddress
import threading
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import pytest
import trio
import trio.testing

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import filters, ip_sets, networks, spoofing
from tests.support.one_peer import FilterTable, vif

WAIT_S = 5.0


def test_table_is_replaced_as_a_whole_whatever_the_order() -> None:
    one, two = vif(1), vif(2)
    text = filters.render([one, two])
    assert text == filters.render([two, one])
    assert text.index('delete table bridge p2pcs') < text.index('chain')


def test_no_ports_make_an_empty_table() -> None:
    assert 'drop' not in filters.render([])


def test_guest_sends_only_with_its_own_addresses() -> None:
    port = msgspec.structs.replace(
        vif(), ips=('198.19.0.1', '10.1.0.0/16', '2001:db8::1')
    )
    text = filters.render([port])
    assert f'ether saddr != {port.mac} drop' in text
    assert 'ip saddr { 10.1.0.0/16, 198.19.0.1 } accept' in text
    assert 'ip6 saddr { 2001:db8::1, fe80::f816:3eff:fe00:1 } accept' in text


def test_port_without_security_sends_and_receives_what_it_likes() -> None:
    port = msgspec.structs.replace(vif(), secured=False)
    text = filters.render([port])
    assert 'saddr' not in text
    assert 'mark' not in text
    # Its PC is not its to reach all the same.
    tap = networks.tap_name(port.port)
    assert f'iifname "{tap}" drop' in text
    assert f'oifname "{tap}" drop' in text


def test_rules_are_what_is_said_and_else_none() -> None:
    one, two = vif(1), vif(2)
    said = wire.PortFilter(one.port, ips=('10.0.0.1',), secured=False)
    changed, shut = filters.with_rules([one, two], [said])
    assert (changed.ips, changed.secured) == (('10.0.0.1',), False)
    assert changed.mac == one.mac
    assert shut == two.with_filter(wire.PortFilter(two.port))
    assert (shut.ips, shut.secured, shut.rules) == ((), True, ())


def test_port_without_address_sends_no_ip() -> None:
    port = msgspec.structs.replace(vif(), ips=())
    assert 'ip saddr {' not in filters.render([port]).replace('arp ', '')


def test_overlapping_addresses_are_merged() -> None:
    port = msgspec.structs.replace(vif(), ips=('10.1.0.0/16', '10.1.2.3'))
    assert 'ip saddr { 10.1.0.0/16 } accept' in filters.render([port])


@pytest.mark.parametrize(
    'ip', ['', 'x', '1.2.3', '1.2.3.4 } accept; drop {', '::g', '1.2.3.4/33']
)
def test_what_is_no_address_is_refused(ip: str) -> None:
    with pytest.raises(errors.Malformed):
        filters.render([msgspec.structs.replace(vif(), ips=(ip,))])


def test_link_local_address_of_a_mac() -> None:
    assert spoofing.link_local('00:11:22:33:44:55') == (
        ipaddress.IPv6Address('fe80::211:22ff:fe33:4455')
    )


@pytest.mark.trio
async def test_ports_of_instances_are_set_and_cleared() -> None:
    table = FilterTable()
    ports = filters.Filters(table.apply)
    one, two, three = vif(1), vif(2), vif(3)
    await ports.restore({'a': (one,)})
    await ports.set('b', (two, three))
    assert set(table.vifs) == {one, two, three}
    await ports.clear('a')
    assert set(table.vifs) == {two, three}
    await ports.clear('a')
    assert set(table.vifs) == {two, three}


@pytest.mark.trio
async def test_flushed_tables_are_made_again_if_there_are_ports() -> None:
    table = FilterTable()
    ports = filters.Filters(table.apply)
    await ports.restore({})
    await ports.renew()
    assert table.times == 1
    one = vif()
    await ports.set('a', (one,))
    table.vifs = []
    await ports.renew()
    assert table.vifs == [one]


@pytest.mark.trio
async def test_refused_change_is_not_remembered() -> None:
    seen: list[list[wire.Vif]] = []

    async def apply(vifs: Iterable[wire.Vif]) -> None:
        seen.append(list(vifs))
        if len(seen) == 2:
            raise errors.HypervisorFailed('no')

    ports = filters.Filters(apply)
    one, two = vif(1), vif(2)
    await ports.restore({})
    with pytest.raises(errors.HypervisorFailed):
        await ports.set('a', (one,))
    await ports.set('b', (two,))
    assert seen == [[], [one], [two]]


@pytest.mark.trio
async def test_one_guest_s_filters_are_not_set_without_all_others() -> None:
    table = FilterTable()
    ports = filters.Filters(table.apply)
    with pytest.raises(errors.HypervisorBusy):
        await ports.set('a', (vif(),))
    with pytest.raises(errors.HypervisorBusy):
        await ports.clear('a')
    assert table.times == 0


@pytest.mark.trio
async def test_missing_nft_is_an_error_of_this_pc() -> None:
    with pytest.raises(errors.HypervisorFailed, match='nft'):
        await filters.apply([], nft=('/nowhere/nft',))


@pytest.mark.trio
@pytest.mark.parametrize('what', [filters.check, filters.apply])
async def test_long_rules_do_not_make_the_pc_deaf(
    what: Callable[[Iterable[wire.Vif]], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others_go_on = threading.Event()

    def render(vifs: Iterable[wire.Vif]) -> str:
        assert others_go_on.wait(WAIT_S)
        return ''

    monkeypatch.setattr(filters, 'render', render)
    nft = ('sh', '-c', 'cat')
    monkeypatch.setattr(filters.apply, '__defaults__', (nft,))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(what, ())
        await trio.testing.wait_all_tasks_blocked()
        others_go_on.set()


def test_set_that_many_rules_name_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remotes = tuple(f'10.9.0.{n}' for n in range(10))
    rules = tuple(
        wire.Rule(wire.Direction.INGRESS, 4, 6, port, port, remotes)
        for port in range(50)
    )
    times = []
    parse = ip_sets.parse

    def count(
        whose: str, ips: Iterable[str]
    ) -> tuple[list[ipaddress.IPv4Network], list[ipaddress.IPv6Network]]:
        times.append(whose)
        return parse(whose, ips)

    monkeypatch.setattr(ip_sets, 'parse', count)
    text = filters.render([msgspec.structs.replace(vif(), rules=rules)])
    assert text.count('10.9.0.0/29') == len(rules)
    assert len(times) == 2
