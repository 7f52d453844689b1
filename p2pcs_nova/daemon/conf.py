# SPDX-License-Identifier: Apache-2.0
"""The options of ``p2pcs.conf``: one file on every machine, short.

``[owner]`` belongs to the PC's owner; the rest to who installs the daemon.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from oslo_config import cfg

from p2pcs_nova import layout
from p2pcs_nova.terms import conf as terms

daemon_opts = [
    cfg.StrOpt(
        'state_dir',
        default=layout.STATE_DIR,
        help='Folder for what must survive a power cut: key, certificates, '
        'promises, images, disks of instances.',
    ),
    cfg.StrOpt(
        'socket',
        default=layout.SOCKET,
        help='UNIX socket for requests from this machine. The user id of '
        'the caller is checked.',
    ),
    cfg.ListOpt(
        'socket_users',
        default=[],
        help='Users beside root who may use the socket, by name or number; '
        'a gateway lists the user that nova-compute runs as. Only root '
        'makes tokens, puts PCs out, and gives deleted instances up.',
    ),
    cfg.IPOpt(
        'bind_address',
        default='0.0.0.0',  # noqa: S104
        help='Address to listen on.',
    ),
    cfg.IPOpt(
        'advertise_address',
        help='Address that other machines reach this one at. Default: '
        'bind_address if it names one, else the source address of the '
        'route to a seed.',
    ),
    cfg.PortOpt(
        'port',
        default=layout.PORT,
        help='UDP port of the overlay and TCP port of requests.',
    ),
    cfg.PortOpt(
        'join_port',
        default=layout.JOIN_PORT,
        help='TCP port that answers PCs which want to join.',
    ),
    cfg.StrOpt(
        'name',
        default=socket.gethostname(),
        sample_default='<host name>',
        help='Name of this machine for people. It identifies nothing.',
    ),
]

owner_opts = [
    cfg.IntOpt(
        'vcpus',
        min=0,
        help='Virtual CPUs to offer. Default: what the PC has less '
        'keep_vcpus.',
    ),
    cfg.IntOpt(
        'memory_mb',
        min=0,
        help='Memory to offer, MiB. Default: what the PC has less '
        'keep_memory_mb.',
    ),
    cfg.IntOpt(
        'disk_mb',
        min=0,
        help='Disk to offer, MiB. Default: what is free under state_dir '
        'less keep_disk_mb.',
    ),
    cfg.IntOpt('keep_vcpus', min=0, default=1, help='CPUs kept by the owner.'),
    cfg.IntOpt(
        'keep_memory_mb',
        min=0,
        default=2048,
        help='Memory kept by the owner, MiB.',
    ),
    cfg.IntOpt(
        'keep_disk_mb',
        min=0,
        default=10240,
        help='Disk kept by the owner, MiB.',
    ),
    cfg.DictOpt(
        'attributes',
        default={},
        help="What the policy and users' queries may ask of this PC, as "
        'key:value pairs: site:rome,country:IT,owner:chemistry,floor:3,'
        "laptop:true. Between the texts of a list there is ';'. What is "
        'said here goes before what the PC measures itself.',
    ),
    cfg.DictOpt(
        'bridge_mappings',
        default={},
        help='Physical network to bridge on this PC: office:br0. The owner '
        'makes the bridge; nothing here re-plumbs a network card.',
    ),
]

hypervisor_opts = [
    cfg.StrOpt('uri', default='qemu:///system', help='libvirt connection.'),
    cfg.FloatOpt(
        'call_timeout_s',
        min=1.0,
        default=20.0,
        help='Longest time that a call to libvirt may take, seconds.',
    ),
    cfg.BoolOpt(
        'probe_kvm',
        default=True,
        help='Boot a tiny guest under KVM at start and offer KVM only if '
        'it ran. False: TCG only.',
    ),
    cfg.FloatOpt(
        'probe_timeout_s',
        min=0.5,
        default=5.0,
        help='Time in which that tiny guest must have run, seconds.',
    ),
    cfg.StrOpt(
        'emulator',
        default='/usr/bin/qemu-system-x86_64',
        help='QEMU binary.',
    ),
]

gateway_opts = [
    cfg.IntOpt(
        'claim_width',
        min=1,
        max=64,
        default=4,
        help='PCs asked at once for a new instance.',
    ),
    cfg.FloatOpt(
        'claim_timeout_s',
        min=0.1,
        default=3.0,
        help='Time a PC has to answer a claim, seconds.',
    ),
    cfg.FloatOpt(
        'build_timeout_s',
        min=1.0,
        max=900.0,
        default=300.0,
        help='Time a PC has to fetch the image and build, seconds; a spawn '
        'on all PCs that are tried ends after 900.',
    ),
]

GROUPS: Sequence[tuple[str, Sequence[cfg.Opt]]] = (
    ('DEFAULT', daemon_opts),
    ('owner', owner_opts),
    ('hypervisor', hypervisor_opts),
    ('gateway', gateway_opts),
)


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known to ``conf``; idempotent."""
    for group, opts in GROUPS:
        conf.register_opts(opts, None if group == 'DEFAULT' else group)
    terms.register(conf)


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """For oslo-config-generator."""
    return list(GROUPS)
