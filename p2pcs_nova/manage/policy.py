# SPDX-License-Identifier: Apache-2.0
"""Commands about the policy: which slices there are, and who is in them."""

from __future__ import annotations

import argparse
import difflib
import pathlib
from collections.abc import Iterator

from cliff import command

from p2pcs_nova import errors, wire
from p2pcs_nova.identity.authority import Authority
from p2pcs_nova.manage import ca_dir, daemon
from p2pcs_nova.policy import reading, signing
from p2pcs_nova.policy.document import Policy


class _OfFile(command.Command):
    """A command on the file of a policy."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'file', metavar='FILE', type=pathlib.Path, help='YAML'
        )
        return parser

    def write(self, text: str) -> None:
        """Tell the operator."""
        self.app.stdout.write(f'{text}\n')


class PolicyValidate(_OfFile):
    """Say whether a policy could be put in force; change nothing.

    Where a gateway's daemon runs it is asked, too, whether the policy leaves
    a PC out, claims one twice, or changes the zone of a slice that is
    occupied.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Read it, and ask."""
        path = parsed_args.file
        text = reading.load_text(path)
        policy = reading.read_policy(text, str(path))
        said = (
            f'{path}: version {policy.version}, '
            f'{len(policy.names)} slices: {", ".join(policy.names)}'
        )
        if not daemon.has_socket(self):
            self.write(f'{said}\nno daemon runs here: no PC was looked at')
            return
        with daemon.connect(self) as client:
            found = client.plan_policy(text)
            known = client.wishable().attributes
        if found.faults:
            raise errors.PolicyRefused(
                '; '.join(f'{path}: {fault}' for fault in found.faults)
            )
        self.write(f'{said}\n{len(found.moves)} PCs would move')
        for line in slices_to_lines(found):
            self.write(line)
        for line in unranked_to_lines(policy, known):
            self.write(line)


class PolicyApply(_OfFile):
    """Sign a policy and put it in force.

    To be run on a gateway. All members fetch it within seconds.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options."""
        parser = super().get_parser(prog_name)
        ca_dir.add_option(parser, ca_dir.ITS_KEY_SIGNS)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Sign it, and hand it to the daemon."""
        path = parsed_args.file
        text = reading.load_text(path)
        policy = reading.read_policy(text, str(path))
        signed = Authority(parsed_args.ca_dir).sign_policy(text)
        with daemon.connect(self) as client:
            client.apply_policy(signed)
        self.write(f'version {policy.version} of the policy is in force')


class PolicyShow(command.Command):
    """Print the policy that is in force, and what has become of its slices."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask the daemon."""
        with daemon.connect(self) as client:
            bundle = client.policy()
        self.app.stdout.write('\n'.join(bundle_to_lines(bundle)) + '\n')


class PolicyDiff(_OfFile):
    """Show what a policy would change, and which PCs would move."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Compare, and ask the daemon."""
        path = parsed_args.file
        text = reading.load_text(path)
        policy = reading.read_policy(text, str(path))
        with daemon.connect(self) as client:
            signed = client.policy().policy
            found = client.plan_policy(text)
            known = client.wishable().attributes
        before = '' if signed is None else signed.text
        for line in difflib.unified_diff(
            before.splitlines(),
            text.splitlines(),
            'in force',
            str(path),
            lineterm='',
        ):
            self.write(line)
        for line in (*plan_to_lines(found), *unranked_to_lines(policy, known)):
            self.write(line)


def bundle_to_lines(bundle: wire.PolicyBundle) -> Iterator[str]:
    """A policy's text, below comments on its slices.

    :raises BadPolicy: the slice map cannot be read
    """
    if bundle.slices is not None:
        slices = signing.read_map(bundle.slices)
        yield (
            f'# slice map {slices.generation} of version {slices.policy}, by '
            f'gateway {bundle.slices.signer}:'
        )
        for row in slices.rows:
            share = f', {row.share / 10000:g} %' if row.share else ''
            yield f'#   {row.name}: {row.state}{share}'
    if bundle.policy is None:
        yield '# there is no policy yet: see `p2pcs-manage policy apply`'
    else:
        yield bundle.policy.text.rstrip('\n')


def unranked_to_lines(new: Policy, known: wire.Vocabulary) -> Iterator[str]:
    """Which sites are ranked by what no PC says, or by what has no order.

    That is no fault: owners may say it later, or say numbers.
    """
    for site in new.sites:
        if not site.rank:
            continue
        kind = known.get(site.rank)
        if kind is None:
            yield (
                f'site {site.name}: no PC says {site.rank!r}, its rank; until '
                'one does, chance decides'
            )
        elif kind in (wire.Kind.TEXT, wire.Kind.TEXTS):
            yield (
                f'site {site.name}: {site.rank!r}, its rank, is of kind '
                f'{kind}; among PCs that say no number chance decides'
            )


def slices_to_lines(found: wire.PolicyPlan) -> Iterator[str]:
    """Which slices would come and go."""
    for name in found.opened:
        yield f'slice {name}: new'
    for name in found.drained:
        yield f'slice {name}: drained, and closed when it is empty'
    for name in found.merged:
        yield f'slice {name}: too small now, so its neighbour has its PCs'


def plan_to_lines(found: wire.PolicyPlan) -> Iterator[str]:
    """Which slices come and go, who moves, and what speaks against it."""
    yield from slices_to_lines(found)
    for move in found.moves:
        yield f'{move.pc}: {move.before or "-"} -> {move.after or "-"}'
    for fault in found.faults:
        yield f'refused: {fault}'
