# SPDX-License-Identifier: Apache-2.0
"""A crashed process shows at once: its machine refuses datagrams.

A machine answers a datagram to a port on which nobody listens with ICMP
"port unreachable", some 0.1 ms later; a machine that is off or unplugged,
and a process that is stopped, are silent. Neither SWIM nor Lifeguard looks
at this. Anybody on the wire can forge it, so it is a hint and no more.

Rules:

1. Who hears of a refusal while it probes asks others to probe too, at once,
   and tells the peer itself.
2. Who was refused and hears no answer within ``refusal_wait_s`` to a second
   datagram says so: a signed suspicion that is marked as one. Who was asked
   says it to who asked.
3. With its own refusal, no answer to its own probe, and the words of
   ``confirmations`` others (or all others, where there are fewer), who
   asked confirms the death, and shows these words to everybody.
4. An answer, or a refutation, ends it. Nothing that the other rules of
   :mod:`gossip.detection` do is put off or left out: where refusals are
   filtered or rare, the silence counts as ever.

Where there are fewer than two others nobody can confirm: silence counts.
"""

import dataclasses

from gossip import descriptor, messages

_KEPT_S = 1.0


@dataclasses.dataclass
class _Case:
    order: tuple[int, int]
    answer_until: float
    due_at: float
    until: float
    said: dict[descriptor.PeerId, messages.ClaimItem]


class Refusals:
    """The peers whose machines refuse our datagrams.

    :param wait_s: for an answer
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._cases: dict[descriptor.PeerId, _Case] = {}

    def begin(
        self, peer: descriptor.PeerId, order: tuple[int, int], now: float
    ) -> None:
        """We were refused ourselves."""
        answer_until = now + self._wait_s
        self._cases[peer] = _Case(
            order, answer_until, answer_until, now + _KEPT_S, {}
        )

    def end(self, peer: descriptor.PeerId) -> None:
        """It has answered."""
        self._cases.pop(peer, None)

    def on_pause(self) -> None:
        """We were stopped: what was refused before says nothing now."""
        self._cases.clear()

    def hears(self, claim: messages.Claim, item: messages.ClaimItem) -> bool:
        """Another was refused too; whether we wait for such a word."""
        case = self._cases.get(claim.subject)
        if case is None or case.order != (claim.boot, claim.incarnation):
            return False
        case.said[claim.author] = item
        return True

    def deadline(self) -> float | None:
        """When something is due."""
        if not self._cases:
            return None
        return min(case.due_at for case in self._cases.values())

    def due(self, now: float) -> list[descriptor.PeerId]:
        """Whom to judge now."""
        return [
            peer for peer, case in self._cases.items() if now >= case.due_at
        ]

    def judge(
        self,
        peer: descriptor.PeerId,
        order: tuple[int, int],
        quorum: int,
        now: float,
    ) -> list[messages.ClaimItem]:
        """The words of those who confirm, if they are enough by now.

        If they are not, more may come, for a second: to be judged each
        time.

        :param order: (boot, incarnation) as we hold the peer now
        """
        case = self._cases.get(peer)
        if case is None or now < case.answer_until:
            return []
        case.due_at = case.until
        words = list(case.said.values())[:quorum]
        if quorum < 1 or case.order != order or now >= case.until:
            words = []
        elif len(words) < quorum:
            return []
        del self._cases[peer]
        return words
