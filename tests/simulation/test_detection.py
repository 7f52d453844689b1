# SPDX-License-Identifier: Apache-2.0
"""How soon the dead are known, and that nobody else is taken for dead."""

import statistics

import pytest

from gossip import events
from gossip.node import Node
from gossip.simulator import NetworkConfig, Simulation


def grown(
    count: int, seed: int, network: NetworkConfig | None = None
) -> Simulation:
    """So many peers that know each other and have come to rest."""
    simulation = Simulation(seed, network)
    simulation.add_many(count)
    simulation.run(20)
    return simulation


def failures(simulation: Simulation, number: int, since: float) -> list[float]:
    """When each of the others held this peer for dead."""
    return [
        seen.at - since
        for seen in simulation.seen(events.PeerFailed, since)
        if isinstance(seen.event, events.PeerFailed)
        and seen.event.member.peer == simulation.peers[number].id
    ]


@pytest.mark.parametrize(
    ('count', 'kills'), [(2, 9), (5, 9), (25, 9), (100, 7)]
)
def test_crash_is_known_to_all_in_time(count: int, kills: int) -> None:
    simulation = grown(count, count)
    firsts, lasts = [], []
    for kill in range(kills):
        victim = 1 + kill % (count - 1)
        since = simulation.now
        simulation.kill(victim)
        simulation.run(20)
        times = failures(simulation, victim, since)
        assert len(times) == count - 1, f'seed {simulation.seed}'
        firsts.append(times[0])
        lasts.append(times[-1])
        simulation.restart(victim, [0])
        simulation.run(10)

    assert statistics.median(lasts) <= 8.2
    assert max(lasts) <= 13
    assert min(firsts) >= 6.0
    wrong = len(simulation.seen(events.PeerFailed)) - kills * (count - 1)
    assert wrong == 0


@pytest.mark.parametrize(
    ('count', 'seed'), [(5, 1), (5, 2), (25, 2), (25, 3), (60, 2)]
)
def test_pause_of_six_seconds_is_forgiven(count: int, seed: int) -> None:
    simulation = grown(count, seed)

    for number in range(1 + count // 10):
        simulation.pause(number, 6.0)
    simulation.run(20)

    assert not simulation.seen(events.PeerFailed)
    assert simulation.is_whole()


def test_long_pause_is_noticed_and_blames_nobody_else() -> None:
    simulation = grown(10, 4)

    simulation.pause(3, 600.0)
    simulation.run(600)
    assert len(failures(simulation, 3, 0.0)) == 9
    simulation.run(5)

    assert len(simulation.seen(events.PeerFailed)) == 9
    assert simulation.is_whole()
    assert simulation.peers[3].node.statistics().pauses >= 1


def test_loss_of_a_fifth_kills_nobody() -> None:
    simulation = grown(25, 5, NetworkConfig(loss=0.2, duplicate=0.05))

    simulation.run(120)

    assert not simulation.seen(events.PeerFailed)


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(5))
def test_loss_of_a_fifth_kills_nobody_of_a_hundred(seed: int) -> None:
    simulation = grown(100, seed, NetworkConfig(loss=0.2))

    simulation.run(300)

    assert not simulation.seen(events.PeerFailed)


def test_crash_is_known_under_loss() -> None:
    simulation = grown(30, 6, NetworkConfig(loss=0.2))
    since = simulation.now

    simulation.kill(7)
    simulation.run(25)

    times = failures(simulation, 7, since)
    assert len(times) == 29
    assert times[-1] <= 15


def test_one_broken_link_kills_nobody() -> None:
    simulation = grown(10, 7)

    simulation.block(2, 3)
    simulation.block(3, 2)
    simulation.block(4, 5)
    simulation.run(120)

    assert not simulation.seen(events.PeerFailed)


def test_at_rest_a_peer_sends_a_ping_and_an_ack_a_second() -> None:
    simulation = grown(40, 8)
    simulation.run(10)
    datagrams, size = simulation.datagrams, simulation.bytes

    simulation.run(60)

    per_second = (simulation.datagrams - datagrams) / 60 / 40
    wire = (simulation.bytes - size) / 60 / 40 + 28 * per_second
    assert per_second == pytest.approx(2, rel=0.05)
    assert wire <= 180


def test_a_death_takes_few_datagrams_though_all_find_out() -> None:
    simulation = grown(40, 8)
    simulation.run(10)
    before = simulation.datagrams
    simulation.run(14)
    at_rest = simulation.datagrams - before

    simulation.kill(7)
    simulation.run(14)

    spent = simulation.datagrams - before - 2 * at_rest
    assert spent / 40 < 30


def test_leave_is_known_to_all_at_once() -> None:
    simulation = grown(30, 9)
    since = simulation.now

    simulation.leave(4)
    simulation.run(2)

    left = simulation.seen(events.PeerLeft, since)
    assert len(left) == 29
    assert all(seen.at - since < 1.5 for seen in left)
    simulation.run(30)
    assert not simulation.seen(events.PeerFailed)
    assert not simulation.seen(events.PeerJoined, since)


def test_who_answers_a_probe_makes_its_own_along_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds, peers = 60, 20
    simulation = Simulation(4)
    simulation.add_many(peers)
    simulation.run(30)
    woken = 0
    wake = Node.on_deadline

    def count(node: Node, now: float) -> None:
        nonlocal woken
        woken += 1
        wake(node, now)

    monkeypatch.setattr(Node, 'on_deadline', count)
    before = simulation.datagrams
    simulation.run(seconds)

    sent = simulation.datagrams - before
    assert 1.98 < sent / peers / seconds < 2.02  # one ping and one answer
    assert woken < 0.8 * peers * seconds
