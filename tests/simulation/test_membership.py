# SPDX-License-Identifier: Apache-2.0
"""Joining, returning, parting and finding each other again."""

import pytest

from gossip import events
from gossip.descriptor import Address, Status
from gossip.seal import RingKeys
from gossip.simulator import NetworkConfig, Simulation


def grown(count: int, seed: int) -> Simulation:
    """So many peers that know each other."""
    simulation = Simulation(seed)
    simulation.add_many(count)
    simulation.run_until(simulation.is_whole, 30)
    return simulation


@pytest.mark.parametrize('count', [5, 50])
def test_all_who_join_at_once_know_each_other_soon(count: int) -> None:
    simulation = Simulation(count)
    simulation.add_many(count)

    simulation.run_until(simulation.is_whole, 5)

    joined = simulation.seen(events.PeerJoined)
    assert len(joined) == count * (count - 1)


def test_join_under_loss() -> None:
    simulation = Simulation(1, NetworkConfig(loss=0.2))
    simulation.add_many(30)

    simulation.run_until(
        lambda: all(
            len(peer.node.members()) == 30 for peer in simulation.peers
        ),
        20,
    )


def test_peer_joins_with_two_of_three_seeds_dead() -> None:
    simulation = grown(6, 2)
    simulation.kill(0)
    simulation.kill(1)
    simulation.run(20)

    simulation.add([0, 1, 5])

    assert simulation.run_until(simulation.is_whole, 30) <= 2


def test_peer_waits_for_its_only_seed() -> None:
    simulation = grown(3, 3)
    simulation.kill(0)
    simulation.run(20)
    simulation.add([0])
    simulation.run(60)
    assert len(simulation.peers[3].node.members()) == 1

    simulation.restart(0, [1])

    simulation.run_until(simulation.is_whole, 30)


@pytest.mark.parametrize('first', [1, 15])
def test_partition_heals_by_itself(first: int) -> None:
    simulation = grown(30, 4)
    simulation.partition(range(first), range(first, 30))
    simulation.run(120)
    assert not simulation.is_whole()

    simulation.partition()

    simulation.run_until(simulation.is_whole, 30)
    since = simulation.now
    simulation.run(30)
    assert not simulation.seen(events.PeerFailed, since)


def test_three_way_partition_heals_by_itself() -> None:
    simulation = grown(30, 5)
    simulation.partition(range(10), range(10, 20), range(20, 30))
    simulation.run(60)

    simulation.partition()

    simulation.run_until(simulation.is_whole, 30)


def test_two_peers_part_and_find_each_other() -> None:
    simulation = grown(2, 6)
    simulation.partition([0], [1])
    simulation.run(60)

    simulation.partition()

    simulation.run_until(simulation.is_whole, 30)


def test_restarted_peer_returns_under_its_new_boot() -> None:
    simulation = grown(10, 7)
    who = simulation.peers[4].id
    simulation.kill(4)
    simulation.run(20)

    simulation.restart(4, [1, 2])

    assert simulation.run_until(simulation.is_whole, 30) <= 2
    member = simulation.peers[0].node.member(who)
    assert member is not None
    assert member.boot == 2


def test_quick_restart_is_no_failure() -> None:
    simulation = grown(10, 8)
    simulation.kill(4)
    simulation.run(1)

    simulation.restart(4, [1])
    simulation.run(20)

    assert simulation.is_whole()
    assert not simulation.seen(events.PeerFailed)
    heard = [
        *simulation.seen(events.PeerChanged),
        *simulation.seen(events.PeerRecovered),
    ]
    boots = {
        seen.number: seen.event.member.boot
        for seen in heard
        if isinstance(seen.event, events.PeerChanged | events.PeerRecovered)
    }
    assert boots == {number: 2 for number in range(10) if number != 4}


