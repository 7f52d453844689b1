# SPDX-License-Identifier: Apache-2.0
"""A peer is put out of a whole overlay, whoever was away."""

from collections.abc import Iterable

import pytest

from gossip import events, messages
from gossip.descriptor import Role
from gossip.simulator import NetworkConfig, Simulation
from tests.support.gossip_case import THERE, WALL, Other

GATEWAY = 0
SUBJECT = 4
PEERS = 10
OTHERS = [n for n in range(PEERS) if n != SUBJECT]


def office(network: NetworkConfig | None = None) -> Simulation:
    """A gateway and nine peers that all know each other."""
    simulation = Simulation(5, network, share_trust=False)
    simulation.add(role=Role.GATEWAY)
    simulation.add_many(PEERS - 1)
    simulation.run_until(simulation.is_whole, 20)
    return simulation


def are_told(simulation: Simulation, numbers: Iterable[int]) -> bool:
    who = simulation.peers[SUBJECT].id
    nodes = [simulation.peers[number].node for number in numbers]
    return all(
        node.revoked() == (who,) and node.member(who) is None for node in nodes
    )


@pytest.mark.parametrize('loss', [0.0, 0.3])
def test_one_word_of_a_gateway_puts_a_peer_out(loss: float) -> None:
    simulation = office(NetworkConfig(loss=loss))
    since = simulation.now

    simulation.revoke(GATEWAY, simulation.peers[SUBJECT].id)

    simulation.run_until(lambda: are_told(simulation, OTHERS), 10)
    simulation.run(60)
    assert are_told(simulation, OTHERS)
    left = [seen.number for seen in simulation.seen(events.PeerLeft, since)]
    assert sorted(left) == OTHERS
    assert not simulation.seen(events.PeerJoined, since)


def test_it_is_told_itself_and_is_silent_then() -> None:
    simulation = office()
    subject = simulation.peers[SUBJECT]
    simulation.revoke(GATEWAY, subject.id)

    simulation.run_until(lambda: subject.id in subject.node.revoked(), 10)

    assert subject.node.deadline() is None
    simulation.restart(SUBJECT, [1])
    assert subject.node.deadline() is None


def test_who_was_away_is_told_on_return() -> None:
    simulation = office()
    simulation.kill(7)
    simulation.run(60)
    simulation.revoke(GATEWAY, simulation.peers[SUBJECT].id)
    # News no longer ride after a while.
    simulation.run(120)

    simulation.restart(7, [1])

    simulation.run_until(lambda: are_told(simulation, [7]), 10)


def test_who_was_put_out_while_off_is_told_on_return() -> None:
    simulation = office()
    subject = simulation.peers[SUBJECT]
    simulation.kill(SUBJECT)
    simulation.run(60)
    simulation.revoke(GATEWAY, subject.id)
    simulation.run(120)
    since = simulation.now

    simulation.restart(SUBJECT, [1])

    simulation.run_until(lambda: subject.id in subject.node.revoked(), 10)
    assert are_told(simulation, OTHERS)
    joined = simulation.seen(events.PeerJoined, since)
    assert all(seen.number == SUBJECT for seen in joined)


@pytest.mark.parametrize('apart_s', [0.0, 10.0])
def test_a_gateway_that_is_broken_into_puts_out_no_other_one(
    apart_s: float,
) -> None:
    """Not even where nobody is known yet, nor if all start at once."""
    simulation = office()
    victim = simulation.peers[GATEWAY]
    overlay = simulation.overlay
    mole = Other(overlay, overlay.make_identity(Role.GATEWAY))
    lie = messages.RevocationItem(
        *mole.sign(messages.Revocation(victim.id, WALL)), mole.who.credential
    )
    for peer in simulation.peers[1:]:
        simulation.restart(peer.number, [1 + peer.number % 9])
        peer.node.receive(mole.say(lie), THERE, simulation.now)
        assert peer.node.revoked() == (victim.id,)
        simulation.run(apart_s)

    simulation.run_until(simulation.is_whole, 30)
    assert not any(peer.node.revoked() for peer in simulation.peers)


def test_it_outlives_the_gateway_and_every_restart() -> None:
    simulation = office()
    simulation.revoke(GATEWAY, simulation.peers[SUBJECT].id)
    simulation.run_until(lambda: are_told(simulation, OTHERS), 10)
    simulation.kill(GATEWAY)
    for number in OTHERS[1:]:
        simulation.restart(number, [1, 2])
    simulation.kill(SUBJECT)
    simulation.restart(SUBJECT, [1, 2], boot=9)
    simulation.run(30)

    assert are_told(simulation, OTHERS[1:])
    newcomer = simulation.add([1])

    simulation.run_until(lambda: are_told(simulation, [newcomer.number]), 10)


def test_both_halves_of_a_partition_hear_of_it_when_it_heals() -> None:
    simulation = office()
    near, far = [0, 1, 2, 3], [4, 5, 6, 7, 8, 9]
    simulation.partition(near, far)
    simulation.run(30)
    simulation.revoke(GATEWAY, simulation.peers[SUBJECT].id)
    simulation.run(120)
    assert not are_told(simulation, [5])

    simulation.partition()

    simulation.run_until(lambda: are_told(simulation, OTHERS), 30)
