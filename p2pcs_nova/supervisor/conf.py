# SPDX-License-Identifier: Apache-2.0
"""What ``p2pcs-gateway`` reads of ``p2pcs.conf``: group ``compute``."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

from p2pcs_nova import layout

GROUP = 'compute'

compute_opts = [
    cfg.StrOpt(
        'program',
        default='nova-compute',
        help='The stock nova-compute, by name or path.',
    ),
    cfg.ListOpt(
        'config_files',
        default=['/etc/p2pcs/nova.conf'],
        help='What the nova-computes of all slices are told, in files for '
        'nova.conf; what is proper to a slice comes after it.',
    ),
    cfg.StrOpt(
        'folder',
        default='/var/lib/p2pcs-gateway',
        help='Folder with one folder for each slice: what its nova-compute '
        'is told and keeps. The user that p2pcs-gateway runs as owns it.',
    ),
    cfg.StrOpt(
        'log_folder',
        help='Folder for the logs of the nova-computes. Default: they say '
        'all where p2pcs-gateway says it.',
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known to ``conf``; idempotent."""
    conf.register_opt(cfg.StrOpt('socket', default=layout.SOCKET))
    conf.register_opts(compute_opts, GROUP)


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """For oslo-config-generator; the daemon lists ``socket``."""
    return [(GROUP, compute_opts)]
