# SPDX-License-Identifier: Apache-2.0
"""What filter and weigher read of a slice: ``HostState.stats``.  Pure.

The driver tells Nova once a minute and with each of its claims what is
free on the PCs of a slice (:mod:`p2pcs_nova.virt.inventory`); with
``p2pcs-scheduler`` each request has the number of the moment beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from p2pcs_nova import wire
from p2pcs_nova.virt import inventory

SLOTS = 'p2pcs_slots'
"""How many such instances the slice has room for, now."""


def largest_free(stats: Mapping[str, str]) -> wire.Capacity | None:
    """The most that is free on one PC, part by part; None: no slice."""
    try:
        return wire.Capacity(
            *(int(stats[key]) for key in inventory.LARGEST_FREE)
        )
    except (KeyError, ValueError):
        return None


def slots(stats: Mapping[str, str], need: wire.Capacity) -> int:
    """Room for so many such instances; 0 for what is no slice.

    As it is now if that is known, else on the emptiest PC of the slice.
    """
    if SLOTS in stats:
        return int(stats[SLOTS])
    free = largest_free(stats)
    if free is None:
        return 0
    return free.slots(need)
