# SPDX-License-Identifier: Apache-2.0
"""Neutron's options: group ``p2pcs`` of ``neutron.conf`` or ``ml2_conf.ini``.

A module of its own, so that the mechanism driver and the sample
configuration name the same objects.
"""

from __future__ import annotations

from oslo_config import cfg

GROUP = 'p2pcs'

OPTS = [
    cfg.ListOpt(
        'hosts',
        default=[],
        help='Slices (names of Nova compute hosts) whose ports this '
        'mechanism driver binds; the parts of a divided one, gold-2, are '
        'meant too. Empty: every host whose port no mechanism driver named '
        'earlier in [ml2] mechanism_drivers has bound. Name the slices when '
        'other, agentless hosts share the cloud.',
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make ``conf.p2pcs.hosts`` known; calling it again does nothing."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """What oslo-config-generator shows of Neutron's side."""
    return [(GROUP, OPTS)]
