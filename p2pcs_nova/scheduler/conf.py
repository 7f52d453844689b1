# SPDX-License-Identifier: Apache-2.0
"""The scheduler's options: group ``p2pcs`` of its ``nova.conf``."""

from __future__ import annotations

from oslo_config import cfg

from p2pcs_nova.virt import conf as virt_conf

GROUP = virt_conf.GROUP

OPTS = [
    cfg.FloatOpt(
        'ask_timeout_s',
        default=2.0,
        min=0.1,
        help='Seconds that the daemon may be silent when p2pcs-scheduler '
        'asks which slices can take a server. After them the server is '
        'placed as Nova alone would place it; one that wishes for more than '
        'a slice is not, so for those "timeout_s" holds.',
    ),
    cfg.FloatOpt(
        'slots_weight_multiplier',
        default=1.0,
        help='How much it counts, beside the other weighers, that a slice '
        'has room for many more such servers. Negative: fill slices up one '
        'after the other. Aggregates may have a value of their own, as for '
        "Nova's weighers.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make ``conf.p2pcs`` known; calling it again does nothing."""
    virt_conf.register(conf)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """What oslo-config-generator shows of the scheduler."""
    return [(GROUP, OPTS)]
