# SPDX-License-Identifier: Apache-2.0
"""The command that has Nova's hosts as the slices."""

from __future__ import annotations

import argparse
import pathlib

from cliff import command

from p2pcs_nova import errors, wire
from p2pcs_nova.manage import daemon
from p2pcs_nova.policy import in_force


class SlicePublish(command.Command):
    """Have Nova's hosts as the slices are: aggregates, zones, retirement.

    Each slice gets an aggregate, in its zone; the host of a slice that is
    drained is disabled, and once it is and has no server the slice is
    closed; the host of a closed one is removed when its nova-compute has
    been silent for a minute. What is as it should be stays. p2pcs-gateway
    does it by itself if it has a user of Nova.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--nova-conf',
            metavar='FILE',
            type=pathlib.Path,
            default=pathlib.Path('/etc/nova/nova.conf'),
            help='its [service_user] asks Nova (default /etc/nova/nova.conf)',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask the daemon, then Nova."""
        from p2pcs_nova.hosts import nova

        with daemon.connect(self) as client:
            partition = in_force.read_partition(client.policy())
        path = parsed_args.nova_conf
        if not path.is_file():
            raise errors.NotFound(
                f'there is no {path}: name a nova.conf by --nova-conf'
            )
        outcome = nova.follow(nova.connect(path), partition)
        report = wire.HostsReport(
            partition.map.policy,
            partition.map.generation,
            idle=outcome.idle,
            busy=outcome.busy,
        )
        with daemon.connect(self) as client:
            client.tell_hosts(report)
        for step in outcome.done:
            self.app.stdout.write(f'{step}\n')
        for why in outcome.waiting:
            self.app.stdout.write(f'not yet: {why}\n')
        if not outcome.done and not outcome.waiting:
            self.app.stdout.write('all is as it should be\n')
