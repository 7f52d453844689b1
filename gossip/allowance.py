# SPDX-License-Identifier: Apache-2.0
"""How often something is done for each of many, at most.

A bucket of tokens for each (Turner 1986, New directions in communications,
VII): it fills at a steady rate up to a bound, and whatever is done takes a
token from it.
"""

import collections
from collections.abc import Hashable

_KEPT = 1024


class Allowance:
    """A bucket of tokens for each key; the last 1,024 keys are kept.

    :param burst: how often at once; at least 1
    :param per_s: how often in a second, in the long run
    """

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left: collections.OrderedDict[Hashable, tuple[float, float]] = (
            collections.OrderedDict()
        )

    def take(self, key: Hashable, now: float) -> bool:
        """Whether it may be done for this key now; it then was."""
        left, at = self._left.get(key, (self._burst, now))
        left = min(left + (now - at) * self._per_s, self._burst)
        if left < 1.0:
            return False
        self._left[key] = left - 1.0, now
        self._left.move_to_end(key)
        if len(self._left) > _KEPT:
            self._left.popitem(last=False)
        return True
