# SPDX-License-Identifier: Apache-2.0
"""Members that lie: they keep nobody alive, and kill nobody."""

import pytest

from gossip import descriptor, messages, probing, protocol
from gossip.events import PeerFailed, PeerSuspected
from gossip.simulator import Simulation
from tests.support.gossip_case import THERE, Other

Status = descriptor.Status


def grown(peers: int, seed: int) -> Simulation:
    many = Simulation(seed)
    many.add_many(peers)
    many.run_until(many.is_whole, 60)
    many.run(3)
    return many


def who_failed(many: Simulation) -> list[bytes]:
    return [
        seen.event.member.peer
        for seen in many.seen(PeerFailed)
        if isinstance(seen.event, PeerFailed)
    ]


@pytest.mark.parametrize('peers', [4, 5, 12])
def test_one_who_lies_for_the_dead_keeps_nobody_alive(
    monkeypatch: pytest.MonkeyPatch, peers: int
) -> None:
    many = grown(peers, 2)
    liar, dead = many.peers[1], many.peers[2]
    honest = probing.Prober.on_request

    def lie(
        prober: probing.Prober,
        message: messages.PingRequest,
        sender: protocol.Origin,
        now: float,
    ) -> None:
        if (
            prober is liar.node._detection._prober
            and message.target == dead.id
        ):
            answer = messages.Ack(message.seq, 0)
            liar.node._outbox.send(sender.address, answer)
        else:
            honest(prober, message, sender, now)

    monkeypatch.setattr(probing.Prober, 'on_request', lie)
    many.kill(2)
    many.run(20)

    assert who_failed(many).count(dead.id) >= peers - 2


def test_two_who_conspire_leave_their_victim_the_time_to_refute() -> None:
    many = grown(12, 9)
    first, second = (
        Other(many.overlay, many.overlay.make_identity()) for _ in range(2)
    )
    hearer, victim = many.peers[0], many.peers[5]
    for one in (first, second):
        hearer.node.receive(one.hello(), THERE, many.now)
    many.run(1)

    for _ in range(50):
        own = victim.node.member(victim.id)
        assert own is not None
        for one, kind in ((first, Status.SUSPECT), (second, Status.DEAD)):
            claim = one.claim(kind, victim.id, own.incarnation)
            everybody = messages.Relay(0, 0, 2**32 - 1)
            hearer.node.receive(one.say(everybody, claim), THERE, many.now)
        many.run(0.1)

    assert many.seen(PeerSuspected)
    assert victim.id not in who_failed(many)
