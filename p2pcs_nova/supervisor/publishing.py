# SPDX-License-Identifier: Apache-2.0
"""Nova's hosts follow the slices by themselves.

Every gateway that has a user of Nova does it, and does again what another
has done: each step is taken from what Nova says at that moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.hosts.nova import Outcome
from p2pcs_nova.policy import in_force
from p2pcs_nova.policy.partition import Partition
from p2pcs_nova.supervisor import blocking
from p2pcs_nova.supervisor.trouble import Trouble

LOG = logging.getLogger(__name__)


LOOK_S = 3.0
"""Between two looks at the slices."""
RETRY_S = 10.0
"""Between two tries at Nova until its hosts are as the slices, ..."""
AGAIN_S = 300.0
"""... and then, whatever other hands may have done there."""
QUIET_S = 15.0
"""A slice without servers, that gets none, may be closed after so long: a
scheduler may have chosen it before."""


class Publisher:
    """Has Nova's hosts follow the slices.

    :param ask: the policy and the slice map of this machine's daemon
    :param follow: have Nova's hosts as these slices
    :param tell: the daemon what Nova has left; all of them may block
    """

    def __init__(
        self,
        ask: Callable[[], wire.PolicyBundle],
        follow: Callable[[Partition], Outcome],
        tell: Callable[[wire.HostsReport], None],
    ) -> None:
        self._ask = ask
        self._follow = follow
        self._tell = tell
        self._told: wire.PolicyBundle | None = None
        self._since_s = 0.0
        """When the slices last changed."""
        self._idle_since_s: dict[str, float] = {}
        """By drained slice."""
        self._due_s = 0.0
        """When Nova is told again, if nothing changes."""
        self._waiting: frozenset[str] = frozenset()
        self._trouble = Trouble("having Nova's hosts as the slices")

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look(trio.current_time())
            await trio.sleep(LOOK_S)

    async def look(self, now: float) -> None:
        """One look; what fails has its turn again in a while."""
        try:
            bundle = await blocking.call(self._ask)
            if bundle == self._told and now < self._due_s:
                return
            if bundle != self._told:
                self._since_s = now
            self._told, self._due_s = bundle, now + RETRY_S
            partition = in_force.read_partition(bundle)
            outcome = await blocking.call(self._follow, partition)
            report = self._report(partition, outcome, now)
            if report.gone or report.idle or report.busy:
                await blocking.call(self._tell, report)
        except errors.P2PcsError as error:
            self._trouble.note(error.message)
            return
        except Exception as error:
            # An answer that nobody expected: no reason to end the slices.
            LOG.debug('Nova', exc_info=True)
            self._trouble.note(f'it answered with {error!r}')
            return
        self._trouble.note('')
        for why in sorted(set(outcome.waiting) - self._waiting):
            LOG.info('not yet: %s', why)
        self._waiting = frozenset(outcome.waiting)
        if not outcome.waiting and partition.names == partition.open:
            self._due_s = now + AGAIN_S

    def _report(
        self, partition: Partition, outcome: Outcome, now: float
    ) -> wire.HostsReport:
        """What follows from how it has been for a while."""
        since_s = {
            name: self._idle_since_s.get(name, now) for name in outcome.idle
        }
        self._idle_since_s = since_s
        # A nova-compute that was about to start has come up since.
        is_calm = now >= self._since_s + AGAIN_S
        return wire.HostsReport(
            partition.map.policy,
            partition.map.generation,
            gone=outcome.gone if is_calm else (),
            idle=tuple(
                name for name in outcome.idle if now >= since_s[name] + QUIET_S
            ),
            busy=outcome.busy,
        )
