# SPDX-License-Identifier: Apache-2.0
"""Commands about single instances."""

from __future__ import annotations

import argparse

import msgspec
from cliff import command

from p2pcs_nova import wire
from p2pcs_nova.manage import daemon


def parse_uuid(text: str) -> str:
    """The UUID of an instance.

    :raises ArgumentTypeError: it is none
    """
    try:
        return msgspec.convert(text, wire.Uuid)
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError(
            f'not the UUID of an instance: {text!r}'
        ) from None


class InstanceForget(command.Command):
    """Wait no more for the PC of a deleted instance.

    For a PC that never comes back: its addresses may then be given to
    others. If it does come back, it may still run the instance.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'instance',
            metavar='UUID',
            type=parse_uuid,
            help='an instance of `instance list --deleted`',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Give it up, and say on which PC."""
        with daemon.connect(self) as client:
            given_up = client.forget(parsed_args.instance)
        for grave in given_up.graves:
            self.app.stdout.write(
                f'instance {grave.instance}: {grave.peer_name} is not '
                'waited for any more\n'
            )
