# SPDX-License-Identifier: Apache-2.0
"""The one interface of all protocols.

A protocol takes messages and the time, and gives letters. It reads no clock
and no socket; chance comes from the ``random.Random`` that it was given.
"""

import collections
import typing
from collections.abc import Iterator

from gossip import codec, descriptor, messages


class Origin(typing.NamedTuple):
    """Who sent a message, and from which address."""

    peer: descriptor.PeerId
    address: descriptor.Address


class Letter(typing.NamedTuple):
    """What goes in one datagram.

    :param plain: framed messages
    :param ride: whether news may ride along
    """

    to: descriptor.Address
    plain: bytes
    ride: bool = True


class Protocol(typing.Protocol):
    """What the node drives."""

    def receive(
        self, message: messages.Message, sender: Origin, now: float
    ) -> None:
        """Take a message.

        :raises MalformedMessage: it is not what it should be
        :raises Refused: it is not to be believed; nothing changed
        """

    def deadline(self) -> float | None:
        """When :meth:`on_deadline` is to be called; None for never."""

    def on_deadline(self, now: float) -> None:
        """Do what is due."""


class Outbox:
    """The letters of all protocols of a node, in order."""

    def __init__(self) -> None:
        self._letters: collections.deque[Letter] = collections.deque()

    def send(
        self,
        to: descriptor.Address,
        *many: messages.Message,
        ride: bool = True,
    ) -> None:
        """Send these in one datagram."""
        self._letters.append(Letter(to, codec.encode_all(many), ride))

    def send_plain(self, to: descriptor.Address, plain: bytes) -> None:
        """Send these framed messages in one datagram, and nothing else."""
        self._letters.append(Letter(to, plain, ride=False))

    def outgoing(self) -> Iterator[Letter]:
        """What is to be sent; each letter is given once."""
        while self._letters:
            yield self._letters.popleft()

    def clear(self) -> None:
        """Send nothing of it."""
        self._letters.clear()
