# SPDX-License-Identifier: Apache-2.0
"""Commands on the offline root: no daemon is needed."""

from __future__ import annotations

import argparse
import ipaddress
import pathlib

from cliff import command

from p2pcs_nova import layout
from p2pcs_nova.identity import ca
from p2pcs_nova.identity.authority import Authority
from p2pcs_nova.manage import ca_dir
from p2pcs_nova.wall import utc_now


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not an IP address'
        ) from None


class CaInit(command.Command):
    """Make an overlay: its offline root and its first ring key.

    The folder signs gateways. Keep it where no PC reaches it; nothing of
    it is needed while the cloud runs.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options."""
        parser = super().get_parser(prog_name)
        ca_dir.add_option(parser, 'folder to make')
        parser.add_argument(
            '--overlay',
            metavar='NAME',
            required=True,
            help='name of the overlay: lower-case letters, digits, hyphens',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Make it."""
        made = Authority.create(
            parsed_args.ca_dir, parsed_args.overlay, utc_now()
        )
        until = made.root.not_valid_after_utc
        self.app.stdout.write(
            f'overlay {made.overlay}: root {ca.fingerprint(made.root)}, '
            f'valid until {until:%Y-%m-%d}\n'
            'Next: p2pcs-manage gateway enrol --ca-dir '
            f'{parsed_args.ca_dir} --name NAME --advertise ADDRESS\n'
        )


class GatewayEnrol(command.Command):
    """Make this machine's state folder a gateway's.

    Makes the gateway's key there, and signs its certificates for two years.
    Run again, it renews them under the same keys: restart the daemon then.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options."""
        parser = super().get_parser(prog_name)
        ca_dir.add_option(parser, 'folder of `ca init`')
        parser.add_argument(
            '--state-dir',
            metavar='DIR',
            type=pathlib.Path,
            default=pathlib.Path(layout.STATE_DIR),
            help=f'state_dir of the daemon (default {layout.STATE_DIR})',
        )
        parser.add_argument(
            '--name', required=True, help='name of the gateway, for people'
        )
        parser.add_argument(
            '--advertise',
            metavar='ADDRESS',
            type=_address,
            required=True,
            help='IP address that PCs reach this machine at',
        )
        parser.add_argument(
            '--port',
            type=int,
            default=layout.PORT,
            help=f'overlay port (default {layout.PORT})',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Sign it."""
        authority = Authority(parsed_args.ca_dir)
        membership = authority.enrol(
            parsed_args.state_dir,
            parsed_args.name,
            parsed_args.advertise,
            parsed_args.port,
            utc_now(),
        )
        until = membership.certificate.not_valid_after_utc
        self.app.stdout.write(
            f'gateway {parsed_args.name} is {membership.peer_id} of overlay '
            f'{membership.overlay}, valid until {until:%Y-%m-%d}\n'
            'Next: p2pcs-peer run, then p2pcs-manage policy apply (unless '
            'there is a policy) and token create\n'
        )
