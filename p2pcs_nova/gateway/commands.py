# SPDX-License-Identifier: Apache-2.0
"""The slices that this gateway commands now.

Who holds the terms tells; here is looked at before each request to a PC.
Rules:

* a term begins with the word of its holder and goes on by his word until
  its time is over, or he says that it is;
* one that was not renewed in time goes on when he renews it after all: he
  knows that nobody else had the slice meanwhile;
* one that he has given back does not begin again, nor does a lower one;
* a command of another term than the slice's is not carried out.
"""

from __future__ import annotations

from collections.abc import Callable

from p2pcs_nova import errors, wire


class Commands:
    """The term of each slice, as long as it lasts.

    :param clock: seconds of CLOCK_BOOTTIME
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: dict[str, wire.HeldTerm] = {}
        self._highest: dict[str, wire.Counter] = {}
        self._given_back: set[tuple[str, wire.Counter]] = set()

    def take(self, held: wire.HeldTerm) -> bool:
        """Begin with a term, or go on with it.

        :returns: whether it begins, or was interrupted
        :raises StaleTerm: it is over, or a higher one was seen; unchanged
        """
        is_news = self.is_news(held)
        self._held[held.slice] = held
        self._highest[held.slice] = held.term
        return is_news

    def is_news(self, held: wire.HeldTerm) -> bool:
        """Whether this would begin, or go on after an interruption.

        :raises StaleTerm: it is over, or a higher one was seen
        """
        command = wire.Command(held.slice, held.term)
        if self._clock() >= held.until_s or self._is_over(command):
            raise _stale(command)
        return self.term(held.slice) != held.term

    def give_back(self, command: wire.Command) -> None:
        """Its holder says that the term is over.

        :raises StaleTerm: it is already
        """
        if self._is_over(command):
            raise _stale(command)
        self._given_back = {
            one for one in self._given_back if one[0] != command.slice
        } | {(command.slice, command.term)}
        self._highest[command.slice] = command.term
        self.drop(command.slice)

    def drop(self, name: str) -> None:
        """The slice is not commanded from here now; idempotent."""
        self._held.pop(name, None)

    def highest(self, name: str) -> wire.Counter | None:
        """The highest term of the slice that was ever begun here."""
        return self._highest.get(name)

    def held(self) -> list[str]:
        """The slices that are commanded from here now."""
        return [name for name in self._held if self.holds(name)]

    def lapsed(self) -> list[str]:
        """Slices whose terms were not renewed in time, to be dropped."""
        return [name for name in self._held if not self.holds(name)]

    def deadline(self) -> float | None:
        """When the next term is over, unless it goes on."""
        return min((one.until_s for one in self._held.values()), default=None)

    def holds(self, name: str) -> bool:
        """Whether the slice is commanded from here now."""
        held = self._held.get(name)
        return held is not None and self._clock() < held.until_s

    def term(self, name: str) -> wire.Counter | None:
        """The slice's term; None if it is not commanded from here."""
        return self._held[name].term if self.holds(name) else None

    def command(self, name: str) -> wire.Command:
        """By which authority a PC of the slice is asked.

        :raises Unavailable: the slice is not commanded from here now
        """
        term = self.term(name)
        if term is None:
            raise errors.Unavailable(
                f'slice {name} is not commanded from this gateway now'
            )
        return wire.Command(name, term)

    def check(self, command: wire.Command) -> None:
        """Refuse what is asked by another term than the slice's.

        :raises StaleTerm: that term is over
        :raises Unavailable: it is not known here, or was not renewed, yet
        """
        if command.term == self.term(command.slice):
            return
        if self._is_over(command):
            raise _stale(command)
        raise errors.Unavailable(
            f'term {command.term} of slice {command.slice} is not known yet'
        )

    def _is_over(self, command: wire.Command) -> bool:
        highest = self._highest.get(command.slice, command.term)
        given_back = (command.slice, command.term) in self._given_back
        return command.term < highest or given_back


def _stale(command: wire.Command) -> errors.StaleTerm:
    return errors.StaleTerm(
        f'term {command.term} of slice {command.slice} is over'
    )
