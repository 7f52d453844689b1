# SPDX-License-Identifier: Apache-2.0
"""What a peer says of itself reaches all, and never goes back."""

import pytest

from gossip import events, messages, throwaway
from gossip.descriptor import PeerId, Version
from gossip.simulator import NetworkConfig, Simulation
from tests.support.gossip_case import THERE, Other

AT_REST = 180
"""Bytes a second of each peer, at most."""


def rest(simulation: Simulation) -> float:
    """Bytes a second of each peer when nothing changes."""
    before = simulation.bytes
    simulation.run(20)
    return (simulation.bytes - before) / 20 / len(simulation.peers)


def check_monotone(simulation: Simulation) -> None:
    """No peer saw a version of a part after a later one."""
    seen: dict[tuple[int, PeerId, str], Version] = {}
    for one in simulation.trace:
        if isinstance(one.event, events.RecordChanged):
            key = one.number, one.event.peer, one.event.part
            before = seen.get(key, Version(-1, -1))
            assert before <= one.event.version
            assert before < one.event.version or not one.event.payload
            seen[key] = one.event.version


@pytest.mark.parametrize('count', [5, 50, 200])
def test_change_reaches_all_within_two_seconds(count: int) -> None:
    simulation = Simulation(count)
    simulation.add_many(count)
    simulation.run_until(simulation.is_whole, 5)
    simulation.run(5)

    worst = 0.0
    for number in range(2):
        simulation.publish(number, 'a', b'x%d' % number)
        have = b'x%d' % number

        def all_have(number: int = number, have: bytes = have) -> bool:
            return simulation.all_have(number, 'a', have)

        worst = max(worst, simulation.run_until(all_have, 5))
        simulation.run(3)

    assert worst <= 2


def test_all_changes_arrive_under_loss_and_in_order() -> None:
    simulation = Simulation(3, NetworkConfig(loss=0.2, duplicate=0.1))
    simulation.add_many(20)
    simulation.run(10)

    for step in range(50):
        simulation.publish(step % 20, f'part{step % 3}', b'%d' % step)
        simulation.run(0.1)

    simulation.run_until(
        lambda: all(
            simulation.all_have(step % 20, f'part{step % 3}', b'%d' % step)
            for step in range(50)
            if all(
                later % 20 != step % 20 or later % 3 != step % 3
                for later in range(step + 1, 50)
            )
        ),
        20,
    )
    check_monotone(simulation)


def test_who_lacks_much_gets_it_from_one_who_has_it() -> None:
    """More than a peer is sent in a second, and of peers that are gone."""
    simulation = Simulation(1)
    simulation.add_many(2)
    simulation.run(5)
    first = simulation.peers[0]
    others = [
        Other(simulation.overlay, simulation.overlay.make_identity())
        for _ in range(60)
    ]
    first.node.receive(others[0].hello(), THERE, simulation.now)
    for one in others:
        parts = [one.record(bytes(880), part=f'{n}') for n in range(16)]
        for item in (one.member(), *parts):
            letter = others[0].say(messages.Bulk(), item)
            first.node.receive(letter, THERE, simulation.now)

    def has_all(number: int) -> bool:
        node = simulation.peers[number].node
        return all(len(node.records(one.who.peer)) == 16 for one in others)

    assert has_all(0)
    simulation.run_until(lambda: has_all(1), 20)
    simulation.add([0])
    simulation.run_until(lambda: has_all(2), 20)


def test_newcomer_gets_everything() -> None:
    simulation = Simulation(4)
    simulation.add_many(30)
    simulation.run(5)
    for number in range(30):
        for part in range(4):
            simulation.publish(number, f'part{part}', bytes([part]) * 400)
    simulation.run(10)

    simulation.add([3])

    newcomer = simulation.peers[30].node
    took = simulation.run_until(
        lambda: all(
            len(newcomer.records(peer.id)) == 4
            for peer in simulation.peers[:30]
        ),
        10,
    )
    assert took <= 5


