# SPDX-License-Identifier: Apache-2.0
"""What follows when nova-computes end soon after they were started.

Rules:

1. a slice whose nova-compute has ended by itself waits for the next one
   here, twice as long each time; meanwhile others that have less than their
   share may have it;
2. a gateway is failing, for a while, when its nova-computes have ended soon
   several times in a row, whichever slices they were of, and none of them
   runs steadily;
3. a nova-compute lives from its first sign of life on: one that has given
   none, as it cannot reach Nova perhaps, ends soon however long it took.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

RETRY_FIRST_S = 1.0
"""Before another follows one that has ended; it doubles each time that one
ends soon, ..."""
RETRY_LAST_S = 60.0
"""... up to this, ..."""
STEADY_S = 60.0
"""... and begins anew after one that has run so long."""
FAILURES = 3
"""In a row: then it is the gateway that is to blame."""
FAILING_S = 600.0
"""After the last of them: another try costs a slice of the others the time
that two nova-computes need to start."""


class Fitness:
    """How nova-computes fare on this gateway; times are of one clock."""

    def __init__(self) -> None:
        self._pauses: dict[str, float] = {}
        """The last one of each slice."""
        self._due: dict[str, float] = {}
        """When a slice's next nova-compute may start here."""
        self._failures = 0
        self._failed_at = -math.inf

    def ended(self, slice_: str, lived_s: float, now: float) -> None:
        """A slice's nova-compute has ended by itself."""
        pause_s = RETRY_FIRST_S
        if lived_s >= STEADY_S:
            self._failures = 0
        else:
            self._failures += 1
            self._failed_at = now
            last_s = self._pauses.get(slice_, RETRY_FIRST_S)
            pause_s = min(2 * last_s, RETRY_LAST_S)
        self._pauses[slice_] = pause_s
        self._due[slice_] = now + pause_s

    def may_start(self, slice_: str, now: float) -> bool:
        """Whether a nova-compute of the slice may start here."""
        return now >= self._due.get(slice_, now)

    def is_failing(self, lives: Iterable[float], now: float) -> bool:
        """Whether other gateways are better for every slice.

        :param lives: seconds of those that run now
        """
        return (
            self._failures >= FAILURES
            and now - self._failed_at < FAILING_S
            and all(lived_s < STEADY_S for lived_s in lives)
        )
