# SPDX-License-Identifier: Apache-2.0
"""What this machine has logged of instances, kept for a while.

Every line of the log that names an instance or a request of OpenStack is
written into a file beside the state, so that it can be asked for when the
instance is gone.  Two files are kept: when the new one is full, it becomes
the old one.  It may lose its last lines in a power cut; nothing is decided
by it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator
from logging import handlers

import msgspec

from p2pcs_nova import texts, wire

FILE_BYTES = 4 * 2**20
"""Of each of the two files: some ten thousand lines."""
CHAPTER_LINES = 1000
"""The last of one instance that are told."""

_UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
_NAMES = re.compile(_UUID)
_REQUEST = re.compile(f'req-{_UUID}')
_INSTANCE = re.compile(rf'\binstances?(?::? |/)({_UUID})')
"""As an instance is named in a line of ours or of Nova's, or in a path."""


class Journal:
    """The lines of one machine.

    :param path: of the newer file; the other is beside it
    :param machine: its name, for people
    :param wall: seconds of its wall clock; nothing is decided by it
    """

    def __init__(
        self, path: pathlib.Path, machine: str, wall: Callable[[], float]
    ) -> None:
        self._path = path
        self._machine = machine
        self.now = wall

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Write down what is logged while the body runs.

        :raises OSError: the file cannot be made
        """
        handler = _Handler(
            self._path, maxBytes=FILE_BYTES, backupCount=1, encoding='utf-8'
        )
        handler.setLevel(logging.INFO)
        handler.setFormatter(_Formatter())
        handler.addFilter(_names_something)
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)
            handler.close()

    def chapter(self, instance: str) -> wire.Chapter:
        """What is known here of an instance.  Blocks on the disk."""
        lines = select(self._lines(), instance)
        return wire.Chapter(
            self._machine, self.now(), tuple(lines[-CHAPTER_LINES:])
        )

    def _lines(self) -> Iterator[wire.StoryLine]:
        for path in (self._path.with_name(f'{self._path.name}.1'), self._path):
            with (
                contextlib.suppress(FileNotFoundError),
                path.open('rb') as file,
            ):
                for text in file:
                    # A power cut may have torn a line.
                    with contextlib.suppress(*wire.UNDECODABLE):
                        at_s, said = msgspec.json.decode(
                            text, type=tuple[float, str]
                        )
                        yield wire.StoryLine(at_s, self._machine, said)


class _Handler(handlers.RotatingFileHandler):
    """A full disk costs lines of the journal, and nothing else."""

    def _open(self) -> io.TextIOWrapper:
        """The first file and every later one: only its owner reads it."""
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.baseFilename, flags, 0o600)
        return open(descriptor, 'a', encoding=self.encoding)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """The log itself has the line."""


class _Formatter(logging.Formatter):
    """Seconds of the wall clock and the text, as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of the file."""
        said = texts.printable(record.getMessage())
        return msgspec.json.encode((record.created, said)).decode()


def _names_something(record: logging.LogRecord) -> bool:
    """Whether to keep it; who asks for a story is no part of it."""
    said = record.getMessage()
    return _NAMES.search(said) is not None and '/story' not in said


def select(
    lines: Iterable[wire.StoryLine],
    instance: str,
    requests: Iterable[str] = (),
) -> list[wire.StoryLine]:
    """The lines about an instance, in their order.

    Those that name it, and those of the requests that these name; a request
    may be for several instances, so not what names another.

    :param requests: ids of requests that are known to be about it
    """
    lines = list(lines)
    ids = {*requests, *requests_in(x for x in lines if instance in x.text)}
    return [line for line in lines if _is_about(line, instance, ids)]


def requests_in(lines: Iterable[wire.StoryLine]) -> set[str]:
    """The ids of OpenStack's requests that lines name."""
    return {found for x in lines for found in _REQUEST.findall(x.text)}


def _is_about(line: wire.StoryLine, instance: str, ids: set[str]) -> bool:
    if instance in line.text:
        return True
    if _INSTANCE.search(line.text):
        return False
    return any(found in ids for found in _REQUEST.findall(line.text))
