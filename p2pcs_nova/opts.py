# SPDX-License-Identifier: Apache-2.0
"""The daemon's options for oslo-config-generator."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

from p2pcs_nova.daemon import conf


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """Groups and options of ``p2pcs.conf``."""
    return conf.list_opts()
