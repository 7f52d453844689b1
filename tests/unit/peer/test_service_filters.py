# SPDX-License-Identifier: Apache-2.0
"""Rules that change while an instance is here."""

import msgspec
import pytest

from p2pcs_nova import errors, wire
from tests.support import one_peer
from tests.support.one_peer import GOLD
from tests.unit.peer.conftest import CONTENT, Pc

pytestmark = pytest.mark.trio

IMAGE = one_peer.image_of(CONTENT)
SSH = wire.Rule(wire.Direction.INGRESS, 4, 6, 22, 22)


def with_rules(
    spec: wire.InstanceSpec, *rules: wire.Rule, secured: bool = True
) -> wire.PortFilter:
    """What may pass at an instance's one port."""
    [vif] = spec.vifs
    return wire.PortFilter(vif.port, vif.ips, secured, rules)


async def test_rules_come_at_once_and_outlive_the_daemon(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    [vif] = spec.vifs
    new = with_rules(spec, SSH)
    async with pc.run() as peer:
        await peer.place(spec)
        assert pc.table.vifs == [vif]
        await peer.filter(spec, new)
        assert pc.table.vifs == [vif.with_filter(new)]
    # As after a power cut.
    pc.table.vifs = []
    async with pc.run() as peer:
        assert pc.table.vifs == [vif.with_filter(new)]
        await peer.act(spec, wire.Action.START)
        assert pc.table.vifs == [vif.with_filter(new)]


async def test_at_a_port_that_is_not_named_nothing_passes(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE, vifs=2)
    first, second = spec.vifs
    named = wire.PortFilter(first.port, secured=False)
    shut = wire.PortFilter(second.port)
    async with pc.run() as peer:
        await peer.place(spec)
        await peer.filter(spec, named)
        assert second.ips
        assert pc.table.vifs == [
            first.with_filter(named),
            second.with_filter(shut),
        ]


async def test_rule_that_is_none_changes_nothing(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    wrong = msgspec.structs.replace(SSH, port_min=23)
    async with pc.run() as peer:
        await peer.place(spec)
        with pytest.raises(errors.Malformed):
            await peer.filter(spec, with_rules(spec, wrong))
        assert pc.table.vifs == list(spec.vifs)
    async with pc.run():
        assert pc.table.vifs == list(spec.vifs)


async def test_only_the_slice_and_the_epoch_that_is_here_are_obeyed(
    pc: Pc,
) -> None:
    spec = one_peer.spec_of(IMAGE)
    silver = wire.Command('silver', wire.Counter(1, 1))
    async with pc.run() as peer:
        request = wire.FilterRequest((with_rules(spec, SSH),))
        with pytest.raises(errors.NotFound):
            await peer.orders.filter(GOLD, spec.instance, request)
        await peer.place(spec)
        for command, error in (
            (silver, errors.OtherSlice),
            (GOLD, errors.StaleEpoch),
        ):
            with pytest.raises(error):
                await peer.orders.filter(command, spec.instance, request)
        assert pc.table.vifs == list(spec.vifs)


async def test_nftables_that_refused_are_told_again(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    [vif] = spec.vifs
    new = with_rules(spec, SSH)
    async with pc.run() as peer:
        await peer.place(spec)
        pc.table.failing = True
        with pytest.raises(errors.HypervisorFailed):
            await peer.filter(spec, new)
        pc.table.failing = False
        await peer.filter(spec, new)
        assert pc.table.vifs == [vif.with_filter(new)]


async def test_failed_build_has_no_rules_to_change(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    pc.hypervisor.failing_at['start_paused'] = errors.NoSpace('no memory')
    async with pc.run() as peer:
        with pytest.raises(errors.NoSpace):
            await peer.place(spec)
        with pytest.raises(errors.WrongState):
            await peer.filter(spec, with_rules(spec, SSH))
        assert pc.table.vifs == []
