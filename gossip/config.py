# SPDX-License-Identifier: Apache-2.0
"""Every parameter of a node: unit, bounds, default and source."""

import dataclasses
import math

from gossip import errors

_POSITIVE = (
    'last_call_s',
    'refusal_wait_s',
    'pause_s',
    'relay_retry_s',
    'sync_interval_s',
    'reconnect_s',
    'seed_retry_s',
    'overtake_s',
)
_NOT_NEGATIVE = (
    'confirmations',
    'observers',
    'awareness_max',
    'push_delay_s',
    'calm_delay_s',
    'piggyback_factor',
    'sync_settle_s',
)


@dataclasses.dataclass(frozen=True)
class NodeConfig:
    """Parameters of one node. The defaults suit a LAN of 2 to 1,000 peers.

    Two peers with different values understand each other. Durations are
    positive, delays and counts not negative; what is narrower is said.

    :param probe_period_s: one peer is probed in each period (SWIM's T').
        0.1 to 60. Bytes and wake-ups at rest grow as its inverse.
    :param ack_timeout_s: an answer later than this starts the indirect
        probes. More than the round trip, less than half the period.
    :param indirect_probes: peers asked to probe in our place (SWIM's k).
        0 to 8.
    :param suspicion_min_s: a suspect has at least this long to refute.
        One probe period and this must exceed the longest pause that is to
        be forgiven: 1 + 5.2 for a pause of 6 s.
    :param suspicion_max_s: the time of a suspect that nobody else
        suspects (Lifeguard's dynamic timeout; there a factor of 6).
    :param refusal_wait_s: the time for an answer after a machine has
        refused a datagram; some round trips.
    :param last_call_s: the time for a last answer after that; some round
        trips.
    :param confirmations: further accusers that bring the maximum down to
        the minimum (Lifeguard's K).
    :param observers: how many peers, on average, probe a suspect out of
        turn, so that confirmations come within about a period at any
        size. A departure from SWIM, which waits for its turn.
    :param awareness_max: upper bound of the local health score
        (Lifeguard's S). 0 switches local health off.
    :param pause_s: waking later than this after a deadline means that we
        were stopped or asleep; nobody else is blamed for that time.
    :param fanout: peers that each peer of a tree tells in turn: more make
        it flatter, and the work less even. 2 to 32.
    :param relay_retry_s: a datagram of a tree that was not answered is
        sent again. Longer than the round trip to a busy peer.
    :param push_delay_s: pressing news that arrive within this time go
        together.
    :param calm_delay_s: as much for news that do not press: new members
        and records.
    :param piggyback_factor: urgent news ride on this many times
        log2(peers) further datagrams.
    :param sync_interval_s: at most one exchange of digests is begun in
        this time.
    :param sync_settle_s: a difference that is younger is left to the
        rumours.
    :param sync_datagrams: datagrams that one exchange may bring, at most.
    :param reconnect_s: mean time between attempts at dead peers and at
        silent seeds.
    :param seed_retry_s: first retry of a seed; doubles up to
        ``reconnect_s``.
    :param overtake_s: two processes with one identity take turns in this
        time, so that everybody sees that both live. Others should hold
        them for contested some times as long.
    :param members_max: descriptors kept; one more takes the place of one
        who left or is dead, or else is refused.
    :param parts_max: parts kept of one peer, the newest. 1 to 16: the
        versions of all of them fit into one datagram.
    """

    probe_period_s: float = 1.0
    ack_timeout_s: float = 0.3
    indirect_probes: int = 3
    suspicion_min_s: float = 5.2
    suspicion_max_s: float = 12.0
    refusal_wait_s: float = 0.1
    last_call_s: float = 0.4
    confirmations: int = 3
    observers: float = 6.0
    awareness_max: int = 8
    pause_s: float = 1.0
    fanout: int = 6
    relay_retry_s: float = 0.15
    push_delay_s: float = 0.01
    calm_delay_s: float = 0.2
    piggyback_factor: float = 1.0
    sync_interval_s: float = 0.25
    sync_settle_s: float = 0.4
    sync_datagrams: int = 32
    reconnect_s: float = 10.0
    seed_retry_s: float = 0.5
    overtake_s: float = 4.0
    members_max: int = 4096
    parts_max: int = 16

    def __post_init__(self) -> None:
        if not 0.1 <= self.probe_period_s <= 60:
            raise errors.Misuse('probe_period_s is not in 0.1..60')
        if not 0 < self.ack_timeout_s < self.probe_period_s / 2:
            raise errors.Misuse(
                'ack_timeout_s is not less than half a probe period'
            )
        if not 0 < self.suspicion_min_s <= self.suspicion_max_s:
            raise errors.Misuse(
                'suspicion_min_s is not within suspicion_max_s'
            )
        if not 0 <= self.indirect_probes <= 8:
            raise errors.Misuse('indirect_probes is not in 0..8')
        if not 1 <= self.parts_max <= 16:
            raise errors.Misuse('parts_max is not in 1..16')
        if not 2 <= self.fanout <= 32:
            raise errors.Misuse('fanout is not in 2..32')
        if self.sync_datagrams < 1 or self.members_max < 1:
            raise errors.Misuse('sync_datagrams and members_max begin at 1')
        self._check_signs()

    def _check_signs(self) -> None:
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < math.inf:
                raise errors.Misuse(f'{name} is not a positive number')
        for name in _NOT_NEGATIVE:
            if not 0 <= getattr(self, name) < math.inf:
                raise errors.Misuse(f'{name} is negative')
