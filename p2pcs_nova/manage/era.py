# SPDX-License-Identifier: Apache-2.0
"""Commands about the era: where terms and epochs come from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from cliff import command

from p2pcs_nova import errors, wire
from p2pcs_nova.identity.authority import Authority
from p2pcs_nova.manage import ca_dir, daemon


class EraShow(command.Command):
    """Say where terms and epochs come from, and whether they may."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask the daemon."""
        with daemon.connect(self) as client:
            report = client.era()
        self.app.stdout.write('\n'.join(report_to_lines(report)) + '\n')


class EraRaise(command.Command):
    """Have terms and epochs come from where this gateway is configured to.

    To be run on a gateway, after it was told to use etcd, or to use it no
    more, or after etcd was restored; its p2pcs-gateway begins the era when
    it is started next. All members hear of it within seconds, and no gateway
    goes back.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options."""
        parser = super().get_parser(prog_name)
        ca_dir.add_option(parser, ca_dir.ITS_KEY_SIGNS)
        parser.add_argument(
            '--lost',
            action='store_true',
            help='what gateways have written down may be lost: servers that '
            'none of them knows any more are taken as their PCs report them',
        )
        parser.add_argument(
            '--reason', metavar='TEXT', default='', help='for the logs'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Sign it, and hand it to the daemon."""
        authority = Authority(parsed_args.ca_dir)
        with daemon.connect(self) as client:
            report, me = client.era(), client.status().peer
            if report.loses and not parsed_args.lost:
                raise errors.EraRefused(
                    f'{report.loses}; --lost says that this must be'
                )
            era = next_era(report, me, parsed_args.reason, parsed_args.lost)
            client.raise_era(authority.sign_era(era))
        self.app.stdout.write(
            f'era {era.number} is in force: its numbers come from '
            f'{era.place} of gateway {me}\n'
            'Next: start p2pcs-gateway here\n'
        )


def next_era(
    report: wire.EraReport, me: str, reason: str, lost: bool
) -> wire.Era:
    """The era that begins here, above all that are known here."""
    before = max(
        report.last.era,
        0 if report.era is None else report.era.number,
        0 if report.stands is None else report.stands.era,
        1,
    )
    lost_before = 0 if report.era is None else report.era.lost
    return wire.Era(
        before + 1,
        me,
        report.place,
        reason,
        before if lost else lost_before,
    )


def report_to_lines(report: wire.EraReport) -> Iterator[str]:
    """How it is, for people."""
    era = report.era
    if era is None:
        yield 'era 1: no admin has raised it'
    else:
        reason = f': {era.reason}' if era.reason else ''
        yield f'era {era.number}{reason}'
        yield f'  its numbers come from {era.place} of gateway {era.gateway}'
        if era.lost:
            yield f'  what was written up to era {era.lost} may be lost'
    yield f'here: {report.place} has come to {report.stands or "nothing"}'
    if report.last_place:
        yield f'last used here: {report.last_place}, up to {report.last}'
    yield f'refused: {report.problem}' if report.problem else 'it may go on'
