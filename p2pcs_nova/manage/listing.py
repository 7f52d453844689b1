# SPDX-License-Identifier: Apache-2.0
"""Commands that list: who is there, what they have, where instances are."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Sequence

from cliff import lister

from p2pcs_nova import errors, wire
from p2pcs_nova.manage import daemon

LOG = logging.getLogger(__name__)

Table = tuple[Sequence[str], Iterable[Sequence[object]]]


def used_of(used: int, total: int) -> str:
    """``2/8``: how much of it is taken."""
    return f'{used}/{total}'


def peers_to_table(rows: wire.PeerRows, long: bool) -> Table:
    """One line for each member, by name."""
    header = [
        'Name',
        'Role',
        'State',
        'Slice',
        'vCPUs used',
        'Memory used (MiB)',
        'Disk used (MiB)',
        'Instances',
        'Address',
        'Reason',
    ]
    lines = []
    for row in sorted(rows.peers, key=lambda row: (row.role, row.name)):
        line: list[object] = [
            row.name,
            row.role,
            row.state,
            row.slice,
            used_of(row.used.vcpus, row.offer.vcpus),
            used_of(row.used.memory_mb, row.offer.memory_mb),
            used_of(row.used.disk_mb, row.offer.disk_mb),
            row.instances,
            row.address,
            row.reason,
        ]
        lines.append([row.peer, *line] if long else line)
    return (['ID', *header] if long else header), lines


def slices_to_table(rows: wire.SliceRows, holders: wire.Holders) -> Table:
    """One line for each slice of the policy."""
    header = (
        'Slice',
        'PCs',
        'Unreachable',
        'vCPUs used',
        'Memory used (MiB)',
        'Disk used (MiB)',
        'Largest PC',
        'Networks',
        'Gateway',
        'Term',
    )
    return header, [
        (
            row.name,
            row.peers,
            row.unreachable,
            used_of(row.used.vcpus, row.total.vcpus),
            used_of(row.used.memory_mb, row.total.memory_mb),
            used_of(row.used.disk_mb, row.total.disk_mb),
            f'{row.largest.vcpus} vCPUs, {row.largest.memory_mb} MiB',
            ', '.join(row.networks),
            holders.gateways.get(row.name, ''),
            '' if row.term is None else str(row.term),
        )
        for row in sorted(rows.slices, key=lambda row: row.name)
    ]


def instances_to_table(rows: wire.PlacedRows) -> Table:
    """One line for each instance: the answer to "where is my VM?"."""
    header = (
        'Instance',
        'Slice',
        'PC',
        'State',
        'vCPUs',
        'Memory (MiB)',
        'Disk (MiB)',
        'Epoch',
        'Detail',
    )
    return header, [
        (
            row.status.instance,
            row.status.slice,
            row.peer_name or row.peer,
            _state(row),
            row.status.need.vcpus,
            row.status.need.memory_mb,
            row.status.need.disk_mb,
            str(row.status.epoch),
            row.status.detail,
        )
        for row in sorted(
            rows.instances,
            key=lambda row: (
                row.status.slice,
                row.peer_name,
                row.status.instance,
            ),
        )
    ]


def quarantined_to_table(rows: wire.QuarantinedRows) -> Table:
    """One line for each instance that is kept so, by its PC."""
    header = ('Instance', 'PC', 'Epoch')
    return header, [
        (row.instance, row.peer_name, str(row.epoch))
        for row in sorted(
            rows.instances, key=lambda row: (row.peer_name, row.instance)
        )
    ]


def graves_to_table(rows: wire.Graves) -> Table:
    """One line for each deleted instance that is still to be destroyed."""
    header = ('Instance', 'Slice', 'PC', 'Epoch')
    return header, [
        (row.instance, row.slice, row.peer_name or row.peer, str(row.epoch))
        for row in sorted(
            rows.graves,
            key=lambda row: (row.slice, row.peer_name, row.instance),
        )
    ]


def _state(row: wire.Placed) -> str:
    state = str(row.status.state)
    return state if row.reachable else f'unreachable (was {state})'


class PeerList(lister.Lister):
    """List the members of the overlay: PCs and gateways.

    "used" is what run rights hold, of what the PC offers.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--long', action='store_true', help='show peer ids too'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask the daemon."""
        with daemon.connect(self) as client:
            return peers_to_table(client.peers(), parsed_args.long)


class SliceList(lister.Lister):
    """List the slices: each is a compute host of Nova.

    The term is shown at the gateway that commands the slice.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask the daemon."""
        with daemon.connect(self) as client:
            rows = client.slices()
            try:
                holders = client.holders()
            except errors.Unavailable as error:
                LOG.warning('who commands them: %s', error.message)
                holders = wire.Holders({})
            return slices_to_table(rows, holders)


class InstanceList(lister.Lister):
    """List the instances and the PC that each runs on.

    Nova knows the slice only; ask here for the PC.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--quarantined',
            action='store_true',
            help='instead, those that PCs hold and no gateway knows: frozen, '
            'and taken away when their PC has been on for 7 days',
        )
        parser.add_argument(
            '--deleted',
            action='store_true',
            help='those that a PC, out of reach, has still to destroy; '
            'their addresses are held',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask the daemon."""
        with daemon.connect(self) as client:
            if parsed_args.quarantined:
                return quarantined_to_table(client.quarantined())
            if parsed_args.deleted:
                return graves_to_table(client.graves())
            return instances_to_table(client.instances())