def test_peer_returns_with_another_address() -> None:
    simulation = grown(10, 9)
    who = simulation.peers[4].id
    simulation.kill(4)
    simulation.run(20)
    elsewhere = Address('10.0.9.9', 7400)

    simulation.restart(4, [1], address=elsewhere)

    simulation.run_until(simulation.is_whole, 30)
    for peer in simulation.peers:
        member = peer.node.member(who)
        assert member is not None
        assert member.address == elsewhere


def test_running_peer_that_moves_is_followed() -> None:
    simulation = grown(10, 13)
    who = simulation.peers[4].id
    elsewhere = Address('10.0.9.9', 7400)

    simulation.move(4, elsewhere)
    simulation.run(20)

    assert simulation.is_whole()
    assert not simulation.seen(events.PeerFailed)
    for peer in simulation.peers:
        member = peer.node.member(who)
        assert member is not None
        assert member.address == elsewhere


def test_ring_keys_are_rotated_under_way() -> None:
    simulation = grown(10, 14)
    old = simulation.overlay.ring.keys
    new = ((1, bytes(range(32))),)

    for keys in (new + old, old + new, new):
        for peer in simulation.peers:
            peer.node.set_ring_keys(RingKeys(keys))
            simulation.run(0.5)
    simulation.run(20)

    assert simulation.is_whole()
    assert not simulation.seen(events.PeerFailed)
    for peer in simulation.peers:
        assert not dict(peer.node.statistics().dropped)


@pytest.mark.parametrize('boot', [1, 2, 5])
def test_peer_made_anew_with_its_old_key_is_heard_again(boot: int) -> None:
    simulation = grown(10, 10)
    simulation.kill(4)
    simulation.run(3)
    simulation.restart(4, [1], boot=5)
    simulation.run(10)
    simulation.kill(4)
    simulation.run(20)

    simulation.restart(4, [1], boot=boot)

    simulation.run_until(simulation.is_whole, 30)
    simulation.publish(4, 'a', b'heard')
    simulation.run_until(lambda: simulation.all_have(4, 'a', b'heard'), 5)
    assert any(
        seen.event == events.BootRaised(6)
        for seen in simulation.seen(events.BootRaised)
    )


def test_ghosts_do_not_come_back() -> None:
    simulation = grown(10, 11)
    gone = [simulation.peers[number].id for number in (2, 3)]
    simulation.leave(2)
    simulation.kill(3)
    simulation.run(20)
    since = simulation.now

    simulation.add([0])
    simulation.kill(5)
    simulation.restart(5, [1])
    simulation.partition(range(5), range(5, 11))
    simulation.run(60)
    simulation.partition()
    simulation.run(60)

    for seen in simulation.trace:
        if seen.at > since and isinstance(
            seen.event, events.PeerJoined | events.PeerRecovered
        ):
            assert seen.event.member.peer not in gone
    for peer in simulation.peers:
        if peer.is_up:
            assert peer.node.member(gone[0]) is None
            member = peer.node.member(gone[1])
            assert member is not None
            assert member.status is Status.DEAD


def test_half_open_peer_does_not_hurt_the_others() -> None:
    simulation = grown(12, 12)
    for number in range(1, 12):
        simulation.block(0, number)

    simulation.run(120)

    wrong = [
        seen
        for seen in simulation.seen(events.PeerFailed)
        if seen.number
        and isinstance(seen.event, events.PeerFailed)
        and seen.event.member.peer != simulation.peers[0].id
    ]
    assert not wrong


def test_same_seed_gives_the_same_trace() -> None:
    def play(seed: int) -> tuple[str, int]:
        simulation = Simulation(seed, NetworkConfig(loss=0.1, duplicate=0.1))
        simulation.add_many(12)
        simulation.run(5)
        simulation.publish(3, 'a', b'x')
        simulation.kill(4)
        simulation.pause(5, 3.0)
        simulation.run(20)
        return simulation.fingerprint(), len(simulation.trace)

    assert play(1) == play(1)
    assert play(1) != play(2)
