# SPDX-License-Identifier: Apache-2.0
"""The story of one instance, from the journals of gateway and PCs.

The gateway's own lines name each PC that has had to do with it; these are
asked, and their lines put between ours by time.  PCs' clocks may be wrong:
what one says of its own now, against ours, is taken off its times.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import trio

from p2pcs_nova import errors, journal, texts, wire
from p2pcs_nova.gateway import book as books
from p2pcs_nova.gateway import claims, instances, store

_PEER = re.compile(r'\(([0-9a-f]{32})\)')
"""As our lines name a PC's id, behind its name."""
SKEW_S = 0.2
"""A difference of clocks that is worth a remark."""
LATEST_S = 2.0**33
"""Of a wall clock, to be shown: a PC may say a time that no calendar has."""


class Teller:
    """Tells stories.

    :param explain: what the PCs say to an instance that is on none
    """

    def __init__(
        self,
        tools: claims.Tools,
        known: instances.Instances,
        own: journal.Journal,
        explain: Callable[[str], Awaitable[tuple[wire.PeerFit, ...]]],
        run_blocking: books.RunBlocking,
    ) -> None:
        self._tools = tools
        self._instances = known
        self._journal = own
        self._explain = explain
        self._run = run_blocking

    async def tell(self, server: str) -> wire.Story:
        """All of it that can be had now.

        :param server: uuid, or the name of one that is known now
        :raises NotFound: nothing is known of it
        :raises Malformed: several have this name
        """
        rows, graves, problem = await self._read()
        instance = _resolve(server, rows)
        row = next((x for x in rows if x.instance == instance), None)
        waiting = [one for one in graves if one.instance == instance]
        own = await self._run(self._journal.chapter, instance)
        peers = {peer for x in own.lines for peer in _PEER.findall(x.text)}
        peers |= {one.peer for one in (row, *waiting) if one is not None}
        fits = () if row is not None else await self._explain(instance)
        if not own.lines and not peers and not fits:
            raise errors.NotFound(
                f'nothing is known of {server}: what is older than the '
                'journal is forgotten, and of a wish that is none only the '
                "server's fault tells"
            )
        parts, remarks = [own], []
        if problem:
            now = own.wall_clock_s
            remarks.append(wire.StoryLine(now, own.machine, problem))
        async with trio.open_nursery() as nursery:
            for peer in sorted(peers):
                nursery.start_soon(self._ask, peer, instance, parts, remarks)
        return wire.Story(
            instance,
            self._now(instance, row, waiting),
            tuple(sorted(remarks, key=lambda line: line.machine)),
            tuple(merge(parts)),
            fits,
        )

    async def _read(
        self,
    ) -> tuple[list[store.InstanceRow], list[store.Grave], str]:
        """What all gateways have; or ours alone, and why."""
        book = self._tools.book
        try:
            return await book.all_rows(), await book.all_graves(), ''
        except errors.Unavailable as error:
            why = f'what other gateways have is not known: {error}'
            return list(book.rows.values()), list(book.graves.values()), why

    async def _ask(
        self,
        peer: str,
        instance: str,
        parts: list[wire.Chapter],
        remarks: list[wire.StoryLine],
    ) -> None:
        """One PC's part, by our clock; or a remark why it is missing."""
        tools, before = self._tools, self._journal.now()
        name = tools.view.peer(peer).name
        slice_ = tools.view.slice_of(peer, tools.book.rows.holdings)
        try:
            part = await tools.peers.ask(
                peer,
                slice_ or tools.peers.any_slice(),
                tools.options.read_timeout_s,
                lambda remote: remote.story(instance),
            )
        except errors.P2PcsError as error:
            said = f'its part is missing: {error}'
            remarks.append(wire.StoryLine(before, name, said))
            return
        after = self._journal.now()
        ahead = part.wall_clock_s - (before + after) / 2
        if abs(ahead) > max(SKEW_S, after - before):
            said = f'its clock is {ahead:+.1f} s from ours; times are by ours'
            remarks.append(wire.StoryLine(after, name, said))
        else:
            ahead = 0.0
        parts.append(shifted(part, name, ahead))

    def _now(
        self,
        instance: str,
        row: store.InstanceRow | None,
        waiting: Iterable[store.Grave],
    ) -> str:
        """Where it is, as the gateways have it."""
        building = self._instances.in_hand(instance)
        if row is not None:
            placed = self._instances.placed(row)
            said = (
                f'{"being built" if building else placed.status.state} on '
                f'{placed.peer_name}, slice {row.slice}, epoch {row.epoch}'
            )
            if not placed.reachable:
                said += '; the PC is out of reach, this is its last word'
            detail = placed.status.detail
            return f'{said}; {detail}' if detail else said
        if building:
            return 'a PC is being looked for'
        graves = [
            f'{grave.peer_name} has still to destroy epoch {grave.epoch}'
            for grave in waiting
        ]
        return '; '.join(['it is on no PC', *graves])


def _resolve(server: str, rows: Iterable[store.InstanceRow]) -> str:
    """The instance that is meant.

    :raises NotFound: none of these has this name
    :raises Malformed: several have
    """
    with contextlib.suppress(msgspec.ValidationError):
        return msgspec.convert(server, wire.Uuid)
    found = sorted(row.instance for row in rows if row.spec.name == server)
    if len(found) > 1:
        raise errors.Malformed(
            f'several are named so; say which: {", ".join(found)}'
        )
    if not found:
        raise errors.NotFound(
            'no PC has an instance of this name; one that has found no PC, '
            'or is gone, is known by its id'
        )
    return found[0]


def shifted(part: wire.Chapter, machine: str, ahead: float) -> wire.Chapter:
    """A PC's part by our clock, and fit to be shown.

    :param machine: its name, as we know it
    :param ahead: seconds that its clock is before ours
    """
    return wire.Chapter(
        machine,
        part.wall_clock_s - ahead,
        tuple(
            wire.StoryLine(
                min(max(line.at_s - ahead, 0.0), LATEST_S),
                machine,
                texts.printable(line.text),
            )
            for line in part.lines[-journal.CHAPTER_LINES :]
        ),
    )


def merge(parts: Iterable[wire.Chapter]) -> list[wire.StoryLine]:
    """All lines by time; each machine's keep their order."""
    lines = [line for part in parts for line in part.lines]
    return sorted(lines, key=lambda line: line.at_s)
