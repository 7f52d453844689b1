# SPDX-License-Identifier: Apache-2.0
"""The command that gives the overlay a new ring key."""

from __future__ import annotations

import argparse

from cliff import command

from p2pcs_nova.manage import daemon


class RingRenew(command.Command):
    """Give the overlay a new ring key, which keeps strangers out.

    To be run on a gateway. Every member fetches it within seconds, one that
    sleeps when it wakes. `peer revoke` does this by itself.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Tell the daemon."""
        with daemon.connect(self) as client:
            client.renew_ring_key()
        self.app.stdout.write('the overlay gets a new ring key\n')
