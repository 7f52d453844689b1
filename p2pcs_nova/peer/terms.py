# SPDX-License-Identifier: Apache-2.0
"""Who may command a slice: the highest term that this PC has seen.

A lock cannot stop a gateway that was frozen between check and act; a
refused term can.  Pure: the caller stores a new term before it acts.
"""

from __future__ import annotations

from collections.abc import Mapping

from p2pcs_nova import errors, wire


class Terms:
    """The highest term of each slice."""

    def __init__(self, seen: Mapping[str, wire.Counter]) -> None:
        self._seen = dict(seen)

    def check(self, command: wire.Command) -> bool:
        """Whether this term is new here, and so has to be stored.

        :raises StaleTerm: a higher term of the slice was seen
        """
        highest = self._seen.get(command.slice)
        if highest is None or command.term > highest:
            return True
        if command.term < highest:
            raise errors.StaleTerm(
                f'term {command.term} of slice {command.slice} is '
                f'over: {highest} has been seen'
            )
        return False

    def accept(self, command: wire.Command) -> None:
        """Remember a term that has been stored."""
        highest = self._seen.get(command.slice)
        if highest is None or command.term > highest:
            self._seen[command.slice] = command.term
