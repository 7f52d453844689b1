# SPDX-License-Identifier: Apache-2.0
"""Who writes the slice map, and when: one gateway, from what all say.

The gateway with the lowest id of those alive writes.  Two that do not see
each other may both write: the overlay keeps one of the maps, and nothing
rests on a map but where new instances go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

import trio
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import errors, wire
from p2pcs_nova.daemon.policies import Policies
from p2pcs_nova.identity import keys
from p2pcs_nova.policy import signing
from p2pcs_nova.policy.document import Policy
from p2pcs_nova.policy.partition import next_map

LOG = logging.getLogger(__name__)

LOOK_S = 2.0
SETTLE_S = 15.0
"""After the start, as long as not all PCs are known."""


class MapWriter:
    """Writes the slice map of this daemon, a gateway.

    :param key: of this gateway
    :param elected: whether it is this gateway's to write now
    :param records: what all PCs say
    :param occupied: the slices that hold instances
    """

    def __init__(
        self,
        policies: Policies,
        peer: str,
        key: ed25519.Ed25519PrivateKey,
        *,
        elected: Callable[[], bool],
        records: Callable[[], Sequence[wire.PeerRecord]],
        occupied: Callable[[], Collection[str]],
    ) -> None:
        self._policies = policies
        self._peer = peer
        self._key = key
        self._elected = elected
        self._records = records
        self._occupied = occupied

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
        records = self._records()
        following = next_map(
            now.policy,
            now.map,
            slots_of(now.policy, records),
            {*bound_slices(records), *self._occupied()},
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
