# SPDX-License-Identifier: Apache-2.0
"""Commands about join tokens."""

from __future__ import annotations

import argparse

from cliff import command

from p2pcs_nova.manage import daemon


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 30 * 86400:
        raise argparse.ArgumentTypeError('between 1 second and 30 days')
    return value


class TokenCreate(command.Command):
    """Create a join token and print it: it lets one PC join, once.

    On the PC: p2pcs-peer join TOKEN
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--valid-s',
            metavar='SECONDS',
            type=_seconds,
            default=3600.0,
            help='seconds until it expires (default 3600)',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print it, and nothing else."""
        with daemon.connect(self) as client:
            text = client.create_token(parsed_args.valid_s)
        self.app.stdout.write(f'{text}\n')
