# SPDX-License-Identifier: Apache-2.0
"""Prefers slices with room for many more such servers.

``p2pcs-scheduler`` uses it by itself, beside all of Nova's.  For sites that
keep nova-scheduler or have chosen weighers, in its nova.conf::

    [filter_scheduler]
    weight_classes = nova.scheduler.weights.all_weighers
    weight_classes = p2pcs_nova.scheduler.weighers.P2PSlotsWeigher
"""

from __future__ import annotations

from typing import Any

import nova.conf
from nova.scheduler import utils, weights

from p2pcs_nova.scheduler import conf, stats
from p2pcs_nova.virt import translate

CONF = nova.conf.CONF
conf.register(CONF)


class P2PSlotsWeigher(weights.BaseHostWeigher):  # type: ignore[misc]
    """Weighs by :func:`p2pcs_nova.scheduler.stats.slots`."""

    minval = 0

    def weight_multiplier(self, host_state: Any) -> float:
        """The option's value, or that of the host's aggregates."""
        return float(
            utils.get_weight_multiplier(
                host_state,
                'slots_weight_multiplier',
                CONF.p2pcs.slots_weight_multiplier,
            )
        )

    def _weigh_object(self, host_state: Any, weight_properties: Any) -> float:
        return float(
            stats.slots(
                getattr(host_state, 'stats', None) or {},
                translate.flavor_to_capacity(weight_properties.flavor),
            )
        )
