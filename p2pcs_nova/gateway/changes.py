# SPDX-License-Identifier: Apache-2.0
"""What has changed since one last looked.

Whoever keeps something of each of very many looks again at the few that
have changed, not at all of them.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar('K', bound=Hashable)

KEPT = 1000
"""Changes that are remembered; who comes later looks at everything."""
NEVER = -1
"""The number of a reader that has not looked yet."""


class Changes(Generic[K]):
    """The keys that changed last, for any number of readers.

    Each reader keeps the ``number`` that it found when it looked.
    """

    def __init__(self) -> None:
        self.number = 0
        """Of the last change."""
        self._keys = collections.deque[K](maxlen=KEPT)

    def note(self, key: K) -> None:
        """It came, went, or is another."""
        self.number += 1
        self._keys.append(key)

    def since(self, number: int) -> set[K] | None:
        """Those that changed after this; None: everything may have."""
        new = self.number - number
        if new > len(self._keys):
            return None
        return set(itertools.islice(reversed(self._keys), new))
