# SPDX-License-Identifier: Apache-2.0
"""A process that crashed is known at once; a forged refusal kills nobody."""

import pytest

from gossip.descriptor import Status
from gossip.events import PeerFailed
from gossip.simulator import NetworkConfig, Simulation


def settled(peers: int, seed: int, loss: float = 0.0) -> Simulation:
    many = Simulation(seed)
    many.add_many(peers)
    many.run_until(many.is_whole, 60)
    many.network = NetworkConfig(loss=loss)
    many.run(3)
    return many


def is_known(many: Simulation, number: int) -> bool:
    who = many.peers[number].id
    failed = {
        seen.number
        for seen in many.seen(PeerFailed)
        if isinstance(seen.event, PeerFailed) and seen.event.member.peer == who
    }
    return all(peer.number in failed for peer in many.peers if peer.is_up)


@pytest.mark.parametrize('peers', [4, 40])
@pytest.mark.parametrize('seed', range(3))
def test_a_crash_is_known_to_all_within_seconds(peers: int, seed: int) -> None:
    many = settled(peers, seed)

    many.crash(1)

    assert many.run_until(lambda: is_known(many, 1), 20) < 5.0


def test_a_newcomer_that_crashes_is_known_as_soon() -> None:
    many = settled(40, 6)
    many.run(40)
    newcomers = [many.add([0]).number for _ in range(4)]
    many.run(3)

    for number in newcomers:
        many.crash(number)

    def are_known() -> bool:
        return all(is_known(many, number) for number in newcomers)

    assert many.run_until(are_known, 30) < 8.0


def test_a_crash_is_known_under_loss_too() -> None:
    many = settled(40, 5, loss=0.2)

    many.crash(1)

    many.run_until(lambda: is_known(many, 1), 30)
    assert {seen.event.member.peer for seen in many.seen(PeerFailed)} == {  # type: ignore[union-attr]
        many.peers[1].id
    }


def test_of_three_who_are_left_two_confirm() -> None:
    many = settled(3, 1)

    many.crash(1)

    many.run_until(lambda: is_known(many, 1), 30)


def test_a_peer_that_is_silent_takes_its_time_as_ever() -> None:
    many = settled(40, 2)

    many.kill(1)

    assert many.run_until(lambda: is_known(many, 1), 30) > 5.0


@pytest.mark.parametrize('loss', [0.0, 0.2])
def test_forged_refusals_kill_nobody(loss: float) -> None:
    many = settled(12, 3, loss)
    victim = many.peers[4]

    for _ in range(600):
        for number in range(12):
            if number != 4:
                many.refuse(number, victim.address)
        many.run(0.05)

    assert many.seen(PeerFailed) == []


def test_a_restart_soon_after_a_crash_is_heard() -> None:
    many = settled(12, 4)
    many.crash(1)
    many.run_until(lambda: is_known(many, 1), 20)

    many.restart(1, [0])

    many.run_until(many.is_whole, 20)
    assert all(
        member.status is Status.ALIVE
        for member in many.peers[0].node.members()
    )
