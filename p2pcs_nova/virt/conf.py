# SPDX-License-Identifier: Apache-2.0
"""The driver's options: group ``p2pcs`` of a slice's ``nova.conf``."""

from __future__ import annotations

from oslo_config import cfg

from p2pcs_nova import layout

GROUP = 'p2pcs'

OPTS = [
    cfg.StrOpt(
        'socket',
        default=layout.SOCKET,
        help='UNIX socket of the gateway daemon on this machine. The user '
        "that nova-compute runs as is listed in that daemon's "
        '"socket_users".',
    ),
    cfg.StrOpt(
        'slice',
        help='Slice that this nova-compute serves. Default: the value of '
        '[DEFAULT] host.',
        sample_default='<host>',
    ),
    cfg.StrOpt(
        'term_file',
        help='File that the gateway program renews: by which term this '
        'nova-compute serves its slice, and until when. The process ends '
        'when that is over. p2pcs-gateway sets it. Default: it serves by '
        'no term, and does not end; the daemon must be told one otherwise.',
    ),
    cfg.FloatOpt(
        'timeout_s',
        default=10.0,
        min=0.1,
        help='Seconds that the daemon may be silent on an ordinary request.',
    ),
    cfg.FloatOpt(
        'build_timeout_s',
        default=960.0,
        min=1.0,
        help="Seconds for one build: claims, the image's way to a PC, the "
        'disk. Longer than the gateway tries (15 minutes), so that its '
        'answer is heard.',
    ),
    cfg.FloatOpt(
        'image_timeout_s',
        default=600.0,
        min=1.0,
        help='Seconds of silence while an image goes from Glance to the '
        'gateway, the check of its digest included.',
    ),
    cfg.FloatOpt(
        'soft_reboot_timeout_s',
        default=120.0,
        min=1.0,
        max=3600.0,
        help='Seconds that a guest may take to shut down at a soft reboot '
        'before it is reset.',
    ),
    cfg.FloatOpt(
        'suspend_timeout_s',
        default=600.0,
        min=1.0,
        max=3600.0,
        help="Seconds that a guest's memory may take to or from the disk of "
        'its PC. A guest that is not suspended by then runs on.',
    ),
    cfg.FloatOpt(
        'snapshot_timeout_s',
        default=3600.0,
        min=1.0,
        max=86400.0,
        help='Seconds that a PC may take to copy the disk of a server, '
        'before the copy goes to Glance.',
    ),
    cfg.BoolOpt(
        'server_groups',
        default=True,
        help='Keep the servers of a server group together, or apart, PC by '
        'PC. The driver asks for the group through the conductor, which '
        'needs the API database for that. False: groups are kept by slice '
        'only, as far as the scheduler does it.',
    ),
    cfg.FloatOpt(
        'start_timeout_s',
        default=60.0,
        min=0.0,
        help='Seconds that a starting nova-compute waits for the daemon. '
        'After them it starts all the same, and its node counts as not '
        'ready until the daemon answers.',
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make ``conf.p2pcs`` known; calling it again does nothing."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """What oslo-config-generator shows of Nova's side."""
    return [(GROUP, OPTS)]
