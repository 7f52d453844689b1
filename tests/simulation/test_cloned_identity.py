# SPDX-License-Identifier: Apache-2.0
"""Two machines with one disk are named; one machine that restarts is not."""

import itertools

import pytest

from gossip import events
from gossip.simulator import NetworkConfig, Peer, Simulation

CLONED = 4
PEERS = 8
#: How long a daemon holds an identity for contested after the last word.
HELD_S = 20.0


def office(network: NetworkConfig | None = None, seed: int = 5) -> Simulation:
    """Some peers that all know each other."""
    simulation = Simulation(seed, network)
    simulation.add_many(PEERS)
    simulation.run_until(simulation.is_whole, 20)
    simulation.run(20)
    return simulation


def contested(simulation: Simulation, since: float) -> dict[int, list[float]]:
    """When each peer was told that the identity is contested."""
    who = simulation.peers[CLONED].id
    found: dict[int, list[float]] = {p.number: [] for p in simulation.peers}
    for seen in simulation.seen(events.IdentityContested, since):
        assert isinstance(seen.event, events.IdentityContested)
        assert seen.event.peer == who
        found[seen.number].append(seen.at)
    return found


def boot_id(peer: Peer) -> bytes:
    """By which a machine seals now."""
    member = peer.node.member(peer.id)
    assert member is not None
    return member.boot_id


@pytest.mark.parametrize('loss', [0.0, 0.1])
def test_a_clone_is_named_by_all_soon_and_for_as_long_as_both_live(
    loss: float,
) -> None:
    simulation = office(NetworkConfig(loss=loss))
    since = simulation.now
    clone = simulation.clone(CLONED, [0, 1])

    simulation.run_until(
        lambda: all(contested(simulation, since).values()), 15
    )
    simulation.run(60)

    for number, times in contested(simulation, since).items():
        gaps = [b - a for a, b in itertools.pairwise(times)]
        assert max(gaps) < HELD_S, (number, max(gaps))
        assert simulation.now - times[-1] < HELD_S
    places = {simulation.peers[CLONED].address, clone.address}
    assert {
        frozenset(seen.event.places)
        for seen in simulation.seen(events.IdentityContested)
        if isinstance(seen.event, events.IdentityContested)
    } == {frozenset(places)}
    # None of the two is taken for dead in between.
    assert not simulation.seen(events.PeerFailed, since)


@pytest.mark.parametrize('loss', [0.0, 0.1])
def test_two_with_one_memory_part_and_are_named(loss: float) -> None:
    simulation = office(NetworkConfig(loss=loss))
    first = simulation.peers[CLONED]
    shared = boot_id(first)
    since = simulation.now
    second = simulation.twin(CLONED, [0, 1])

    # From then on no nonce is used twice.
    simulation.run_until(
        lambda: len({shared, boot_id(first), boot_id(second)}) == 3, 5
    )
    simulation.run_until(
        lambda: all(contested(simulation, since).values()), 15
    )
    simulation.run(60)

    # They take turns, and do not outbid each other as fast as they can.
    raised = simulation.seen(events.BootRaised, since)
    assert len(raised) < simulation.now - since
    for number, times in contested(simulation, since).items():
        assert simulation.now - times[-1] < HELD_S, number


@pytest.mark.parametrize('stopped', ['first', 'second'])
def test_it_ends_when_one_of_them_stops(stopped: str) -> None:
    simulation = office()
    clone = simulation.clone(CLONED, [0, 1])
    simulation.run(60)
    gone, left = CLONED, clone.number
    if stopped == 'second':
        gone, left = left, gone
    simulation.kill(gone)
    ended = simulation.now
    simulation.run(60)

    for times in contested(simulation, ended).values():
        assert all(at < ended + HELD_S / 2 for at in times)
    for peer in simulation.peers:
        member = peer.node.member(simulation.peers[left].id)
        assert peer.number == gone or member is not None
        if member is not None and peer.number != gone:
            assert member.address == simulation.peers[left].address


@pytest.mark.parametrize('pause_s', [0.0, 15.0])
@pytest.mark.parametrize('in_order', [True, False])
def test_a_restart_is_no_clone(pause_s: float, in_order: bool) -> None:
    network = NetworkConfig(loss=0.1, duplicate=0.1, delay_s=(0.0005, 0.2))
    simulation = office(network)
    since = simulation.now
    for _ in range(3):
        if in_order:
            simulation.leave(CLONED)
        else:
            simulation.kill(CLONED)
        simulation.run(pause_s)
        simulation.restart(CLONED, [0, 1])
        simulation.run(3)
    simulation.run(60)

    assert not simulation.seen(events.IdentityContested, since)
    assert simulation.is_whole()


def test_a_restored_backup_is_no_clone() -> None:
    simulation = office()
    for _ in range(3):
        simulation.kill(CLONED)
        simulation.restart(CLONED, [0])
        simulation.run(3)
    since = simulation.now
    simulation.kill(CLONED)
    simulation.run(5)
    simulation.restart(CLONED, [0, 1, 2], boot=2)
    simulation.run(60)

    assert not simulation.seen(events.IdentityContested, since)
    assert simulation.is_whole()
