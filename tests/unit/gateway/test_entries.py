# SPDX-License-Identifier: Apache-2.0
"""What is found beside the rows and graves is what a look at all finds."""

from __future__ import annotations

import dataclasses
import pathlib
import uuid
from collections.abc import Iterable, Iterator, Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from p2pcs_nova import wire
from p2pcs_nova.gateway import entries, indexed, store
from p2pcs_nova.gateway import service as services
from p2pcs_nova.gateway import view as views
from p2pcs_nova.gateway.holdings import Holding
from tests.support import fake_pcs, gateways, ledger_contract
from tests.support.small_office import ROOM_FOR_3, SMALL

PCS = ('a' * 32, 'b' * 32, 'c' * 32)
SLICES = ('gold', 'silver')
GROUPS = tuple(
    wire.ServerGroup(
        str(uuid.UUID(int=number)), wire.GroupPolicy.ANTI_AFFINITY
    )
    for number in range(2)
)
ROW = ledger_contract.row(wire.Counter(1, 1))
INSTANCES = tuple(str(uuid.UUID(int=number)) for number in range(6))

rows = st.builds(
    lambda instance, peer, slice_, group, vcpus: dataclasses.replace(
        ROW,
        instance=instance,
        peer=peer,
        slice=slice_,
        spec=msgspec.structs.replace(
            ROW.spec, group=group, need=wire.Capacity(vcpus, 2, 3)
        ),
    ),
    st.sampled_from(INSTANCES),
    st.sampled_from(PCS),
    st.sampled_from(SLICES),
    st.sampled_from((None, *GROUPS)),
    st.integers(1, 9),
)
graves = st.builds(
    lambda instance, n, peer, slice_: store.Grave(
        instance, wire.Counter(1, n), peer, 'pc', slice_
    ),
    st.sampled_from(INSTANCES),
    st.integers(1, 2),
    st.sampled_from(PCS),
    st.sampled_from(SLICES),
)


def summed(found: Iterable[store.InstanceRow]) -> Mapping[str, Holding]:
    """What the PCs hold; the latest row says of which slice they are."""
    held: dict[str, Holding] = {}
    for row in found:
        old = held.get(row.peer, Holding('', wire.Capacity(), 0))
        held[row.peer] = Holding(
            row.slice, old.need + row.spec.need, old.count + 1
        )
    return held


@given(st.lists(st.one_of(rows, st.sampled_from(INSTANCES)), max_size=30))
def test_rows_are_found_by_slice_pc_and_group(
    steps: list[store.InstanceRow | str],
) -> None:
    """Each is written, or the one of this instance goes."""
    kept, known = entries.Rows(), dict[str, store.InstanceRow]()
    for step in steps:
        instance = step if isinstance(step, str) else step.instance
        known.pop(instance, None)
        if isinstance(step, str):
            kept.pop(instance, None)
        else:
            kept[instance] = known[instance] = step
        found = list(known.values())
        assert kept == known
        for slice_ in SLICES:
            assert kept.of_slice(slice_) == [
                row for row in found if row.slice == slice_
            ]
            assert set(kept.holdings.bound_to(slice_)) == {
                peer
                for peer, one in summed(found).items()
                if one.slice == slice_
            }
        for peer in PCS:
            assert kept.on(peer) == [row for row in found if row.peer == peer]
        for group in GROUPS:
            assert kept.of_group(group) == [
                row for row in found if row.spec.group == group
            ]
        assert kept.of_group(None) == []
        assert kept.holdings == summed(found)


@given(st.lists(st.tuples(graves, st.booleans()), max_size=30))
def test_graves_are_found_by_slice_pc_and_instance(
    steps: list[tuple[store.Grave, bool]],
) -> None:
    """Each is written, or goes if it is there."""
    kept = entries.Graves()
    known: dict[tuple[str, wire.Counter], store.Grave] = {}
    for grave, is_there in steps:
        key = grave.instance, grave.epoch
        known.pop(key, None)
        if is_there:
            kept[key] = known[key] = grave
        else:
            kept.pop(key, None)
        found = list(known.values())
        assert kept == known
        for slice_ in SLICES:
            assert kept.of_slice(slice_) == [
                one for one in found if one.slice == slice_
            ]
        for instance in INSTANCES:
            assert kept.of_instance(instance) == [
                one for one in found if one.instance == instance
            ]
        for peer in PCS:
            assert kept.on(peer) == [one for one in found if one.peer == peer]
        assert set(kept.peers()) == {one.peer for one in found}


def refuse(self: object) -> Iterator[object]:
    raise AssertionError('a request looks at all there is')


async def do_all(
    service: services.GatewayService, office: fake_pcs.Office, number: int
) -> None:
    """What is asked of a gateway, and told to it, all the time."""
    request = fake_pcs.spawn_request(number, SMALL, group=GROUPS[0])
    placed = await service.instances.spawn('gold', request)
    instance, pc = placed.status.instance, office.pcs[placed.peer]
    office.tell_records(service, pc)
    for liveness in (views.Liveness.FAILED, views.Liveness.ALIVE):
        office.tell_liveness(service, pc, liveness)
    await gateways.command_all(service)
    await service.wait_placements('gold', 0, 1.0)
    service.slices()
    await service.instances.look('gold', instance, '', fresh=True)
    service.instances.graves.listed(instance)
    await service.instances.destroy('gold', instance, '')


@pytest.mark.trio
async def test_what_is_asked_all_the_time_is_no_look_at_all_instances(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    office = fake_pcs.Office(
        *(
            fake_pcs.FakePc(number, ROOM_FOR_3, slice_=slice_)
            for number, slice_ in enumerate(SLICES)
        )
    )
    policy = ', '.join(
        f'{{name: {slice_}, match: {{tier: {slice_}}}}}' for slice_ in SLICES
    )
    async with gateways.running(
        tmp_path, office, policy=f'slices: [{policy}]'
    ) as service:
        await service.instances.spawn(
            'silver', fake_pcs.spawn_request(1, SMALL)
        )
        monkeypatch.setattr(indexed.Indexed, '__iter__', refuse)
        await do_all(service, office, 2)
        monkeypatch.undo()
        monkeypatch.setattr(entries.Rows, '__iter__', refuse)
        fits = await service.fits(wire.FitRequest(SMALL, group=GROUPS[0]), '')
    assert [one.slots for one in fits.slices] == [1, 1]
