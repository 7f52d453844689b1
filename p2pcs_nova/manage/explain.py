# SPDX-License-Identifier: Apache-2.0
"""``p2pcs-manage explain``: what became of one server, in order of time."""

from __future__ import annotations

import argparse
import collections
import datetime
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator

import msgspec
from cliff import lister

from p2pcs_nova import errors, journal, texts, wire
from p2pcs_nova.manage import daemon
from p2pcs_nova.manage.listing import Table

_NOVA = re.compile(
    r'(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) \d+ [A-Z]+ '
    r'(?P<said>\S+ \[.*)'
)
"""A line of oslo.log's default form: time, process, level, logger, text."""


def story_to_table(story: wire.Story, now: float, gateway: str) -> Table:
    """Where it is now, the remarks, then what has been.

    :param now: seconds of the wall clock
    """
    first = wire.StoryLine(now, gateway, f'{story.instance}: {story.now}')
    seen = [
        wire.StoryLine(now, machine or gateway, text)
        for machine, text in fits_to_lines(story.fits)
    ]
    return ('Time', 'Machine', 'What'), [
        (at_to_text(line.at_s), line.machine, line.text)
        for line in (first, *seen, *story.remarks, *story.lines)
    ]


def fits_to_lines(
    fits: Iterable[wire.PeerFit],
) -> Iterator[tuple[str, str]]:
    """Each slice, then each of its PCs: the PC's name, and what it says.

    :param fits: by slice
    """
    for slice_, group in itertools.groupby(fits, lambda one: one.slice):
        pcs = list(group)
        counts = collections.Counter(one.reason or 'with room' for one in pcs)
        name = f'slice {slice_}' if slice_ else 'no slice'
        yield '', f'{name}, now: {texts.counts_to_text(counts)}'
        for one in pcs:
            said = one.reason or f'room for {one.slots} such'
            yield one.peer_name, f'{name}, now: {said}'


def at_to_text(at_s: float) -> str:
    """A moment in UTC, in milliseconds."""
    at = datetime.datetime.fromtimestamp(at_s, datetime.UTC)
    return at.isoformat(' ', 'milliseconds').removesuffix('+00:00') + 'Z'


def nova_lines(path: pathlib.Path) -> Iterator[wire.StoryLine]:
    """The lines of a nova-compute's log, whose times are local.

    :raises OSError: it cannot be read
    """
    with path.open(errors='replace') as file:
        for text in file:
            found = _NOVA.match(text)
            if found is not None:
                at = datetime.datetime.fromisoformat(found['at'])
                said = texts.printable(found['said'])
                yield wire.StoryLine(at.timestamp(), path.stem, said)


def with_nova(story: wire.Story, logs: Iterable[pathlib.Path]) -> wire.Story:
    """The story with what the logs of nova-compute have on it."""
    requests = journal.requests_in(story.lines)
    lines = list(story.lines)
    for path in logs:
        lines += journal.select(nova_lines(path), story.instance, requests)
    lines.sort(key=lambda line: line.at_s)
    return msgspec.structs.replace(story, lines=tuple(lines))


class Explain(lister.Lister):
    """Tell the story of one server: where it is now, and what has been.

    Of one that is on no PC: what each slice and each PC says now to what
    was asked for it, by the first reason.

    From what the gateway and the PCs that had to do with it have logged,
    by the server's id and by the ids of OpenStack's requests, in order of
    time (UTC). Works for a server that is deleted or has failed too, as
    long as it is in the journals.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'server',
            metavar='SERVER',
            help='id of the server; its name will do while it is on a PC',
        )
        parser.add_argument(
            '--nova-log',
            metavar='FILE',
            type=pathlib.Path,
            action='append',
            default=[],
            help='log of a nova-compute, to be told too; may be repeated',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask the daemon, and read the logs."""
        with daemon.connect(self) as client:
            story = client.story(parsed_args.server)
            gateway = client.status().name
        now = datetime.datetime.now(datetime.UTC).timestamp()
        try:
            story = with_nova(story, parsed_args.nova_log)
        except OSError as error:
            raise errors.NotFound(
                f'{error.filename}: {error.strerror}'
            ) from None
        return story_to_table(story, now, gateway)