def test_who_told_much_long_ago_has_room_for_news_when_it_is_back() -> None:
    simulation = Simulation(6)
    simulation.add_many(4)
    for number in range(8):
        simulation.broadcast(3, bytes([number]) * 500)
        simulation.run(5)
    simulation.kill(3)
    simulation.run(20)
    simulation.restart(3, [0])
    simulation.run(3)

    simulation.broadcast(3, b'back')
    simulation.run(1)

    heard = [
        seen.number
        for seen in simulation.seen(events.NewsHeard)
        if isinstance(seen.event, events.NewsHeard)
        and seen.event.payload == b'back'
    ]
    assert sorted(heard) == [0, 1, 2, 3]


def test_deleted_part_is_gone_everywhere() -> None:
    simulation = Simulation(5)
    simulation.add_many(10)
    simulation.publish(1, 'a', b'x')
    simulation.run_until(lambda: simulation.all_have(1, 'a', b'x'), 5)

    simulation.publish(1, 'a', b'')

    simulation.run_until(lambda: simulation.all_have(1, 'a', b''), 5)
    simulation.add([0])
    simulation.run(5)
    assert simulation.all_have(1, 'a', b'')


def test_records_of_the_dead_stay_and_are_given_on() -> None:
    simulation = Simulation(6)
    simulation.add_many(10)
    simulation.publish(1, 'a', b'last words')
    simulation.run(5)
    simulation.kill(1)
    simulation.run(20)

    simulation.add([0])
    simulation.run(5)

    assert simulation.all_have(1, 'a', b'last words')


def test_both_sides_of_a_partition_catch_up() -> None:
    simulation = Simulation(7)
    simulation.add_many(20)
    simulation.run(5)
    simulation.partition(range(10), range(10, 20))
    simulation.run(60)
    simulation.publish(1, 'a', b'left')
    simulation.publish(11, 'a', b'right')

    simulation.partition()

    simulation.run_until(
        lambda: (
            simulation.all_have(1, 'a', b'left')
            and simulation.all_have(11, 'a', b'right')
        ),
        30,
    )
    check_monotone(simulation)


def test_parts_not_published_after_a_restart_go_away() -> None:
    simulation = Simulation(8)
    simulation.add_many(10)
    simulation.publish(1, 'kept', b'old')
    simulation.publish(1, 'stale', b'old')
    simulation.run(5)
    simulation.kill(1)
    simulation.run(2)

    simulation.restart(1)
    simulation.publish(1, 'kept', b'new')
    simulation.peers[1].node.join(
        [simulation.peers[0].address], simulation.now
    )

    simulation.run_until(
        lambda: (
            simulation.all_have(1, 'kept', b'new')
            and simulation.all_have(1, 'stale', b'')
        ),
        20,
    )
    check_monotone(simulation)


def test_all_keep_the_same_when_a_full_peer_comes_back_with_other_parts() -> (
    None
):
    simulation = Simulation(9)
    simulation.add_many(10)
    for number in range(16):
        simulation.publish(1, f'part{number}', b'old')
    simulation.run(5)
    simulation.kill(1)
    simulation.run(2)

    simulation.restart(1, [0])
    simulation.publish(1, 'another', b'new')
    for number in range(1, 16):
        simulation.publish(1, f'part{number}', b'new')

    simulation.run_until(
        lambda: (
            simulation.all_have(1, 'another', b'new')
            and simulation.all_have(1, 'part0', b'')
        ),
        5,
    )
    simulation.run(5)
    assert rest(simulation) < AT_REST
    check_monotone(simulation)


def test_two_that_cannot_agree_do_not_quarrel_and_hear_all_else() -> None:
    """One clock is ahead, and there a credential is over already."""
    simulation = Simulation(10, share_trust=False)
    simulation.add_many(8)
    simulation.run(5)
    short = simulation.overlay.make_identity(lifetime_s=3000)
    simulation._add(short, 1, [0])
    simulation.run(5)
    ahead = simulation.peers[2].node
    ahead.set_wall_clock(
        throwaway.WALL + simulation.now + 3600, simulation.now
    )
    simulation.run(60)

    assert rest(simulation) < 2 * AT_REST
    others = [number for number in range(9) if number != 2]
    simulation.partition(others, [2])
    simulation.publish(1, 'a', b'x')
    simulation.run(3)
    simulation.partition()
    simulation.run_until(lambda: simulation.all_have(1, 'a', b'x'), 5)
