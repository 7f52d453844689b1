# SPDX-License-Identifier: Apache-2.0
"""Commands that ask the daemon of this machine."""

from __future__ import annotations

from cliff import command

from p2pcs_nova.client.local import LocalClient


def connect(asking: command.Command) -> LocalClient:
    """The daemon behind the global option ``--socket``."""
    assert asking.app_args is not None
    return LocalClient(asking.app_args.socket)
