# SPDX-License-Identifier: Apache-2.0
"""Other processes with our identity: those of the past, and live ones.

Rules:

1. A later boot of ours that we do not remember (we were restored from a
   backup) is overtaken, if our own signature shows it: at once a few times,
   then every ``overtake_s``. Two that live do not outbid each other as fast
   as they can.
2. One whose boot we have met before, and that is back by a greater boot,
   lives beside us: the identity is contested. Nobody wins; each overtakes
   the other for as long as both live. A mere restart is none of this: its
   boot id is new.
3. A process with our memory (a virtual machine's snapshot was resumed twice)
   has our boot id, and so our sealing key and its counter. It is seen by a
   descriptor that we have signed and never made. So who overtakes for the
   first time goes on by a new boot id, and again whenever another has that
   one. Until the two hear of each other they use nonces twice.

No paper: boots and what becomes of two with one identity are ours.
"""

import hashlib
import random

from gossip import descriptor
from gossip.entry import Entry

_RAISES_MAX = 3
_RIVALS_MAX = 4


class Rivals:
    """What one node knows of other processes with its identity."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._raises = 0
        self._heard = 0
        self._may_share = True
        self._met: dict[bytes, tuple[int, int]] = {}

    def hear(self, boot: int) -> bool:
        """Note a boot of ours, not below our own, that we did not make.

        :returns: whether to overtake it at once
        """
        self._heard = max(self._heard, boot)
        if self._raises >= _RAISES_MAX:
            return False
        self._raises += 1
        return True

    def is_behind(self, boot: int) -> bool:
        """Whether our boot is one that is still to be raised."""
        if self._heard >= boot:
            return True
        self._raises = 0
        return False

    def meet(self, rival: Entry) -> bool:
        """Note a process that has another boot id.

        :returns: whether it lives beside us
        """
        met = self._met.get(rival.member.boot_id, rival.order)
        self._met[rival.member.boot_id] = max(met, rival.order)
        if len(self._met) > _RIVALS_MAX:
            del self._met[next(iter(self._met))]
        return rival.order > met

    def meet_twin(self) -> None:
        """Note that another process has our boot id."""
        self._may_share = True

    def next_boot(self, own: Entry) -> tuple[int, bytes]:
        """The boot that overtakes all, and the boot id that goes with it.

        A new one is nobody else's. Who has our memory draws as we do, but
        says another thing of itself.
        """
        boot_id = own.member.boot_id
        if self._may_share:
            self._may_share = False
            boot_id = hashlib.blake2b(
                own.item.body,
                key=self._rng.randbytes(32),
                digest_size=descriptor.BOOT_ID_BYTES,
            ).digest()
        return self._heard + 1, boot_id
