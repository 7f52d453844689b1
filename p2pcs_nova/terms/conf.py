# SPDX-License-Identifier: Apache-2.0
"""Where several gateways agree on terms: group ``terms`` of ``p2pcs.conf``."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

GROUP = 'terms'

terms_opts = [
    cfg.ListOpt(
        'etcd_endpoints',
        default=[],
        help='Members of the etcd cluster by which several gateways share '
        'the slices: http://host:port or https://host:port. Default: none, '
        'this is the only gateway of the overlay.',
    ),
    cfg.BoolOpt(
        'alone',
        default=False,
        help='Be the only gateway although etcd_endpoints are named: what '
        'was shared there is taken from there once, when an era begins here.',
    ),
    cfg.StrOpt(
        'etcd_prefix',
        default='/p2pcs',
        help='What the names of our keys begin with; another one for each '
        'overlay.',
    ),
    cfg.StrOpt('etcd_ca_file', help='Certificates that etcd is known by.'),
    cfg.StrOpt('etcd_cert_file', help='Our certificate, for etcd.'),
    cfg.StrOpt('etcd_key_file', help='The key of that certificate.'),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known to ``conf``; idempotent."""
    conf.register_opts(terms_opts, GROUP)


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """For oslo-config-generator."""
    return [(GROUP, terms_opts)]
