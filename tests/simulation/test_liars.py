# SPDX-License-Identifier: Apache-2.0
"""Members that lie: they keep nobody alive."""

import pytest

from gossip import messages, probing, protocol
from gossip.events import PeerFailed
from gossip.simulator import Simulation


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
