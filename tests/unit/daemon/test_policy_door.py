# SPDX-License-Identifier: Apache-2.0
"""What a daemon looks at before a policy may follow the one in force."""

from __future__ import annotations

import itertools
import types
from collections.abc import Sequence
from typing import Any

import pytest
import trio

from p2pcs_nova import wire
from p2pcs_nova.daemon import policy_door
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.in_force import InForce

pytestmark = pytest.mark.trio

TEXT = 'version: {}\nslices: [{{name: gold, match: {{}}, zone: {}}}]'
ONE = wire.Capacity(1, 1, 1)


def pc(used: wire.Capacity) -> wire.PeerRecord:
    return wire.PeerRecord('pc1', wire.Offer(ONE), {}, used, 'gold')


def daemon(
    *records: wire.PeerRecord, off: Sequence[wire.PeerRecord] = ()
) -> Any:
    """A daemon's station, as far as a plan looks at it."""
    policy = reading.read_policy(TEXT.format(1, 'it'), 'policy')
    last = {
        f'{number:032x}': one for number, one in enumerate((*records, *off))
    }
    known = dict(itertools.islice(last.items(), len(records)))
    return types.SimpleNamespace(
        policies=types.SimpleNamespace(in_force=InForce(policy=policy)),
        net=types.SimpleNamespace(
            peer_records=lambda: known, last_records=lambda: last
        ),
    )


def books(*slices: str) -> Any:
    """A role by whose books these hold instances."""

    async def occupied() -> frozenset[str]:
        await trio.lowlevel.checkpoint()
        return frozenset(slices)

    return types.SimpleNamespace(occupied=occupied)


@pytest.mark.parametrize(
    ('station', 'role', 'refused'),
    [
        (daemon(pc(wire.Capacity())), books(), False),
        (daemon(), books('gold'), True),
        (daemon(pc(ONE)), books(), True),
    ],
    ids=['by nobody', 'by the books', 'by the word of a PC'],
)
async def test_zone_of_an_occupied_slice_stays(
    station: Any, role: Any, refused: bool
) -> None:
    policy = reading.read_policy(TEXT.format(2, 'eu'), 'policy')
    found = await policy_door.plan(station, role, policy)
    assert any('holds instances' in one for one in found.faults) is refused


async def test_pc_that_is_off_is_left_out_by_no_policy_and_moves_not() -> None:
    text = 'version: 2\nslices: [{name: gold, match: {site: rome}}]'
    policy = reading.read_policy(text, 'policy')
    station = daemon(off=[pc(wire.Capacity())])
    found = await policy_door.plan(station, books(), policy)
    (fault,) = found.faults
    assert 'pc1' in fault
    assert 'is left out' in fault
    assert found.moves == ()
