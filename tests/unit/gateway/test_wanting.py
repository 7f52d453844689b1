# SPDX-License-Identifier: Apache-2.0
"""No server is placed beyond what its user wishes."""

from __future__ import annotations

import pathlib

import pytest
from trio.testing import MockClock

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import view as views
from tests.support import fake_pcs, gateways
from tests.support.small_office import ROOM_FOR_3, SMALL

pytestmark = pytest.mark.trio

TWO_SLICES = """\
slices:
- {name: all, match: {site: [rome, milan]}}
- {name: other, match: {}}
"""


def office() -> fake_pcs.Office:
    """Three PCs in slice all, one in another."""
    said: list[wire.Attributes] = [
        {'site': 'rome', 'owner': 'anna', 'score': 1},
        {'site': 'rome', 'owner': 'bruno', 'score': 2},
        {'site': 'milan', 'owner': 'anna', 'score': 3},
        {'site': 'oslo', 'owner': 'bruno', 'score': 9},
    ]
    return fake_pcs.Office(
        *(
            fake_pcs.FakePc(
                number,
                ROOM_FOR_3,
                attributes=one,
                slice_='other' if one['site'] == 'oslo' else 'all',
            )
            for number, one in enumerate(said, 1)
        )
    )


def request(number: int, **wishes: str) -> wire.SpawnRequest:
    return fake_pcs.spawn_request(number, SMALL, wishes=wire.Wishes(**wishes))


@pytest.mark.parametrize(
    ('wishes', 'name'),
    [
        ({'query': "site == 'milan'"}, 'pc3'),
        ({'query': 'score < p(25)'}, 'pc1'),
        ({'query': "site == 'rome'", 'not_owner': 'anna'}, 'pc2'),
        ({'not_owner': 'anna', 'slice': 'all'}, 'pc2'),
        ({'query': "site == 'rome'", 'hint_query': 'score > p(10)'}, 'pc2'),
        (
            {'query': "owner == 'anna'", 'hint_query': "site == 'rome'"},
            'pc1',
        ),
        ({'query': 'score < p(50)', 'hint_not_owner': 'anna'}, 'pc2'),
    ],
)
async def test_server_goes_where_its_user_wishes_and_nowhere_else(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
    wishes: dict[str, str],
    name: str,
) -> None:
    pcs = office()
    async with gateways.running(tmp_path, pcs, policy=TWO_SLICES) as service:
        for number in range(3):
            placed = await service.instances.spawn(
                'all', request(number, **wishes)
            )
            assert placed.peer_name == name
        with pytest.raises(errors.NoPeerFits):
            await service.instances.spawn('all', request(3, **wishes))
    asked = {pc.name for pc in pcs.pcs.values() if pc.calls}
    assert asked == {name}


async def test_refusal_counts_who_is_not_wished(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office()
    pcs.pcs[f'{3:032x}'].draining = True
    async with gateways.running(tmp_path, pcs, policy=TWO_SLICES) as service:
        with pytest.raises(errors.NoPeerFits) as caught:
            await service.instances.spawn(
                'all', request(0, query="site == 'milan'", not_owner='bruno')
            )
    assert caught.value.message == (
        '3 PCs: 1 draining, 1 not matching the query, 1 of that owner'
    )


async def test_servers_of_two_owners_are_avoided(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with gateways.running(
        tmp_path, office(), policy=TWO_SLICES
    ) as service:
        with pytest.raises(errors.NoPeerFits, match='3 of that owner'):
            await service.instances.spawn(
                'all', request(0, not_owner='anna', hint_not_owner='bruno')
            )


async def test_best_of_all_slices_are_not_the_best_of_one(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with gateways.running(
        tmp_path, office(), policy=TWO_SLICES
    ) as service:
        with pytest.raises(errors.NoPeerFits, match='3 not matching'):
            await service.instances.spawn(
                'all', request(0, query='score >= p(90)')
            )
        placed = await service.instances.spawn(
            'other', request(0, query='score >= p(90)')
        )
    assert placed.peer_name == 'pc4'


async def test_server_for_another_slice_is_not_built_in_this_one(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with gateways.running(
        tmp_path, office(), policy=TWO_SLICES
    ) as service:
        with pytest.raises(errors.NoPeerFits, match='3 of another slice'):
            await service.instances.spawn('all', request(0, slice='other'))


async def test_pc_that_is_off_has_its_rank_and_one_put_out_has_none(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    pcs = office()
    best = pcs.pcs[f'{4:032x}']
    request_ = request(0, query='score >= p(90)')
    async with gateways.running(tmp_path, pcs, policy=TWO_SLICES) as service:
        service.peer_changed(
            views.PeerSeen(best.id, 'peer', '', 0, views.Liveness.FAILED)
        )
        with pytest.raises(errors.NoPeerFits, match='3 not matching'):
            await service.instances.spawn('all', request_)
        service.peer_barred(
            best.id, views.Bar(views.Liveness.REVOKED, 'stolen')
        )
        placed = await service.instances.spawn('all', request_)
    assert placed.peer_name == 'pc3'


@pytest.mark.parametrize(
    ('wishes', 'message'),
    [
        ({'query': 'cores >='}, 'line 1, column 9: it ends too early'),
        ({'query': 'scroe > 1'}, "there is no attribute 'scroe'; near: score"),
        (
            {'query': 'kvm', 'hint_query': 'cores >='},
            'p2pcs:query of the hint: line 1, column 9: it ends too early',
        ),
        (
            {'query': 'kvm &&', 'hint_query': 'true) || (true'},
            'p2pcs:query of the flavor: line 1, column 7: it ends too early',
        ),
        (
            {'query': 'kvm', 'hint_query': 'true) || (true'},
            r'p2pcs:query of the hint: line 1, column 5: .\).',
        ),
        ({'slice': 'al'}, 'there is no slice al; the policy has all'),
    ],
)
async def test_wish_that_is_none_begins_nothing(
    autojump_clock: MockClock,
    tmp_path: pathlib.Path,
    wishes: dict[str, str],
    message: str,
) -> None:
    pcs = office()
    async with gateways.running(tmp_path, pcs, policy=TWO_SLICES) as service:
        with pytest.raises(errors.Malformed, match=message):
            await service.instances.spawn('all', request(0, **wishes))
        assert not (await service.placed_rows()).instances
        assert not any(pc.calls for pc in pcs.pcs.values())
        placed = await service.instances.spawn('all', request(0))
    assert placed.status.state is wire.InstanceState.PLUGGED


async def test_gateway_tells_what_a_wish_can_name(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with gateways.running(
        tmp_path, office(), policy=TWO_SLICES
    ) as service:
        found = service.wishable()
    assert found.slices == ('all', 'other')
    assert found.attributes['score'] is wire.Kind.NUMBER
    assert found.attributes['cpu_flags'] is wire.Kind.TEXTS
