# SPDX-License-Identifier: Apache-2.0
"""Filters that know what a slice is.

For sites that keep nova-scheduler: leave out slices without room.
Placement adds up a slice's PCs: it takes a server that no single one of
them has room for.  In nova.conf of the scheduler::

    [filter_scheduler]
    available_filters = nova.scheduler.filters.all_filters
    available_filters = p2pcs_nova.scheduler.filters.P2PRoomFilter
    enabled_filters = …,P2PRoomFilter

ServerGroupAntiAffinityFilter, to be listed after them as available, and
which ``p2pcs-scheduler`` has by itself, takes the place of
Nova's filter of that name.
"""

from __future__ import annotations

from typing import Any

from nova.scheduler import filters
from nova.scheduler.filters import affinity_filter
from oslo_log import log

from p2pcs_nova.scheduler import stats
from p2pcs_nova.virt import translate

LOG = log.getLogger(__name__)


class P2PRoomFilter(filters.BaseHostFilter):  # type: ignore[misc]
    """Passes hosts that are no slices, and slices with a PC with room.

    With room: none of a flavor's parts is larger than the most that is
    free of it on one PC.
    """

    RUN_ON_REBUILD = False

    def host_passes(self, host_state: Any, spec_obj: Any) -> bool:
        """Whether this host may take it."""
        free = stats.largest_free(getattr(host_state, 'stats', None) or {})
        if free is None:
            return True
        need = translate.flavor_to_capacity(spec_obj.flavor)
        passes = free.fits(need)
        if not passes:
            LOG.debug(
                'No PC of %s has %s free, at most %s',
                host_state.host,
                need,
                free,
            )
        return passes


class ServerGroupAntiAffinityFilter(
    affinity_filter.ServerGroupAntiAffinityFilter  # type: ignore[misc]
):
    """Nova's, but slices pass: their gateway keeps servers apart by PC.

    Of the same name, since Nova refuses such groups without it.
    """

    def host_passes(self, host_state: Any, spec_obj: Any) -> bool:
        """Whether this host may take it."""
        return is_slice(host_state) or bool(
            super().host_passes(host_state, spec_obj)
        )


def let_slices_pass(host_manager: Any) -> None:
    """Put it in the place of Nova's, where that is enabled."""
    ours = ServerGroupAntiAffinityFilter()
    host_manager.enabled_filters = [
        ours
        if isinstance(one, affinity_filter.ServerGroupAntiAffinityFilter)
        else one
        for one in host_manager.enabled_filters
    ]


def is_slice(host_state: Any) -> bool:
    """Whether it is no ordinary host of Nova's."""
    said = getattr(host_state, 'stats', None) or {}
    return stats.SLOTS in said or stats.largest_free(said) is not None
