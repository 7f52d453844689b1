# SPDX-License-Identifier: Apache-2.0
"""The command that puts a PC out of the overlay."""

from __future__ import annotations

import argparse

import msgspec
from cliff import command

from p2pcs_nova import errors, wire
from p2pcs_nova.manage import daemon


def find_peer(rows: wire.PeerRows, typed: str) -> str:
    """The id of the member that an operator names.

    :param typed: its id, or a name that no other member has
    :raises NotFound: nobody has the name, or several have it
    """
    try:
        return msgspec.convert(typed, wire.PeerId)
    except msgspec.ValidationError:
        found = [row for row in rows.peers if row.name == typed]
    if len(found) == 1:
        return found[0].peer
    if not found:
        raise errors.NotFound(
            f'no member is named {typed}: see `p2pcs-manage peer list`'
        )
    ids = ', '.join(row.peer for row in found)
    raise errors.NotFound(f'{len(found)} members are named {typed}: {ids}')


class PeerRevoke(command.Command):
    """Put a PC out of the overlay for ever: it was stolen, or is hostile.

    Every member refuses its certificate from now on. What runs on it is
    unreachable; delete those servers. It can come back only by joining anew
    with a new key.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'peer', metavar='PEER|NAME', help='id or name of the PC'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Tell the daemon."""
        with daemon.connect(self) as client:
            peer = find_peer(client.peers(), parsed_args.peer)
            client.revoke(peer)
        self.app.stdout.write(f'{peer} is put out of the overlay\n')
