# SPDX-License-Identifier: Apache-2.0
"""Peers that get the processor now and then, beside plain SWIM.

Lifeguard's experiment (Dadgar et al. 2018, 6): some of 128 peers are stopped
again and again for up to 16 s, and run for 1 to 64 ms between two stops.
When one runs again its timers come before what waits in its socket, as in a
program with a thread for each.

Plain SWIM is ours without Lifeguard and without what else we do so that
nobody is wronged: claims and refutations ride on probes and answers, four
times log2(peers) times (Das et al. 2002, 4.1; memberlist's factor), and no
suspect is told directly. What is left of ours still makes it better: a
refutation answers who told the suspect, and anti-entropy spreads it.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from unittest import mock

from gossip import (
    config,
    descriptor,
    detection,
    events,
    messages,
    protocol,
    rumours,
    suspicion,
)
from gossip.simulator import NetworkConfig, Peer, Simulation

PLAIN = config.NodeConfig(
    awareness_max=0,
    observers=0.0,
    suspicion_min_s=5.2,
    suspicion_max_s=5.2,
    confirmations=0,
    pause_s=1e6,
    piggyback_factor=4.0,
)
"""SWIM, with a time to refute as long as ours at its shortest.

It does not notice either that it was stopped itself.
"""


class TimersFirst(Simulation):
    """Whoever runs again does what is due before it reads."""

    def _resume(self, peer: Peer) -> None:
        due = peer.node.deadline()
        if peer.is_up and due is not None and due <= self.now:
            peer.node.on_deadline(self.now)
        super()._resume(peer)


def removed(many: Simulation, but: Sequence[Peer]) -> int:
    """How often a healthy peer held another healthy one for dead."""
    sick = {peer.id for peer in but}
    numbers = {peer.number for peer in but}
    return sum(
        seen.number not in numbers
        and isinstance(seen.event, events.PeerFailed)
        and seen.event.member.peer not in sick
        for seen in many.seen(events.PeerFailed)
    )


class _Outbox(protocol.Outbox):
    """Carries no claims: they ride."""

    def send(
        self,
        to: descriptor.Address,
        *many: messages.Message,
        ride: bool = True,
    ) -> None:
        few = [one for one in many if not isinstance(one, messages.ClaimItem)]
        if few:
            super().send(to, *few, ride=ride)


class _Rumours(rumours.Rumours):
    """What is urgent only rides."""

    def _add(
        self,
        key: rumours.Key,
        frame: bytes,
        way: rumours.Way,
        care: rumours.Care,
    ) -> None:
        if care is rumours.Care.URGENT and way is not rumours.Way.STORED:
            way = rumours.Way.RIDING
        super()._add(key, frame, way, care)


@contextlib.contextmanager
def _swim() -> Iterator[None]:
    """Any confirmation is believed; no late answer, no last call acquits."""
    swim = detection.Detection
    with (
        mock.patch.object(swim, '_is_confirmed', return_value=True),
        mock.patch.object(swim, '_on_answer', return_value=None),
        mock.patch.object(suspicion.Suspicion, 'call', return_value=False),
        mock.patch.object(protocol, 'Outbox', _Outbox),
        mock.patch.object(rumours, 'Rumours', _Rumours),
    ):
        yield


def starve(
    seed: int,
    count: int,
    *,
    plain: bool,
    seconds: float,
    peers: int = 128,
    loss: float = 0.0,
) -> int:
    """False positives at healthy peers while so many of them starve.

    :param plain: SWIM, which believes any confirmation
    :param loss: share of all datagrams that is lost meanwhile
    """
    with _swim() if plain else contextlib.nullcontext():
        many = TimersFirst(seed, config=PLAIN if plain else None)
        many.add_many(peers)
        many.run_until(many.is_whole, 120)
        many.run(5)
        many.trace.clear()
        many.network = NetworkConfig(loss=loss)
        rng = random.Random(seed)
        sick = rng.sample(many.peers, count)
        stops = dict.fromkeys((peer.number for peer in sick), many.now)
        end = many.now + seconds
        while many.now < end:
            number = min(stops, key=lambda one: stops[one])
            many.run(max(stops[number] - many.now, 0.0))
            pause = rng.uniform(0.5, 16.0)
            many.pause(number, pause)
            stops[number] += pause + rng.uniform(0.001, 0.064)
        return removed(many, sick)
