# SPDX-License-Identifier: Apache-2.0
"""Commands that ask the daemon of this machine."""

from __future__ import annotations

import os

from cliff import command

from p2pcs_nova.client.local import LocalClient


def connect(asking: command.Command) -> LocalClient:
    """The daemon behind the global option ``--socket``."""
    assert asking.app_args is not None
    return LocalClient(asking.app_args.socket)


def has_socket(asking: command.Command) -> bool:
    """Whether a daemon of this machine may be asked; that may still fail."""
    assert asking.app_args is not None
    try:
        os.stat(asking.app_args.socket)
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    return True
