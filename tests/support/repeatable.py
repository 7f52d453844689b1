# SPDX-License-Identifier: Apache-2.0
"""A seed for the order in which trio runs its tasks.

That order is random; hypothesis makes it follow from one generator of
trio's, and so do we.  Sets of texts have an order of their own: with
PYTHONHASHSEED=0 the same command is the same run.
"""

from __future__ import annotations

from trio._core import _run


def order_tasks_by(seed: int) -> None:
    """Of all that follows in this process."""
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _run._r.seed(seed)
