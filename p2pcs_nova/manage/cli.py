# SPDX-License-Identifier: Apache-2.0
"""``p2pcs-manage``: the operator's command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from cliff import app, command, commandmanager

from p2pcs_nova import layout, version
from p2pcs_nova.manage import (
    authority,
    era,
    explain,
    hosts,
    instances,
    listing,
    policy,
    revoking,
    ring,
    tokens,
)

_COMMANDS: dict[str, type[command.Command]] = {
    'ca init': authority.CaInit,
    'gateway enrol': authority.GatewayEnrol,
    'token create': tokens.TokenCreate,
    'peer list': listing.PeerList,
    'peer revoke': revoking.PeerRevoke,
    'policy validate': policy.PolicyValidate,
    'policy apply': policy.PolicyApply,
    'policy show': policy.PolicyShow,
    'policy diff': policy.PolicyDiff,
    'era show': era.EraShow,
    'era raise': era.EraRaise,
    'ring renew': ring.RingRenew,
    'slice list': listing.SliceList,
    'slice publish': hosts.SlicePublish,
    'instance list': listing.InstanceList,
    'instance forget': instances.InstanceForget,
    'explain': explain.Explain,
}


class ManageApp(app.App):
    """The application that cliff runs: failures are one line on stderr."""

    def __init__(self) -> None:
        super().__init__(
            description='Set up and look at an overlay of PCs.',
            version=version.release(),
            command_manager=_commands(),
            deferred_help=True,
        )

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, object] | None = None,
    ) -> argparse.ArgumentParser:
        """Global options: where the daemon listens."""
        parser = super().build_option_parser(
            description, version, argparse_kwargs
        )
        parser.add_argument(
            '--socket',
            metavar='PATH',
            default=os.environ.get('P2PCS_SOCKET', layout.SOCKET),
            help='UNIX socket of the daemon on this machine '
            f'(environment P2PCS_SOCKET; default {layout.SOCKET}); '
            'not needed by `ca` and `gateway`',
        )
        return parser


def _commands() -> commandmanager.CommandManager:
    manager = commandmanager.CommandManager('p2pcs.manage')
    for name, kind in _COMMANDS.items():
        manager.add_command(name, kind)
    return manager


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script; without a command, its help."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    manage = ManageApp()
    return int(manage.run(arguments or ['help']))


if __name__ == '__main__':
    sys.exit(main())
