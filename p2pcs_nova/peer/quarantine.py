# SPDX-License-Identifier: Apache-2.0
"""What its gateway does not know: frozen and kept, for some days.

The days are those that this PC is on: whoever comes back after a long
time off has as many to be remembered in.
"""

from __future__ import annotations

import logging

import msgspec

from p2pcs_nova.peer import states
from p2pcs_nova.peer.hypervisor import Power
from p2pcs_nova.peer.power import PowerSwitch
from p2pcs_nova.peer.register import Register
from p2pcs_nova.peer.steps import Step
from p2pcs_nova.peer.store import Entry, Stage
from p2pcs_nova.peer.watch import Watch

LOG = logging.getLogger(__name__)

QUARANTINE_S = 7 * states.DAY_S
"""How long this PC keeps, while it is on, what its gateway does not know."""
NOTED_S = 3600.0
"""So much of that time the end of the daemon may lose."""


class Quarantine:
    """Puts instances of one PC aside, and takes them in again."""

    def __init__(
        self, register: Register, watch: Watch, switch: PowerSwitch
    ) -> None:
        self._register = register
        self._watch = watch
        self._switch = switch

    async def begin(self, entry: Entry) -> Entry:
        """Freeze it, and lose nothing; as it is now.

        Nothing happens to what is not BUILT.
        """
        if entry.stage is not Stage.BUILT:
            return entry
        LOG.warning(
            '[instance %s] epoch %s is not known to its gateway: it is '
            'frozen, and taken away after %d days',
            entry.right.instance,
            entry.right.epoch,
            QUARANTINE_S // states.DAY_S,
        )
        entry = msgspec.structs.replace(
            entry, stage=Stage.QUARANTINED, left_s=QUARANTINE_S
        )
        await self._register.put(entry, Step.QUARANTINE_STORED)
        await self._switch.freeze(entry)
        return entry

    async def end(self, entry: Entry) -> Entry:
        """It is known again: BUILT, as it is now; still frozen."""
        entry = msgspec.structs.replace(entry, stage=Stage.BUILT)
        await self._register.put(entry, Step.QUARANTINE_STORED)
        return entry

    async def keep(self, entry: Entry, elapsed_s: float) -> bool:
        """See that it is frozen; False: its time is over.

        :param elapsed_s: seconds since this was last called
        """
        instance = entry.right.instance
        left_s = entry.left_s - elapsed_s
        if left_s <= 0:
            LOG.warning('[instance %s] its quarantine is over', instance)
            return False
        aged = msgspec.structs.replace(entry, left_s=left_s)
        if left_s // NOTED_S != entry.left_s // NOTED_S:
            await self._register.note(aged)
        else:
            self._register.note_in_memory(aged)
        domain = self._watch.domain(instance)
        if domain is not None and domain.power is Power.RUNNING:
            await self._switch.freeze(aged)
        return True
