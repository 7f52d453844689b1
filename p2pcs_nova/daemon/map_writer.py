# SPDX-License-Identifier: Apache-2.0
"""Who writes the slice map, and when: one gateway, from what all say.

The gateway with the lowest id of those alive writes.  Two that do not see
each other may both write: the overlay keeps one of the maps, and nothing
rests on a map but where new instances go.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Collection, Sequence

import trio
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import errors, wire
from p2pcs_nova.daemon.policies import Policies
from p2pcs_nova.identity import keys
from p2pcs_nova.policy import signing
from p2pcs_nova.policy.document import NOTHING, Policy
from p2pcs_nova.policy.partition import NO_MAP, next_map

LOG = logging.getLogger(__name__)

LOOK_S = 2.0
SETTLE_S = 15.0
"""After the start, as long as not all PCs are known."""
NO_REPORT = wire.HostsReport(0, 0)
BOOKS_S = 5.0
"""Between two looks into the books of all gateways, while a slice is
drained: they are in etcd."""


class MapWriter:
    """Writes the slice map of this daemon, a gateway.

    :param key: of this gateway
    :param elected: whether it is this gateway's to write now
    :param records: what all PCs say
    :param needed: the slices that any gateway's book has anything of
    """

    def __init__(
        self,
        policies: Policies,
        peer: str,
        key: ed25519.Ed25519PrivateKey,
        *,
        elected: Callable[[], bool],
        records: Callable[[], Sequence[wire.PeerRecord]],
        needed: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        self._policies = policies
        self._peer = peer
        self._key = key
        self._elected = elected
        self._records = records
        self._needed = needed
        self._due_s = -math.inf
        """When the books may be looked into again."""
        self._judged = (NOTHING, NO_MAP)
        """The policy and the map that they were last looked into for."""
        self._heard: wire.HostsReport | None = None

    def hear(self, report: wire.HostsReport) -> None:
        """What Nova has left of slices: good for one look at this map."""
        self._heard = report

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        settled = trio.current_time() + SETTLE_S
        while True:
            try:
                await self._look(trio.current_time() >= settled)
            except (errors.P2PcsError, OSError) as error:
                LOG.error('the slice map is not written: %s', error)
            await trio.sleep(LOOK_S)

    async def _look(self, settled: bool) -> None:
        now = self._policies.in_force
        is_new = now.map.policy != now.policy.version
        if not now.policy.version or not self._elected():
            return
        if not (settled or is_new):
            return
        needed = await self._look_up(now.policy, now.map)
        now = self._policies.in_force
        records = self._records()
        hosts = NO_REPORT if needed is None else self._take_heard(now.map)
        following = next_map(
            now.policy,
            now.map,
            slots_of(now.policy, records),
            needed,
            {*bound_slices(records), *hosts.busy},
            gone=hosts.gone,
            idle=hosts.idle,
        )
        if following is now.map:
            return
        LOG.info(
            'slice map %d: %s',
            following.generation,
            ', '.join(f'{row.name} {row.state}' for row in following.rows),
        )
        signed = signing.sign_map(following, self._key, self._peer)
        await self._policies.apply_map(signed, keys.public_bytes(self._key))

    async def _look_up(
        self, policy: Policy, slices: wire.SliceMap
    ) -> Collection[str] | None:
        """What the books say; None if nothing rests on it, or they do not."""
        now = trio.current_time()
        if self._judged == (policy, slices):
            is_open = self._heard is not None or any(
                row.state is wire.SliceState.DRAINING for row in slices.rows
            )
            if not is_open or now < self._due_s:
                return None
        self._due_s = now + BOOKS_S
        try:
            needed = await self._needed()
        except errors.Unavailable as error:
            LOG.debug('no slice is closed for now: %s', error)
            return None
        self._judged = (policy, slices)
        return needed

    def _take_heard(self, slices: wire.SliceMap) -> wire.HostsReport:
        """What was said of Nova's hosts, if that was said of this map."""
        heard, self._heard = self._heard or NO_REPORT, None
        of = heard.policy, heard.generation
        return heard if of == (slices.policy, slices.generation) else NO_REPORT


def slots_of(
    policy: Policy, records: Sequence[wire.PeerRecord]
) -> dict[str, int]:
    """The slots of all PCs of each site."""
    found: dict[str, int] = {}
    for record in records:
        site = policy.site_of(record.attributes)
        if site is not None:
            slots = policy.slots_of(record.offer.total)
            found[site.name] = found.get(site.name, 0) + slots
    return found


def bound_slices(records: Sequence[wire.PeerRecord]) -> set[str]:
    """The slices that PCs hold anything for, by their own word."""
    return {
        record.slice
        for record in records
        if record.slice and record.used != wire.Capacity()
    }
