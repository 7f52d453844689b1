# SPDX-License-Identifier: Apache-2.0
"""The agents that are measured side by side, and what they say.

serf comes from Debian, kinship from PyPI into a Python of its own; one that
is not there is left out, and that is said.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
import socket
import sys
from collections.abc import Callable

import msgspec

NAMES = 'ours', 'serf', 'kinship'
PORT = 7946
RPC_PORT = 7373
RPC_TIMEOUT_S = 5.0
_KINSHIP_AGENT = pathlib.Path(__file__).with_name('kinship_agent.py')


@dataclasses.dataclass(frozen=True)
class Said:
    """One line of an agent: JOIN, FAIL or EVENT, of whom or what."""

    kind: str
    what: str


@dataclasses.dataclass(frozen=True)
class Rival:
    """One implementation.

    :param command: of agent number i
    :param read: a line that it writes; None if that is of no interest

    :param send: tells agent i to broadcast; None: by its standard input
    """

    name: str
    command: Callable[[int], list[str]]
    read: Callable[[str], Said | None]
    send: Callable[[int, str], None] | None = None


def address(number: int) -> str:
    """Each agent has an address of its own on the loopback interface."""
    return f'127.80.{number // 200}.{number % 200 + 1}'


def _seed(number: int) -> str:
    return f'{address(0)}:{PORT}' if number else '-'


def _read_plain(line: str) -> Said | None:
    kind, _, what = line.partition(' ')
    return Said(kind, what) if kind in ('JOIN', 'FAIL', 'EVENT') else None


def ours() -> Rival:
    """This project's agent: sealed, signed, membership proven."""

    def command(number: int) -> list[str]:
        return [
            sys.executable, '-m', 'gossip.agent', '--name', f'a{number}',
            '--bind', f'{address(number)}:{PORT}', '--join', _seed(number),
        ]  # fmt: skip

    return Rival('ours', command, _read_plain)


_SERF = {
    'JOIN': re.compile(r'EventMemberJoin: (\S+) '),
    'FAIL': re.compile(r'EventMemberFailed: (\S+) '),
    'EVENT': re.compile(r'Received event: user-event: (\S+)'),
}


def serf() -> Rival | None:
    """Debian's serf, with its settings for a LAN, not encrypted."""
    program = shutil.which('serf')
    if program is None:
        return None

    def command(number: int) -> list[str]:
        join = [f'-join={address(0)}:{PORT}'] if number else []
        return [
            str(program), 'agent', f'-node=a{number}', '-profile=lan',
            f'-bind={address(number)}:{PORT}',
            f'-rpc-addr={address(number)}:{RPC_PORT}', *join,
        ]  # fmt: skip

    def read(line: str) -> Said | None:
        for kind, pattern in _SERF.items():
            found = pattern.search(line)
            if found:
                return Said(kind, found[1])
        return None

    return Rival('serf', command, read, _send_to_serf)


def _send_to_serf(number: int, what: str) -> None:
    """Its RPC protocol: MessagePack, a header and a body each."""
    encode = msgspec.msgpack.encode
    place = address(number), RPC_PORT
    with socket.create_connection(place, RPC_TIMEOUT_S) as link:
        link.sendall(
            encode({'Command': 'handshake', 'Seq': 0}) + encode({'Version': 1})
        )
        link.recv(4096)
        link.sendall(
            encode({'Command': 'event', 'Seq': 1})
            + encode({'Name': what, 'Payload': b'', 'Coalesce': False})
        )
        link.recv(4096)


def kinship() -> Rival | None:
    """kinship, with its settings for a LAN, not encrypted.

    The Python that has it is named by P2PCS_KINSHIP_PYTHON.
    """
    python = os.environ.get('P2PCS_KINSHIP_PYTHON', '')
    if not python:
        return None

    def command(number: int) -> list[str]:
        return [
            python, str(_KINSHIP_AGENT), f'a{number}',
            f'{address(number)}:{PORT}', _seed(number),
        ]  # fmt: skip

    return Rival('kinship', command, _read_plain)


def all_here() -> list[Rival]:
    """Ours first."""
    return [
        rival for rival in (ours(), serf(), kinship()) if rival is not None
    ]
